"""The SMIL parameters: one typed record, one name per quantity (the network's output keys)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.core import rotations

TRANSLATION_UNIT = 0.01
"""Translation weights times `transdirs` are in 1/100 model units (FACTS 1.8)."""
MIN_SCALE = 1e-4


@dataclass(frozen=True)
class SmilParams:
    """Pose, shape, position and camera of a batch of animals.

    Rotations are axis-angle radians (width 3) or 6D (width 6), alike in `global_rot` and
    `joint_rot`. Lengths are in model units. Points follow x_cam = x R + T (row vectors, camera
    axes x left, y up, z forward; PyTorch3D). Matrices in `cam_rot` are that R.

    Attributes:
        global_rot: Root -> reference frame (SMPL `global_orient`).
        joint_rot: Child -> parent for every joint but the root (SMPL `body_pose`).
        betas: Shape coefficients, unitless.
        trans: Position of the *root joint* in the reference frame, whatever the shape.
        fov: Full vertical field of view of the square network image, degrees.
        cam_rot: Reference frame -> camera, row convention.
        cam_trans: Reference frame -> camera, model units.
        log_beta_scales: Natural log of per-joint, per-axis scale; None where not modelled.
        betas_trans: Per-joint offset, model units, in replicAnt's bone frame (y flipped).
        keypoint_xy: Where each joint was seen in the picture, fractions of width and height, by
            the network's own heat maps; None for networks without.
        keypoint_scale: Predicted scale b of the distance r of `keypoint_xy` from the joint, a
            fraction of the picture; r is distributed as r exp(-r / b) / b^2.
        keypoint_logits: Heat maps before their softmax over cells; only while training.
    """

    global_rot: Float[Tensor, "batch width"]
    joint_rot: Float[Tensor, "batch n_pose width"]
    betas: Float[Tensor, "batch n_betas"]
    trans: Float[Tensor, "batch 3"]
    fov: Float[Tensor, "batch 1"]
    cam_rot: Float[Tensor, "batch 3 3"]
    cam_trans: Float[Tensor, "batch 3"]
    log_beta_scales: Float[Tensor, "batch n_joints 3"] | None = None
    betas_trans: Float[Tensor, "batch n_joints 3"] | None = None
    keypoint_xy: Float[Tensor, "batch n_joints 2"] | None = None
    keypoint_scale: Float[Tensor, "batch n_joints"] | None = None
    keypoint_logits: Float[Tensor, "batch n_joints rows columns"] | None = None

    @property
    def batch_size(self) -> int:
        """Number of animals."""
        return self.betas.shape[0]

    @property
    def representation(self) -> str:
        """`6d` or `axis_angle`, by the width of the rotations."""
        return "6d" if self.global_rot.shape[-1] == 6 else "axis_angle"

    def as_dict(self) -> dict[str, Tensor]:
        """Return the seed's output dictionary; quantities that are not modelled are left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Tensor]) -> "SmilParams":
        """Return the record of a dictionary with the output keys; others are an error."""
        return cls(**values)

    def map(self, function: Callable[[Tensor], Tensor]) -> "SmilParams":
        """Return the record with `function` applied to every tensor."""
        return SmilParams(**{name: function(value) for name, value in self.as_dict().items()})

    def to(self, device: torch.device | str) -> "SmilParams":
        """Return the record on `device`."""
        # Not `non_blocking`: on the way back from a GPU the numbers would not be there yet.
        return self.map(lambda value: value.to(device))

    def detach(self) -> "SmilParams":
        """Return the record cut off from the graph, on the CPU."""
        return self.map(lambda value: value.detach().cpu())

    def __getitem__(self, index: slice) -> "SmilParams":
        """Return the animals of a slice."""
        return self.map(lambda value: value[index])

    def rotation_matrices(self) -> Float[Tensor, "batch n_joints 3 3"]:
        """Return the root's and then every joint's rotation as matrices (column convention)."""
        return rotations.to_matrix(torch.cat([self.global_rot[:, None], self.joint_rot], dim=1))

    def with_representation(self, representation: str) -> "SmilParams":
        """Return the same rotations as `6d` or `axis_angle`."""
        if representation == self.representation:
            return self
        matrices = rotations.from_matrix(self.rotation_matrices(), representation)
        return replace(self, global_rot=matrices[:, 0], joint_rot=matrices[:, 1:])


@dataclass(frozen=True)
class HeadLayout:
    """What a head regresses: name -> width of each raw output group, in a fixed order.

    The raw groups are chosen so that a network can learn them: rotations in an orthonormalisable
    form; the root's place as its position in the picture (`root_ndc`) and the logarithm of the
    half-height of the viewing frustum at the root (`log_extent`), which one image determines well,
    unlike depth; the logarithm of the field of view. `models.regressor` turns them into
    `SmilParams`. `per_joint` names those of `scales` and `translations` that have three numbers
    for each joint.
    """

    n_joints: int
    n_betas: int
    representation: str
    scale_width: int = 0
    translation_width: int = 0
    per_joint: frozenset[str] = frozenset()

    @property
    def joint_groups(self) -> dict[str, int]:
        """Groups that consist of one part per joint, and the width of a part.

        `joint_rot` has none for the root.
        """
        own = {"joint_rot": rotations.WIDTH[self.representation]}
        return own | {group: 3 for group in sorted(self.per_joint)}

    @property
    def widths(self) -> dict[str, int]:
        """Raw output groups and their widths."""
        width = rotations.WIDTH[self.representation]
        groups = {
            "root_rot": width,
            "joint_rot": (self.n_joints - 1) * width,
            "betas": self.n_betas,
            "root_ndc": 2,
            "log_extent": 1,
            "log_fov": 1,
            "scales": self.scale_width,
            "translations": self.translation_width,
        }
        return {name: width for name, width in groups.items() if width > 0}

    @property
    def total(self) -> int:
        """Sum of all widths."""
        return sum(self.widths.values())

    def split(self, raw: Float[Tensor, "batch total"]) -> dict[str, Tensor]:
        """Return the groups of a raw output; no betas are a group of width 0."""
        parts = raw.split(list(self.widths.values()), dim=-1)
        return {"betas": raw[:, :0], **dict(zip(self.widths, parts, strict=True))}


def log_scales_from_weights(
    weights: Float[Tensor, "*batch k"], scaledirs: Float[Tensor, "k n_joints 3"]
) -> Float[Tensor, "*batch n_joints 3"]:
    """Return log(max(1 + sum_k w_k scaledirs_k, 1e-4)): replicAnt's bone scales (FACTS 2.2)."""
    scale = 1.0 + torch.einsum("...k,kjc->...jc", weights, scaledirs)
    return scale.clamp_min(MIN_SCALE).log()


def translations_from_weights(
    weights: Float[Tensor, "*batch k"], transdirs: Float[Tensor, "k n_joints 3"]
) -> Float[Tensor, "*batch n_joints 3"]:
    """Return 0.01 sum_k w_k transdirs_k: per-joint offsets in model units (FACTS 1.8, 2.2)."""
    return TRANSLATION_UNIT * torch.einsum("...k,kjc->...jc", weights, transdirs)
