"""Ground truth in the package's frame -> the JSON that replicAnt writes (Unreal, centimetres).

This is the inverse of what `data.replicant` reads, derived on its own from replicAnt's conventions
and sharing no code with the reader, so that the two check each other. Unreal's world is
left-handed (x forward, y right, z up); the package's world is that world mirrored in x and
divided by ten. Matrices act on columns, except the camera's (rows, x_cam = x R + T).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

CENTIMETRES = 10.0
"""Unreal centimetres per model unit."""
BONE_UNITS = 100.0
"""Units of `transform.translation` per model unit."""
NEAR_PLANE_CM = 10.0
_MIRROR_X = np.array([-1.0, 1.0, 1.0])
_MIRROR_Y = np.array([1.0, -1.0, 1.0])
_ROOT_IN_COMPONENT = Rotation.from_euler("z", -90.0, degrees=True).as_matrix()


@dataclass(frozen=True)
class CameraTruth:
    """A camera in the package's world: x_cam = x R + T, axes x left, y up, z forward.

    Attributes:
        rotation: R.
        translation: T, model units.
        fov_deg: Full field of view of the square image.
        size: Width and height of the image in pixels.
    """

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    fov_deg: float
    size: int

    def to_camera(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Return world points in camera coordinates."""
        return points @ self.rotation + self.translation

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return world points in pixels, origin in the image's upper left corner."""
        cam = self.to_camera(points)
        focal = 0.5 * self.size / math.tan(math.radians(self.fov_deg) / 2.0)
        return 0.5 * self.size - focal * cam[:, :2] / cam[:, 2:]


@dataclass(frozen=True)
class SubjectTruth:
    """One animal in the package's world, model units, joints in the model's order.

    Attributes:
        root_rotation: Root -> world.
        joint_rotations: Child -> parent; the root's entry is the identity.
        joints: Positions in the world by forward kinematics.
        offsets: Position of each joint in its parent's frame at rest, before scaling.
        scales: Scale of each bone along its axes; children inherit it.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    root_rotation: Float[np.ndarray, "3 3"]
    joint_rotations: Float[np.ndarray, "n_joints 3 3"]
    joints: Float[np.ndarray, "n_joints 3"]
    offsets: Float[np.ndarray, "n_joints 3"]
    scales: Float[np.ndarray, "n_joints 3"]
    betas: Float[np.ndarray, " n_betas"]
    scale_weights: Float[np.ndarray, " k"]
    trans_weights: Float[np.ndarray, " k"]


def iteration_data(
    index: int, camera: CameraTruth, subjects: Sequence[SubjectTruth]
) -> dict[str, Any]:
    """Return the annotation of one image as replicAnt writes it; subjects get the ids 1, 2, ..."""
    listed = [
        {str(number): _subject(subject, camera)} for number, subject in enumerate(subjects, 1)
    ]
    return {
        "iterationData": {
            "iteration": index,
            "camera": camera_fields(camera),
            "subject Data": listed,
        }
    }


def batch_data(
    name: str, samples: int, size: int, seed: int, subject_scales: Sequence[float]
) -> dict[str, Any]:
    """Return the content of `_BatchData_NAME.json`."""
    return {
        "Name": name,
        "Iterations": samples,
        "Image Resolution": {"x": size, "y": size},
        "Seed": seed,
        "Subject Variations": {
            str(number): {"Class": "SMIL_builtin_insect", "Scale": scale}
            for number, scale in enumerate(subject_scales, 1)
        },
    }


def camera_fields(camera: CameraTruth) -> dict[str, Any]:
    """Return Location (cm), Rotation (degrees), Quaternion, FOV and both matrices of a camera."""
    view = camera.rotation * np.outer(_MIRROR_X, _MIRROR_X)  # Columns: right, up, forward.
    offset = CENTIMETRES * camera.translation * _MIRROR_X
    axes = view[:, [2, 0, 1]]  # Unreal's x, y and z axis: forward, right, up.
    scale = 1.0 / math.tan(math.radians(camera.fov_deg) / 2.0)
    rows = np.vstack([view, offset])
    clip = np.zeros((4, 4))  # Columns: x, y, z, w of homogeneous clip space, reversed z.
    clip[:, :2] = rows[:, :2] * scale
    clip[3, 2] = NEAR_PLANE_CM
    clip[:, 3] = rows[:, 2]
    planes = np.hstack([rows, np.array([[0.0], [0.0], [0.0], [1.0]])])
    roll, pitch, yaw = unreal_euler_deg(axes[None])[0].tolist()
    return {
        "Location": _xyz((-offset @ view.T).tolist()),
        "Rotation": {"pitch": pitch, "yaw": yaw, "roll": roll},
        "Quaternion": _xyzw(_quaternions(axes[None])[0].tolist()),
        "FOV": camera.fov_deg,
        "View Matrix": _planes(planes),
        "View Projection Matrix": _planes(clip),
    }


def unreal_euler_deg(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    """Return Unreal's (roll, pitch, yaw) in degrees; columns are the rotated x, y and z axes."""
    forward, right, up = matrices[:, :, 0], matrices[:, :, 1], matrices[:, :, 2]
    pitch = np.arctan2(forward[:, 2], np.hypot(forward[:, 0], forward[:, 1]))
    yaw = np.arctan2(forward[:, 1], forward[:, 0])
    # Roll against the y axis of the yawed frame is well defined even looking straight down.
    side = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=1)
    roll = np.arctan2((up * side).sum(axis=1), (right * side).sum(axis=1))
    return np.degrees(np.stack([roll, pitch, yaw], axis=1))


