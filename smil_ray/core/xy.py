"""The seed's `(x, y)` dictionaries of one sample, for people who look at samples one by one."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from smil_ray.core.batch import Sample, collate
from smil_ray.core.rotations import one_axis_angle_to_matrix, one_matrix_to_axis_angle

XY = tuple[dict[str, Any], dict[str, Any]]


def to_xy(sample: Sample, reference_frame: str = "camera") -> XY:
    """Return the seed's `(x, y)` dictionaries of one sample.

    `x["input_image_data"]` is (H, W, 3) float32 RGB in [0, 1]; `y["joint_angles"]` is
    (N_JOINTS, 3) with the root's row zero; labels the data set lacks are left out of `y`.
    It does in numpy what `to_xy_by_collate` does by way of a batch, in a tenth of the time.

    Raises:
        ValueError: `reference_frame` is neither `camera` nor `root`.
    """
    if reference_frame not in ("camera", "root"):
        raise ValueError(f"reference frame {reference_frame!r}: expected camera or root")
    present = set(sample.present)
    needed = {"camera"} if reference_frame == "camera" else {"camera", "global_rot", "trans"}
    moved: dict[str, Any] = {}
    if needed <= present:
        moved = _in_frame(sample, reference_frame)
    else:
        present -= {"global_rot", "trans", "keypoints_3d"}
        present -= {"camera"} if reference_frame == "root" else set()
    every = {
        "joint_angles": ("joint_rot", _below_root(sample.joint_rot)),
        "shape_betas": ("betas", sample.betas),
        "root_loc": ("trans", moved.get("trans")),
        "root_rot": ("global_rot", moved.get("global_rot")),
        "cam_fov": ("camera", sample.fov),
        "cam_rot": ("camera", moved.get("cam_rot")),
        "cam_trans": ("camera", moved.get("cam_trans")),
        "keypoints_2d": ("keypoints_2d", sample.keypoints_2d),
        "keypoints_3d": ("keypoints_3d", moved.get("keypoints_3d")),
        "keypoint_visibility": ("keypoints_2d", sample.keypoint_visibility),
        "scale_weights": ("scale_weights", sample.scale_weights),
        "trans_weights": ("trans_weights", sample.trans_weights),
    }
    y = {
        key: float(np.float32(value)) if key == "cam_fov" else np.array(value, dtype=np.float32)
        for key, (label, value) in every.items()
        if label in present
    }
    return _x(sample), y


def to_xy_by_collate(sample: Sample, reference_frame: str = "camera") -> XY:
    """Return the same as `to_xy`, taken from a batch of one sample; the readable reference."""
    batch = collate([sample], reference_frame)
    target = batch.target
    assert target.joint_rot is not None
    root_row = torch.zeros(1, 3)
    every = {
        "joint_angles": ("joint_rot", torch.cat([root_row, target.joint_rot[0]])),
        "shape_betas": ("betas", target.betas[0]),
        "root_loc": ("trans", target.trans[0]),
        "root_rot": ("global_rot", target.global_rot[0]),
        "cam_fov": ("camera", target.fov[0, 0]),
        "cam_rot": ("camera", target.cam_rot[0]),
        "cam_trans": ("camera", target.cam_trans[0]),
        "keypoints_2d": ("keypoints_2d", batch.keypoints_2d[0]),
        "keypoints_3d": ("keypoints_3d", batch.keypoints_3d[0]),
        "keypoint_visibility": ("keypoints_2d", batch.keypoint_visibility[0].float()),
        "scale_weights": ("scale_weights", batch.scale_weights[0]),
        "trans_weights": ("trans_weights", batch.trans_weights[0]),
    }
    y = {
        key: float(value) if key == "cam_fov" else value.numpy()
        for key, (label, value) in every.items()
        if bool(batch.presence[label][0])
    }
    return _x(sample), y


def _x(sample: Sample) -> dict[str, Any]:
    return {
        "input_image": sample.name,
        "input_image_data": _fractions(sample.image),
        "input_image_mask": None if sample.mask is None else _fractions(sample.mask),
    }


def _fractions(values: np.ndarray) -> Float[np.ndarray, "*axes"]:
    return np.divide(values, np.float32(255.0), dtype=np.float32)


def _below_root(joint_rot: np.ndarray) -> Float[np.ndarray, "n_joints 3"]:
    rows = np.zeros((len(joint_rot) + 1, 3), dtype=np.float32)
    rows[1:] = joint_rot
    return rows


def _in_frame(sample: Sample, frame: str) -> dict[str, Any]:
    """Return root, camera and 3D points as `core.frames` does for batches."""
    eye, zero = np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32)
    to_cam, shift = sample.cam_rot, sample.cam_trans
    position = sample.trans @ to_cam + shift
    points = sample.keypoints_3d @ to_cam + shift
    known = "global_rot" in sample.present
    root = sample.global_rot if known else zero
    turned = to_cam.T @ one_axis_angle_to_matrix(root)
    if frame == "root":
        return {
            "global_rot": zero,
            "trans": zero,
            "cam_rot": turned.T,
            "cam_trans": position,
            "keypoints_3d": (points - position) @ turned,
        }
    return {
        "global_rot": one_matrix_to_axis_angle(turned) if known else None,
        "trans": position,
        "cam_rot": eye,
        "cam_trans": zero,
        "keypoints_3d": points,
    }
