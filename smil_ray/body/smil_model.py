"""SmilModel: load -> with_shape -> with_pose -> skin; stateless, any leading batch axes.

Rest pose and shapes are in the model frame (x forward, y left, z up, model units). A pose carries
the body into the frame of its `trans`, where `trans` is the position of the root joint itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from smil_ray.body import builtin_insect, lbs
from smil_ray.body.model_file.arrays import ModelArrays, check
from smil_ray.body.model_file.reading import read_model_file, write_npz
from smil_ray.body.posed_body import BodyBasis, PosedBody, ShapedBody
from smil_ray.core.params import SmilParams
from smil_ray.core.skeleton import Skeleton, chain_length
from smil_ray.errors import ConfigError
from smil_ray.storage.node_cache import local_place

RestJoints = Literal["auto", "regressed", "static"]


@dataclass(frozen=True)
class SmilModel:
    """A skinned, shape-varying animal (SMIL, SMAL or SMPL) as tensors of one dtype and device.

    Attributes:
        v_template: Mean shape in rest pose.
        shapedirs: Change of the vertices per unit of each beta.
        joint_regressor: Rest joints from vertices; None for models with static joints only.
        rest_joints: The file's own joints, used as they are with `rest="static"`.
        weights: Skinning weights.
        posedirs: Pose blend shapes; None where the model has none.
        scaledirs: Per-joint scale per scale weight (`core.params.log_scales_from_weights`).
        transdirs: Per-joint offset per translation weight.
        joint_limits: Least and greatest axis-angle component per joint and axis, radians.
        static_joints: What `rest="auto"` means: joints do not follow the shape.
        shape_mean: Mean betas of the population.
        shape_cov: Covariance of the betas.
        source: The numpy arrays that the tensors were made from, float64.
    """

    name: str
    skeleton: Skeleton
    v_template: Float[Tensor, "n_verts 3"]
    faces: Int64[Tensor, "n_faces 3"]
    shapedirs: Float[Tensor, "n_verts 3 n_betas"]
    joint_regressor: Float[Tensor, "n_joints n_verts"] | None
    rest_joints: Float[Tensor, "n_joints 3"]
    weights: Float[Tensor, "n_verts n_joints"]
    posedirs: Float[Tensor, "n_verts 3 n_pose_features"] | None
    scaledirs: Float[Tensor, "n_betas n_joints 3"] | None
    transdirs: Float[Tensor, "n_betas n_joints 3"] | None
    joint_limits: Float[Tensor, "n_joints 3 2"] | None
    static_joints: bool
    shape_mean: Float[Tensor, " n_betas"]
    shape_cov: Float[Tensor, "n_betas n_betas"] | None
    source: ModelArrays

    @classmethod
    def load(cls, path: Path | str) -> "SmilModel":
        """Return the model of a .pkl or .npz file, float32 on the CPU.

        Raises:
            ModelFileError: The file is missing, damaged, unsafe or inconsistent.
        """
        return cls.from_arrays(read_model_file(path))

    def save(self, path: Path | str) -> Path:
        """Write the model in the safe .npz form."""
        return write_npz(self.source, path)

    @classmethod
    def builtin(cls) -> "SmilModel":
        """Return the procedural insect."""
        return cls.from_arrays(builtin_insect.build())

    @classmethod
    def open(cls, model: "SmilModel | Path | str") -> "SmilModel":
        """Return the model of a setting, `builtin` or a file, or the model that is given itself.

        Raises:
            ModelFileError: The file is missing, damaged, unsafe or inconsistent.
        """
        if isinstance(model, SmilModel):
            return model
        return cls.builtin() if str(model) == "builtin" else cls.load(local_place(model))

    @classmethod
    def from_arrays(
        cls,
        arrays: ModelArrays,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "SmilModel":
        """Return the model of checked arrays."""
        arrays = check(arrays)

        def tensor(value: Any) -> Any:
            return None if value is None else torch.tensor(value, dtype=dtype, device=device)

        mean = tensor(arrays.shape_mean)
        if mean is None:
            mean = torch.zeros(arrays.shapedirs.shape[-1], dtype=dtype, device=device)
        return cls(
            name=arrays.name,
            skeleton=arrays.skeleton,
            v_template=tensor(arrays.v_template),
            faces=torch.tensor(arrays.faces, device=device),
            shapedirs=tensor(arrays.shapedirs),
            joint_regressor=tensor(arrays.joint_regressor),
            rest_joints=tensor(arrays.rest_joints),
            weights=tensor(arrays.weights),
            posedirs=tensor(arrays.posedirs),
            scaledirs=tensor(arrays.scaledirs),
            transdirs=tensor(arrays.transdirs),
            joint_limits=tensor(arrays.joint_limits),
            static_joints=arrays.static_joints,
            shape_mean=mean,
            shape_cov=tensor(arrays.shape_cov),
            source=arrays,
        )

    def __reduce__(self) -> tuple[Callable[..., "SmilModel"], tuple[Any, ...]]:
        """Pickle the arrays once, without the tensors made from them."""
        return SmilModel.from_arrays, (self.source, self.device, self.dtype)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "SmilModel":
        """Return the model on `device` in `dtype`, exact from the float64 source."""
        device = self.device if device is None else torch.device(device)
        dtype = self.dtype if dtype is None else dtype
        if device == self.device and dtype == self.dtype:
            return self
        return SmilModel.from_arrays(self.source, device, dtype)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.v_template.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the tensors."""
        return self.v_template.dtype

    @property
    def n_joints(self) -> int:
        """Number of joints, the root included."""
        return self.skeleton.n_joints

    @property
    def n_betas(self) -> int:
        """Number of shape coefficients."""
        return self.shapedirs.shape[-1]

    @property
    def n_verts(self) -> int:
        """Number of vertices."""
        return self.v_template.shape[0]

    @property
    def n_scale_weights(self) -> int:
        """Number of scale (and translation) weights, equal to `n_betas`."""
        return self.n_betas

    @property
    def body_length(self) -> float:
        """Length of the trunk chain at rest, mean shape, model units."""
        return self._body_length

    @cached_property
    def _body_length(self) -> float:
        return float(chain_length(self.source.joints_at_rest(), self.skeleton.body_chain))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the model's content, the same for a .pkl and the .npz made from it."""
        return self.source.content_hash()

    def matches(self, content_hash: str) -> bool:
        """Return whether labels made with the model of that hash mean the same with this one.

        Hashes of earlier versions, which covered the joint limits, are recognised.
        """
        known = builtin_insect.EARLIER_HASHES.get(content_hash, content_hash)
        return known in (self.content_hash, self.source.content_hash(with_limits=True))

    def with_shape(
        self,
        betas: Float[Tensor, "*batch n_betas"],
        log_scales: Float[Tensor, "*batch_scales n_joints 3"] | None = None,
        translations: Float[Tensor, "*batch_trans n_joints 3"] | None = None,
        *,
        rest: RestJoints = "auto",
    ) -> ShapedBody:
        """Return the body with this shape; leading axes broadcast against those of the pose.

        Args:
            betas: Shape coefficients.
            log_scales: Natural log of each joint's scale per axis; the root's is not used.
            translations: Offset of each joint, model units, replicAnt's bone frame (y flipped).
            rest: Joints regressed from the shaped vertices, or the model's own, unmoved by
                shape (replicAnt's morph targets); `auto` is what the model says of itself.

        Raises:
            ConfigError: The number of betas is not the model's.
            ModelFileError: `rest="regressed"` and the model has no regressor.
        """
        if betas.shape[-1] != self.n_betas:
            raise ConfigError(
                f"model {self.name!r}", expected=f"{self.n_betas} betas", found=betas.shape[-1]
            )
        return ShapedBody(
            basis=self._basis,
            betas=betas,
            rest_joints=self._shaped_joints(betas, rest),
            log_scales=log_scales,
            translations=translations,
        )

    def pose(
        self, params: SmilParams, *, rest: RestJoints = "auto", propagate_scaling: bool = True
    ) -> PosedBody:
        """Return the body that `params` describe, in their reference frame."""
        shaped = self.with_shape(
            params.betas, params.log_beta_scales, params.betas_trans, rest=rest
        )
        return shaped.with_pose(
            params.rotation_matrices(), params.trans, propagate_scaling=propagate_scaling
        )

    def joint_basis(
        self, rest: RestJoints = "auto"
    ) -> tuple[Float[Tensor, "n_joints 3"], Float[Tensor, "n_betas n_joints 3"]]:
        """Return the rest joints of the mean shape and how each beta moves them; see `with_shape`.

        Raises:
            ModelFileError: `rest="regressed"` and the model has no regressor.
        """
        if not self._is_static(rest):
            return self._joint_basis
        return self.rest_joints, self.rest_joints.new_zeros(self.n_betas, self.n_joints, 3)

    def _is_static(self, rest: RestJoints) -> bool:
        return self.static_joints if rest == "auto" else rest == "static"

    def _shaped_joints(self, betas: Tensor, rest: RestJoints) -> Tensor:
        if self._is_static(rest):
            return self.rest_joints
        template, directions = self._joint_basis
        return lbs.blend_shapes(betas, template, directions)

    @cached_property
    def _joint_basis(self) -> tuple[Tensor, Tensor]:
        """Joints of the template (J, 3) and their change per beta (B, J, 3), in float64 first."""
        template = self.source.regressed(self.source.v_template)
        directions = self.source.regressed(self.source.shapedirs)
        made = {"dtype": self.dtype, "device": self.device}
        return (
            torch.tensor(template, **made),
            torch.tensor(directions.transpose(2, 0, 1).copy(), **made),
        )

    @cached_property
    def _basis(self) -> BodyBasis:
        """Vertex arrays in the layout that skinning reads them in."""
        posedirs = self.posedirs
        return BodyBasis(
            parents=self.skeleton.parents,
            template=self.v_template.T.contiguous(),
            directions=self.shapedirs.permute(2, 1, 0).contiguous(),
            weights=self.weights.T.contiguous(),
            regressor=self.joint_regressor,
            posedirs=None if posedirs is None else posedirs.permute(2, 1, 0).contiguous(),
        )