def unreal_rotations(
    subject: SubjectTruth,
) -> tuple[Float[np.ndarray, "n_joints 3 3"], Float[np.ndarray, "n_joints 3 3"]]:
    """Return local (child -> parent) and global (bone -> world) rotations in Unreal's frames.

    Bones are mirrored in y and the world in x, hence My R My for a local rotation and Mx A My for
    a global one. The root's local rotation is the one against its component.
    """
    local = subject.joint_rotations * np.outer(_MIRROR_Y, _MIRROR_Y)
    total = np.empty_like(local)
    total[0] = subject.root_rotation * np.outer(_MIRROR_X, _MIRROR_Y)
    for joint, parent in enumerate(subject.parents[1:], 1):
        total[joint] = total[parent] @ local[joint]
    local[0] = _ROOT_IN_COMPONENT
    return local, total


def _subject(subject: SubjectTruth, camera: CameraTruth) -> dict[str, Any]:
    points_px = camera.project(subject.joints)
    low, high = points_px.min(axis=0).tolist(), points_px.max(axis=0).tolist()
    fields: dict[str, Any] = {
        "2DBounds": {"xmin": low[0], "xmax": high[0], "ymin": low[1], "ymax": high[1]},
        "keypoints": _keypoints(subject, points_px),
        "shape betas": {
            f"PC_{number:02d}": value for number, value in enumerate(subject.betas.tolist(), 1)
        },
    }
    # A model without bone directions has no weights, and replicAnt then writes no such field.
    if len(subject.scale_weights):
        fields["ScaleWeights"] = subject.scale_weights.tolist()
    if len(subject.trans_weights):
        fields["TranslationWeights"] = subject.trans_weights.tolist()
    return fields


def _keypoints(subject: SubjectTruth, points_px: np.ndarray) -> dict[str, Any]:
    local, total = unreal_rotations(subject)
    local_quaternions = _quaternions(local).tolist()
    columns = zip(
        subject.joint_names,
        points_px.tolist(),
        (CENTIMETRES * subject.joints * _MIRROR_X).tolist(),
        unreal_euler_deg(local).tolist(),
        local_quaternions,
        (BONE_UNITS * subject.offsets * _MIRROR_Y).tolist(),
        subject.scales.tolist(),
        _quaternions(total).tolist(),
        strict=True,
    )
    return {
        name: {
            "2DPos": {"x": pixel[0], "y": pixel[1]},
            "3DPos": _xyz(place),
            "eulerAngles": _xyz(euler),
            "transform": {
                "rotation": _xyzw(quaternion),
                "translation": _xyz(translation),
                "scale3D": _xyz(scale),
            },
            "quaternion": _xyzw(quaternion),
            "globalRotation": _xyzw(world),
        }
        for name, pixel, place, euler, quaternion, translation, scale, world in columns
    }


def _quaternions(matrices: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) as x, y, z, w with w >= 0 of matrices (n, 3, 3)."""
    return Rotation.from_matrix(matrices).as_quat(canonical=True)


def _xyz(values: Sequence[float]) -> dict[str, float]:
    return {"x": values[0], "y": values[1], "z": values[2]}


def _xyzw(values: Sequence[float]) -> dict[str, float]:
    return {"x": values[0], "y": values[1], "z": values[2], "w": values[3]}


def _planes(rows: np.ndarray) -> dict[str, dict[str, float]]:
    names = ("xPlane", "yPlane", "zPlane", "wPlane")
    return {
        name: {"w": row[3], "x": row[0], "y": row[1], "z": row[2]}
        for name, row in zip(names, rows.tolist(), strict=True)
    }
