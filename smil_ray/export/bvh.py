"""Biovision .bvh: skeleton and rotations, for animators; upright rest pose, metres."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from smil_ray.core.rotations import nearest_rotation
from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import DataError
from smil_ray.export.animation import (
    METRES,
    SCENE_FROM_CAMERA,
    UPRIGHT_FROM_MODEL,
    Animation,
)
from smil_ray.export.files import write_whole

_ROTATIONS = "Zrotation Xrotation Yrotation"
_POSITIONS = "Xposition Yposition Zposition"
_SAME = 1e-5
"""Of body length: offsets that differ less between frames are one."""


def write(animation: Animation, path: Path) -> list[str]:
    """Write all frames with one shape; return what a person should know.

    Raises:
        DataError: Frames are missing in between, which the format cannot say; or the file cannot
            be written.
    """
    steps = np.diff(animation.frames)
    if len(set(steps.tolist())) > 1:
        gap = int(animation.frames[int(np.argmax(steps))])
        raise DataError(
            f"frames of {animation.name}",
            expected="evenly spaced ones, for BVH has one frame time",
            found=f"none between {gap} and {gap + int(steps.max())}",
            remedy="choose --frames without the gap, or --to glb",
        )
    one_shape = animation.with_one_shape()
    rotations, offsets = rigid_bones(one_shape)
    text = "\n".join(_lines(one_shape, rotations, offsets)) + "\n"
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return animation.shape_note()


def rigid_bones(
    animation: Animation,
) -> tuple[Float[np.ndarray, "n n_joints 3 3"], Float[np.ndarray, "n n_joints 3"]]:
    """Return each bone's rotation and offset (metres) relative to its parent, without scales.

    Joints are where the scaled body has them. The root's are those in the scene.
    """
    linear = animation.posed().transforms[..., :3, :3].double()
    world = nearest_rotation(linear).numpy()
    world = SCENE_FROM_CAMERA @ world @ UPRIGHT_FROM_MODEL.T
    joints = animation.scene_joints()
    parents = list(animation.model.skeleton.parents[1:])
    above = world[:, parents].swapaxes(-1, -2)
    rotations, offsets = world.copy(), joints.copy()
    rotations[:, 1:] = above @ world[:, 1:]
    offsets[:, 1:] = (above @ (joints[:, 1:] - joints[:, parents])[..., None])[..., 0]
    return rotations, offsets


def _lines(animation: Animation, rotations: np.ndarray, offsets: np.ndarray) -> Iterator[str]:
    skeleton = animation.model.skeleton
    rest = offsets.mean(axis=0)
    rest[0] = 0.0
    spread = float(np.ptp(offsets[:, 1:], axis=0).max(initial=0.0))
    moving = spread > _SAME * METRES * animation.model.body_length
    yield "HIERARCHY"
    yield from _joint_lines(skeleton, 0, rest, moving, "")
    yield "MOTION"
    yield f"Frames: {len(animation)}"
    yield f"Frame Time: {1.0 / animation.fps:.9f}"
    angles = _angles(rotations)
    order = list(_depth_first(skeleton, 0))
    for frame in range(len(animation)):
        numbers: list[float] = []
        for joint in order:
            if joint == 0 or moving:
                numbers += offsets[frame, joint].tolist()
            numbers += angles[frame, joint].tolist()
        yield " ".join(f"{number:.7g}" for number in numbers)


def _joint_lines(
    skeleton: Skeleton, joint: int, offsets: np.ndarray, moving: bool, indent: str
) -> Iterator[str]:
    inner = indent + "  "
    kind = "ROOT" if joint == 0 else "JOINT"
    yield f"{indent}{kind} {skeleton.joint_names[joint]}"
    yield f"{indent}{{"
    yield inner + _offset(offsets[joint])
    channels = f"6 {_POSITIONS} {_ROTATIONS}" if joint == 0 or moving else f"3 {_ROTATIONS}"
    yield f"{inner}CHANNELS {channels}"
    for child in skeleton.children[joint]:
        yield from _joint_lines(skeleton, child, offsets, moving, inner)
    if not skeleton.children[joint]:
        yield f"{inner}End Site"
        yield f"{inner}{{"
        yield f"{inner}  " + _offset(0.5 * offsets[joint])
        yield f"{inner}}}"
    yield f"{indent}}}"


def _offset(offset: np.ndarray) -> str:
    return "OFFSET " + " ".join(f"{value:.7g}" for value in offset.tolist())


def _depth_first(skeleton: Skeleton, joint: int) -> Iterator[int]:
    yield joint
    for child in skeleton.children[joint]:
        yield from _depth_first(skeleton, child)


def _angles(rotations: Float[np.ndarray, "n n_joints 3 3"]) -> Float[np.ndarray, "n n_joints 3"]:
    """Return degrees about z, x, y: R = Rz Rx Ry, without jumps by whole turns over time."""
    with warnings.catch_warnings():
        # At 90 degrees about x one of the other two is taken as 0; the rotation is the same.
        warnings.filterwarnings("ignore", message="Gimbal lock")
        angles = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler("ZXY")
    unwrapped = np.unwrap(angles.reshape(*rotations.shape[:2], 3), axis=0)
    return np.degrees(unwrapped)
