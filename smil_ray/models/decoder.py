"""Raw outputs of a head become SMIL parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.config import JointDeformation, ModelConfig
from smil_ray.core import rotations
from smil_ray.core.params import (
    TRANSLATION_UNIT,
    HeadLayout,
    SmilParams,
    log_scales_from_weights,
    translations_from_weights,
)
from smil_ray.errors import ConfigError

PER_JOINT_TRANSLATION = 0.1
"""Model units per raw unit of a directly predicted joint offset: a tenth of a body segment."""
_FOV_RANGE_DEG = (0.5, 150.0)
_LOG_EXTENT_RANGE = (-12.0, 12.0)


@dataclass(frozen=True)
class TargetStatistics:
    """Means over the training split, from which the network's estimate starts.

    Attributes:
        fov_deg: Geometric mean of the vertical field of view, degrees.
        log_extent: Mean of log(depth of the root * tan(fov / 2)), depth in model units.
        root_rot: Mean rotation of the root in the camera frame, axis-angle; None: identity.
        joint_rot: Mean rotation of every joint but the root, axis-angle; None: identity.
        betas: Mean shape coefficients; None: zero.
    """

    fov_deg: float
    log_extent: float
    root_rot: Sequence[Sequence[float]] | None = None
    joint_rot: Sequence[Sequence[float]] | None = None
    betas: Sequence[float] | None = None


@dataclass(frozen=True)
class ScaleBasis:
    """A SMIL model's directions of joint scale and joint translation (K, J, 3)."""

    scaledirs: Tensor | None
    transdirs: Tensor | None


class ParameterDecoder(nn.Module):
    """Raw head outputs to SMIL parameters; see `HeadLayout` for what is regressed and why."""

    initial: Tensor
    identity: Tensor
    scaledirs: Tensor
    transdirs: Tensor

    def __init__(
        self,
        config: ModelConfig,
        n_joints: int,
        n_betas: int,
        statistics: TargetStatistics,
        basis: ScaleBasis | None,
    ) -> None:
        super().__init__()
        self.modes = (config.joint_scales, config.joint_translations)
        self.frame = config.reference_frame
        self.knows_camera = config.camera == "known"
        scaledirs = None if basis is None else basis.scaledirs
        transdirs = None if basis is None else basis.transdirs
        _check_basis("joint_scales", config.joint_scales, scaledirs, n_betas)
        _check_basis("joint_translations", config.joint_translations, transdirs, n_betas)
        self.register_buffer("scaledirs", _used(config.joint_scales, scaledirs))
        self.register_buffer("transdirs", _used(config.joint_translations, transdirs))
        self.layout = HeadLayout(
            n_joints=n_joints,
            n_betas=n_betas,
            representation=config.rotation_representation,
            scale_width=_width(config.joint_scales, n_joints, scaledirs),
            translation_width=_width(config.joint_translations, n_joints, transdirs),
            per_joint=frozenset(
                group
                for group, mode in zip(("scales", "translations"), self.modes, strict=True)
                if mode == "per_joint"
            ),
        )
        self.register_buffer("initial", _initial_estimate(self.layout, statistics))
        identity = rotations.identity(config.rotation_representation)
        self.register_buffer("identity", identity, persistent=False)

    def forward(
        self,
        raw: Float[Tensor, "batch total"],
        intrinsics: Float[Tensor, "batch 4"] | None = None,
    ) -> SmilParams:
        """Return the parameters that raw outputs stand for."""
        parts = self.layout.split(raw)
        fov = self._fov(parts, intrinsics)
        root = self._rotations(parts["root_rot"])
        place = _root_position(parts, fov, intrinsics)
        eye = torch.eye(3, device=raw.device).expand(raw.shape[0], 3, 3)
        in_camera = self.frame == "camera"
        return SmilParams(
            global_rot=root if in_camera else self.identity.expand_as(root),
            joint_rot=self._rotations(parts["joint_rot"].unflatten(1, (-1, root.shape[-1]))),
            betas=parts["betas"],
            trans=place if in_camera else torch.zeros_like(place),
            fov=fov,
            cam_rot=eye if in_camera else rotations.to_matrix(root).mT,
            cam_trans=torch.zeros_like(place) if in_camera else place,
            log_beta_scales=self._log_scales(parts),
            betas_trans=self._translations(parts),
        )

    def _fov(
        self, parts: dict[str, Tensor], intrinsics: Float[Tensor, "batch 4"] | None
    ) -> Float[Tensor, "batch 1"]:
        """Vertical field of view in degrees: the network's, or what the focal length says."""
        if self.knows_camera:
            return 2.0 * torch.rad2deg(torch.atan(0.5 / given_intrinsics(intrinsics)[:, 1:2]))
        return parts["log_fov"].clamp(*(math.log(limit) for limit in _FOV_RANGE_DEG)).exp()

    def _rotations(self, raw: Float[Tensor, "*axes width"]) -> Float[Tensor, "*axes width"]:
        """Raw 6D numbers become two orthonormal rows; axis-angle vectors stay as they are."""
        if self.layout.representation == "axis_angle":
            return raw
        return rotations.matrix_to_6d(rotations.sixd_to_matrix(raw))

    def _log_scales(self, parts: dict[str, Tensor]) -> Tensor | None:
        mode = self.modes[0]
        if mode == "ignore":
            return None
        if mode == "per_joint":
            return parts["scales"].unflatten(1, (-1, 3))
        weights = parts["scales"] if mode == "pca" else parts["betas"]
        return log_scales_from_weights(weights, self.scaledirs)

    def _translations(self, parts: dict[str, Tensor]) -> Tensor | None:
        mode = self.modes[1]
        if mode == "ignore":
            return None
        if mode == "per_joint":
            return PER_JOINT_TRANSLATION * parts["translations"].unflatten(1, (-1, 3))
        # Translation weights are of the order of 100; the network regresses hundredths of them.
        pca = mode == "pca"
        weights = parts["translations"] / TRANSLATION_UNIT if pca else parts["betas"]
        return translations_from_weights(weights, self.transdirs)


