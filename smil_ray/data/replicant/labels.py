"""One subject of a replicAnt frame -> labels of the body model, in the package's world.

Positions in the picture stay native pixels here; `replicant` puts them into a window.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from smil_ray.core.skeleton import Skeleton, chain_length
from smil_ray.data.filters import SampleError
from smil_ray.data.replicant import coordinates
from smil_ray.data.replicant.annotations import RawCamera, RawSubject
from smil_ray.data.replicant.coordinates import UnrealView
from smil_ray.errors import nearest

MAX_REPROJECTION_PX = 2.0
_ORTHONORMAL = 1e-3
_UNIT_QUATERNION = 1e-2


@runtime_checkable
class BodyFacts(Protocol):
    """What reading a data set needs to know of a body model; `SmilModel` fulfils it."""

    @property
    def skeleton(self) -> Skeleton:
        """Joint names and tree."""
        ...

    @property
    def n_betas(self) -> int:
        """Number of shape coefficients, and of scale and translation weights."""
        ...

    @property
    def body_length(self) -> float:
        """Length of the trunk chain at rest, model units."""
        ...


@dataclass(frozen=True)
class CameraLabels:
    """A camera in the package's world; intrinsics are fractions of the *native* picture."""

    cam_rot: Float[np.ndarray, "3 3"]
    cam_trans: Float[np.ndarray, "3"]
    intrinsics: Float[np.ndarray, "4"]


@dataclass(frozen=True)
class SubjectLabels:
    """Labels of one subject in skeleton order, world frame, model units; NaN where absent.

    Attributes:
        points_px: (x, y) in native pixels.
        depth: Along the camera's axis, model units.
        joint_presence: The file gives the joint's position.
        reprojection_px: Largest distance of given 2D points to projected 3D ones; NaN if none.
        present: Label names out of `core.batch.LABELS`, `mask` and `camera` not among them.
        notes: Sentences about what does not fit the body model.
    """

    global_rot: Float[np.ndarray, "3"]
    joint_rot: Float[np.ndarray, "n_pose 3"]
    trans: Float[np.ndarray, "3"]
    betas: Float[np.ndarray, " n_betas"]
    scale_weights: Float[np.ndarray, " k"]
    trans_weights: Float[np.ndarray, " k"]
    points_px: Float[np.ndarray, "n_joints 2"]
    points_3d: Float[np.ndarray, "n_joints 3"]
    depth: Float[np.ndarray, " n_joints"]
    joint_presence: Bool[np.ndarray, " n_joints"]
    body_length: float
    reprojection_px: float
    present: frozenset[str]
    notes: tuple[str, ...]


def camera_labels(raw: RawCamera, width: int, height: int, name: str) -> CameraLabels:
    """Return the camera of a `width` x `height` picture.

    The view comes from the View Matrix, else location and rotation, else the View Projection
    Matrix; the intrinsics from the View Projection Matrix, else the horizontal field of view.

    Raises:
        SampleError: `camera_missing` or `camera_invalid`.
    """
    view, projection = _view(raw, name), raw.view_projection
    if view.orthonormality_error > _ORTHONORMAL:
        raise SampleError(
            "camera_invalid",
            f"{name}: camera axes",
            expected="orthonormal and not mirrored",
            found=f"a deviation of {view.orthonormality_error:.3g}",
        )
    if projection is not None:
        intrinsics = coordinates.intrinsics_from_projection(projection, view)
    elif raw.fov is not None and 0.0 < raw.fov < 180.0:
        intrinsics = coordinates.intrinsics_from_fov(raw.fov, width, height)
    else:
        reason = "camera_missing" if raw.fov is None else "camera_invalid"
        raise SampleError(reason, f"{name}: FOV", expected="0 to 180 degrees", found=raw.fov)
    if intrinsics[:2].min() < 1e-3:
        raise SampleError(
            "camera_invalid", f"{name}: View Projection Matrix", found="no focal length"
        )
    cam_rot, cam_trans = coordinates.camera_to_world(view)
    return CameraLabels(cam_rot, cam_trans, intrinsics)


def _view(raw: RawCamera, name: str) -> UnrealView:
    if raw.view is not None:
        return UnrealView(raw.view[:3, :3], raw.view[3, :3])
    if raw.location is not None and raw.pitch_yaw_roll is not None:
        return coordinates.view_from_pose(raw.location, raw.pitch_yaw_roll)
    if raw.view_projection is not None:
        return coordinates.view_from_projection(raw.view_projection)
    raise SampleError(
        "camera_missing",
        f"{name}: camera",
        expected="View Matrix, Location and Rotation, or View Projection Matrix",
        found="none of them",
    )


