"""Exact change of reference frame: `camera` (the root pose carries everything) and `root`.

One image determines only the pose relative to the camera. In the camera frame cam_rot = I and
cam_trans = 0; in the root frame global_rot = I and trans = 0. Both say the same.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.core import rotations
from smil_ray.core.params import SmilParams


def change_frame(params: SmilParams, frame: str) -> SmilParams:
    """Return `params` in the `camera` or `root` frame, from whatever frame they are in."""
    relative_rot, relative_trans = root_in_camera(params)
    eye = torch.eye(3, dtype=relative_rot.dtype, device=relative_rot.device)
    eye, zero = eye.expand_as(relative_rot), torch.zeros_like(relative_trans)
    if frame == "camera":
        root, trans, cam_rot, cam_trans = relative_rot, relative_trans, eye, zero
    elif frame == "root":
        root, trans, cam_rot, cam_trans = eye, zero, relative_rot.mT, relative_trans
    else:
        raise ValueError(f"reference frame {frame!r}: expected camera or root")
    return replace(
        params,
        global_rot=rotations.from_matrix(root, params.representation),
        trans=trans,
        cam_rot=cam_rot,
        cam_trans=cam_trans,
    )


def root_in_camera(
    params: SmilParams,
) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3"]]:
    """Return the root's rotation (column convention) and position in camera coordinates."""
    root = rotations.to_matrix(params.global_rot)
    return params.cam_rot.mT @ root, points_in_camera(params.trans[:, None], params)[:, 0]


def points_in_camera(
    points: Float[Tensor, "batch n 3"], params: SmilParams
) -> Float[Tensor, "batch n 3"]:
    """Return points of the reference frame in camera coordinates, x_cam = x R + T."""
    return points @ params.cam_rot + params.cam_trans[:, None]


def points_in_frame(
    points: Float[Tensor, "batch n 3"], params: SmilParams, frame: str
) -> Float[Tensor, "batch n 3"]:
    """Return points given in the frame of `params` in the `camera` or `root` frame instead."""
    cam = points_in_camera(points, params)
    if frame == "camera":
        return cam
    rotation, position = root_in_camera(params)
    return (cam - position[:, None]) @ rotation