def _root_position(
    parts: dict[str, Tensor],
    fov: Float[Tensor, "batch 1"],
    intrinsics: Float[Tensor, "batch 4"] | None,
) -> Float[Tensor, "batch 3"]:
    """Root in camera coordinates (x left, y up, z forward; model units).

    `root_ndc` is (1 - 2u, 1 - 2v) of the root's place (u, v) in the picture; the extent is half
    the height of the viewing frustum at the root's depth.
    """
    ndc = parts["root_ndc"]
    if intrinsics is not None:
        ndc = ndc + 2.0 * intrinsics[:, 2:].nan_to_num(nan=0.5) - 1.0
    extent = parts["log_extent"].clamp(*_LOG_EXTENT_RANGE).exp()
    depth = extent / torch.tan(torch.deg2rad(fov) / 2.0)
    return torch.cat([ndc * extent, depth], dim=1)


def _initial_estimate(layout: HeadLayout, statistics: TargetStatistics) -> Float[Tensor, " total"]:
    """Return the raw outputs of the training split's means."""

    def matrices(mean: Sequence[Any] | None, count: int) -> Tensor:
        vectors = torch.zeros(count, 3) if mean is None else torch.tensor(mean).reshape(count, 3)
        return rotations.axis_angle_to_matrix(vectors)

    def raw(rotation: Tensor) -> Tensor:
        return rotations.from_matrix(rotation, layout.representation).flatten()

    betas = statistics.betas
    known = {
        "root_rot": raw(matrices(statistics.root_rot, 1)),
        "joint_rot": raw(matrices(statistics.joint_rot, layout.n_joints - 1)),
        "betas": torch.zeros(layout.n_betas) if betas is None else torch.tensor(betas),
        "log_extent": torch.tensor([statistics.log_extent]),
        "log_fov": torch.tensor([math.log(statistics.fov_deg)]),
    }
    return torch.cat([known.get(k, torch.zeros(width)) for k, width in layout.widths.items()])


def _check_basis(setting: str, mode: str, directions: Tensor | None, n_betas: int) -> None:
    if mode not in ("pca", "from_betas"):
        return
    if directions is None:
        raise ConfigError(
            f"model.{setting}: {mode}",
            expected="a SMIL model with scaledirs and transdirs",
            found="one without",
            remedy="choose ignore or per_joint, or another body.model",
        )
    if mode == "from_betas" and directions.shape[0] != n_betas:
        raise ConfigError(
            f"model.{setting}: from_betas",
            expected=f"as many directions as betas, {n_betas}",
            found=directions.shape[0],
            remedy="choose pca",
        )


def _used(mode: JointDeformation, directions: Tensor | None) -> Tensor | None:
    if mode in ("pca", "from_betas") and directions is not None:
        return directions.detach().clone().float()
    return None


def _width(mode: JointDeformation, n_joints: int, directions: Tensor | None) -> int:
    if mode == "pca" and directions is not None:
        return directions.shape[0]
    return 3 * n_joints if mode == "per_joint" else 0


def given_intrinsics(intrinsics: Float[Tensor, "batch 4"] | None) -> Float[Tensor, "batch 4"]:
    """Return `intrinsics`, without which a network that knows the camera cannot work.

    Raises:
        ConfigError: They are None.
    """
    if intrinsics is None:
        raise ConfigError(
            "model.camera: known",
            expected="the camera's field of view or intrinsics for each image",
            found="none",
            remedy="give --fov-deg or --intrinsics, or train with model.camera: predicted",
        )
    return intrinsics