def subject_labels(
    raw: RawSubject,
    camera: CameraLabels,
    picture_px: tuple[int, int],
    model: BodyFacts,
    name: str,
) -> SubjectLabels:
    """Return one subject's labels; `picture_px` is (width, height) of the native picture.

    Raises:
        SampleError: `no_known_joint` or `bad_rotation`.
    """
    skeleton = model.skeleton
    notes: list[str] = []
    order = _joint_order(raw, skeleton, name, notes)
    points_3d = coordinates.points_to_world(_take(raw.points_3d, order))
    given_px = _take(raw.points_2d, order)
    fractions, depth = coordinates.project(
        points_3d, camera.cam_rot, camera.cam_trans, camera.intrinsics
    )
    projected_px = fractions * np.array(picture_px)
    has_3d = ~np.isnan(points_3d[:, 0])
    has_2d = ~np.isnan(given_px[:, 0])
    if has_3d.any() and (has_2d & ~has_3d).any():
        notes.append("keypoints: some joints have no 3DPos: marked absent")
        given_px[~has_3d], has_2d = np.nan, has_2d & has_3d
    points_px = np.where(has_2d[:, None], given_px, projected_px)
    global_rot, joint_rot = _rotations(raw, order, skeleton, name)
    labels = {
        "global_rot": global_rot,
        "joint_rot": joint_rot,
        "trans": points_3d[0],
        "keypoints_2d": points_px,
        "keypoints_3d": points_3d,
    }
    for label, field, values in (
        ("betas", "shape betas", raw.betas),
        ("scale_weights", "ScaleWeights", raw.scale_weights),
        ("trans_weights", "TranslationWeights", raw.trans_weights),
    ):
        labels[label] = _fitting(values, field, model.n_betas, notes)
    chain = chain_length(points_3d, skeleton.body_chain)
    return SubjectLabels(
        global_rot=global_rot,
        joint_rot=joint_rot,
        trans=points_3d[0],
        betas=labels["betas"],
        scale_weights=labels["scale_weights"],
        trans_weights=labels["trans_weights"],
        points_px=points_px,
        points_3d=points_3d,
        depth=depth,
        joint_presence=~np.isnan(points_px[:, 0]),
        body_length=float(chain) if chain > 0 else model.body_length,
        reprojection_px=_worst_disagreement(given_px, projected_px),
        present=frozenset(k for k, value in labels.items() if not np.isnan(value).all()),
        notes=tuple(notes),
    )


def _joint_order(raw: RawSubject, skeleton: Skeleton, name: str, notes: list[str]) -> np.ndarray:
    """Return for each joint of the skeleton its row in the file, -1 where it is missing."""
    row = {joint: index for index, joint in enumerate(raw.joint_names)}
    order = np.array([row.get(joint, -1) for joint in skeleton.joint_names])
    if (order < 0).all():
        near = nearest(raw.joint_names[0], skeleton.joint_names)
        raise SampleError(
            "no_known_joint",
            f"{name}: keypoints",
            expected=f"joints of the body model such as {near!r}",
            found=f"{raw.joint_names[0]!r} and {len(raw.joint_names) - 1} others",
        )
    missing = [joint for joint in skeleton.joint_names if joint not in row]
    unknown = [joint for joint in raw.joint_names if joint not in skeleton.index]
    if missing:
        notes.append(f"missing joints: {_some(missing)}: marked absent")
    if unknown:
        notes.append(f"unknown joints: {_some(unknown)}: left out")
    return order


def _rotations(
    raw: RawSubject, order: np.ndarray, skeleton: Skeleton, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return root -> world and child -> parent rotations, axis-angle; NaN where absent.

    A missing local quaternion is derived from the world rotations of joint and parent.
    """
    world = _unit(_take(raw.global_quat, order), f"{name}: globalRotation")
    local = _unit(_take(raw.local_quat, order), f"{name}: quaternion")[1:]
    parents = np.array(skeleton.parents[1:], dtype=int)
    derive = np.isnan(local[:, 0]) & ~np.isnan(world[1:, 0]) & ~np.isnan(world[parents, 0])
    if derive.any():
        local[derive] = coordinates.local_from_global(world[parents[derive]], world[1:][derive])
    joint_rot = np.full((skeleton.n_pose, 3), np.nan)
    known = ~np.isnan(local[:, 0])
    if known.any():
        joint_rot[known] = coordinates.local_axis_angle(local[known])
    if np.isnan(world[0, 0]):
        return np.full(3, np.nan), joint_rot
    return coordinates.root_axis_angle(world[0]), joint_rot


def _unit(quaternions: np.ndarray, where: str) -> np.ndarray:
    error = np.abs(np.linalg.norm(quaternions, axis=1) - 1.0)
    if (error > _UNIT_QUATERNION).any():  # NaN compares false: absent rows pass.
        raise SampleError(
            "bad_rotation",
            where,
            expected="unit quaternions",
            found=f"a length that is off by {np.nanmax(error):.3g}",
        )
    return quaternions


def _fitting(values: np.ndarray | None, field: str, wanted: int, notes: list[str]) -> np.ndarray:
    if values is not None and len(values) == wanted:
        return values
    if values is not None:
        notes.append(f"{field}: file has {len(values)}, model has {wanted}: marked absent")
    return np.full(wanted, np.nan)


def _worst_disagreement(given_px: np.ndarray, projected_px: np.ndarray) -> float:
    distance = np.linalg.norm(given_px - projected_px, axis=1)
    known = distance[~np.isnan(distance)]
    return float(known.max()) if known.size else float("nan")


def _take(rows: np.ndarray, order: np.ndarray) -> np.ndarray:
    taken = rows[order]
    taken[order < 0] = np.nan
    return taken


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest
