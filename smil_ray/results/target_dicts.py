"""Targets given as dictionaries (the seed's `y`, or output dictionaries) as a typed batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.batch import LABELS, Batch
from smil_ray.core.params import SmilParams
from smil_ray.errors import DataError

ALIASES = {
    "global_rot": ("global_rot", "root_rot"),
    "betas": ("betas", "shape_betas"),
    "trans": ("trans", "root_loc"),
    "fov": ("fov", "cam_fov"),
    "cam_rot": ("cam_rot",),
    "cam_trans": ("cam_trans",),
    "keypoints_2d": ("keypoints_2d",),
    "keypoints_3d": ("keypoints_3d",),
    "keypoint_visibility": ("keypoint_visibility",),
    "scale_weights": ("scale_weights",),
    "trans_weights": ("trans_weights",),
}
"""What a target may be called: the output key first, then the seed's data-set key."""


def batch_from_dict(values: Mapping[str, Any], body: SmilModel, reference_frame: str) -> Batch:
    """Return one animal's target dictionary as a batch of one.

    Args:
        values: The `y` of a data set, or a dictionary with output keys (with or without a leading
            batch axis of one). Quantities that are not there count as absent labels.
        body: Gives the numbers of joints and shape coefficients.
        reference_frame: The frame that the values are in.

    Raises:
        DataError: A value has the wrong number of elements.
    """
    joints, pose = body.n_joints, body.n_joints - 1
    read = _Reader(values)
    target = SmilParams(
        global_rot=read.rotation("global_rot", ALIASES["global_rot"], 1)[:, 0],
        joint_rot=_joint_rotations(values, read, pose),
        betas=read("betas", (body.n_betas,)),
        trans=read("trans", (3,)),
        fov=read("fov", (1,)),
        cam_rot=read("cam_rot", (3, 3)),
        cam_trans=read("cam_trans", (3,)),
    )
    xy = read("keypoints_2d", (joints, 2))
    points = read("keypoints_3d", (joints, 3))
    scales, offsets = (read(key, (body.n_betas,)) for key in ("scale_weights", "trans_weights"))
    visible = torch.nan_to_num(read("keypoint_visibility", (joints,)), nan=1.0) > 0.5
    known = read.present | ({"camera"} if "fov" in read.present else set())
    return Batch(
        names=("target",),
        reference_frame=reference_frame,
        image=None,
        mask=None,
        target=target,
        intrinsics=_centred(target.fov),
        scale_weights=scales,
        trans_weights=offsets,
        keypoints_2d=xy,
        keypoints_3d=points,
        keypoint_visibility=visible,
        keypoint_presence=torch.isfinite(xy).all(dim=-1) | torch.isfinite(points).all(dim=-1),
        body_length=torch.tensor([body.body_length]),
        presence={label: torch.tensor([label in known]) for label in LABELS},
    )


class _Reader:
    """Reads quantities by their names, absent ones as NaN, and remembers which were there."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.present: set[str] = set()

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        found = next((key for key in ALIASES[name] if self._values.get(key) is not None), None)
        if found is None:
            return torch.full((1, *shape), torch.nan)
        self.present.add(name)
        return self._shaped(found, shape)

    def rotation(self, name: str, keys: tuple[str, ...], count: int) -> Tensor:
        """Return `count` rotations as axis-angle, from axis-angle or 6D values."""
        found = next((key for key in keys if self._values.get(key) is not None), None)
        if found is None:
            return torch.full((1, count, 3), torch.nan)
        self.present.add(name)
        width = 6 if np.size(_array(self._values[found])) == count * 6 else 3
        values = self._shaped(found, (count, width))
        return rotations.matrix_to_axis_angle(rotations.to_matrix(values))

    def _shaped(self, key: str, shape: tuple[int, ...]) -> Tensor:
        array = _array(self._values[key])
        if array.size != int(np.prod(shape)):
            raise DataError(f"Target {key!r}", expected=f"shape {shape}", found=array.shape)
        return torch.from_numpy(array.reshape(1, *shape))


def _joint_rotations(values: Mapping[str, Any], read: _Reader, pose: int) -> Tensor:
    """Return the rotations of all joints but the root; the seed's key has the root in row 0."""
    if values.get("joint_angles") is not None and values.get("joint_rot") is None:
        return read.rotation("joint_rot", ("joint_angles",), pose + 1)[:, 1:]
    return read.rotation("joint_rot", ("joint_rot",), pose)


def _array(value: Any) -> np.ndarray:
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return np.asarray(array, dtype=np.float32)


def _centred(fov_deg: Tensor) -> Tensor:
    focal = 0.5 / torch.tan(torch.deg2rad(fov_deg) / 2)
    return torch.cat([focal, focal, torch.full_like(focal, 0.5), torch.full_like(focal, 0.5)], 1)
