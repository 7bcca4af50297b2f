"""SMPL's own layout: what smplx and its relatives call betas, global_orient, body_pose, transl.

Model units and OpenCV's camera axes (x right, y down, z forward), so that u = fx x / z + cx.
SMPL's `transl` is added to a body that turns about its own root joint: transl = trans - J_root.
"""

from pathlib import Path

import numpy as np
import torch

from smil_ray.core import rotations
from smil_ray.export.animation import METRES, Animation
from smil_ray.export.files import write_whole

OPENCV_FROM_CAMERA = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))


def write(animation: Animation, path: Path) -> list[str]:
    """Write all frames with one shape; return what a person should know."""
    arrays = smpl_arrays(animation.with_one_shape())
    write_whole(path, lambda partial: np.savez(partial, allow_pickle=False, **arrays))
    return animation.shape_note()


def smpl_arrays(animation: Animation) -> dict[str, np.ndarray]:
    """Return SMPL's arrays by name; see docs/export.md for their shapes."""
    params = animation.params.with_representation("axis_angle")
    turned = OPENCV_FROM_CAMERA @ rotations.to_matrix(params.global_rot)
    global_orient = rotations.matrix_to_axis_angle(turned)
    root = animation.posed().shaped.rest_joints[..., 0, :]
    n = len(animation)
    arrays = {
        "betas": params.betas[0],
        "global_orient": global_orient,
        "body_pose": params.joint_rot.reshape(n, -1),
        "poses": torch.cat([global_orient, params.joint_rot.reshape(n, -1)], dim=1),
        "transl": params.trans @ OPENCV_FROM_CAMERA - root,
    }
    arrays["trans"] = arrays["transl"]
    for name in ("log_beta_scales", "betas_trans"):
        value = getattr(params, name)
        if value is not None:
            arrays[name] = value[0]
    fx, fy, cx, cy = animation.camera_px.astype(np.float64).T
    K = np.zeros((n, 3, 3))
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = fx, fy, cx, cy, 1.0
    return {
        **{name: value.numpy() for name, value in arrays.items()},
        "gender": np.array("neutral"),
        "fps": np.array(animation.fps),
        "mocap_framerate": np.array(animation.fps),
        "frames": animation.frames,
        "K": K,
        "size_px": np.array(animation.size_px),
        "joint_names": np.array(animation.model.skeleton.joint_names),
        "body_model": np.array(animation.model.content_hash),
        "metres_per_unit": np.array(METRES),
    }
