"""Unreal Engine's world (centimetres, left-handed) -> the package's world (model units).

The package's world is Unreal's mirrored in x and shrunk: X' = X Mx / 10, Mx = diag(-1, 1, 1).
Cameras become PyTorch3D's: x_cam = x_world R + T with axes x left, y up, z forward. Every
formula is stated and verified in `docs/conventions_3d.md`; all arrays are float64.

Quaternions are (x, y, z, w). Intrinsics are (fx, fy, cx, cy) as fractions of width and height:
u = cx - fx x/z, v = cy - fy y/z.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

UNITS_PER_CM = 0.1
"""Model units per Unreal centimetre."""
MIRROR_X = np.array([-1.0, 1.0, 1.0])
LEAST_SIDE = 16
"""Side of the smallest square that is cut out of a picture, native pixels."""
_FLIP_LOCAL = np.array([-1.0, 1.0, -1.0])  # My R My, on the rotation vector.


def points_to_world(points_cm: Float[np.ndarray, "*axes 3"]) -> Float[np.ndarray, "*axes 3"]:
    """Return Unreal world points in the package's world, model units."""
    return points_cm * (MIRROR_X * UNITS_PER_CM)


def local_axis_angle(quaternions: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 3"]:
    """Return joint rotations (child -> parent) of Unreal's local quaternions, radians."""
    return Rotation.from_quat(quaternions).as_rotvec() * _FLIP_LOCAL


def root_axis_angle(quaternion: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3"]:
    """Return the root's rotation (root -> world) of its Unreal world quaternion, radians.

    That is Mx R Mx Rz(180 degrees), whose quaternion has the components of R's in another order.
    """
    x, y, z, w = quaternion
    return Rotation.from_quat(np.array([-y, -x, w, z])).as_rotvec()


def local_from_global(
    parent: Float[np.ndarray, "n 4"], child: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n 4"]:
    """Return local quaternions from world ones: G_child = G_parent * local."""
    return (Rotation.from_quat(parent).inv() * Rotation.from_quat(child)).as_quat()


@dataclass(frozen=True)
class UnrealView:
    """Unreal's camera: x_cam = x_world `axes` + `offset`, axes x right, y up, z forward, cm.

    Attributes:
        axes: Columns are the camera's right, up and forward in the world.
        offset: -location `axes`.
    """

    axes: Float[np.ndarray, "3 3"]
    offset: Float[np.ndarray, "3"]

    @property
    def orthonormality_error(self) -> float:
        """Largest deviation of axes' axes from the identity; a mirrored camera gives 2."""
        deviation = np.abs(self.axes.T @ self.axes - np.eye(3)).max()
        # Unreal is left-handed: (right, up, forward) has determinant +1 as (Y, Z, X) has.
        return float(max(deviation, abs(np.linalg.det(self.axes) - 1.0)))


def view_from_pose(
    location_cm: Float[np.ndarray, "3"], pitch_yaw_roll_deg: Float[np.ndarray, "3"]
) -> UnrealView:
    """Return the view of an Unreal camera from its location and rotator.

    Source: FRotationMatrix of Unreal Engine, whose rows are the forward, right and up axes.
    """
    (sp, sy, sr), (cp, cy, cr) = (
        function(np.radians(pitch_yaw_roll_deg)) for function in (np.sin, np.cos)
    )
    forward = [cp * cy, cp * sy, sp]
    right = [sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp]
    up = [-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp]
    axes = np.array([right, up, forward]).T
    return UnrealView(axes, -location_cm @ axes)


def view_from_projection(projection: Float[np.ndarray, "4 4"]) -> UnrealView:
    """Return the view contained in a View Projection Matrix [X 1] -> (hx, hy, hz, hw)."""
    forward = projection[:3, 3]
    depth = projection[3, 3]
    axes, offset = [], []
    for column in (0, 1):
        direction, shift = projection[:3, column], projection[3, column]
        centre = direction @ forward
        scaled = direction - centre * forward
        scale = max(float(np.linalg.norm(scaled)), np.finfo(float).tiny)
        axes.append(scaled / scale)
        offset.append((shift - centre * depth) / scale)
    return UnrealView(np.array([*axes, forward]).T, np.array([*offset, depth]))


def intrinsics_from_projection(
    projection: Float[np.ndarray, "4 4"], view: UnrealView
) -> Float[np.ndarray, "4"]:
    """Return the intrinsics contained in a View Projection Matrix, principal point included."""
    right, up, forward = view.axes.T
    columns = projection[:3, :2].T
    return np.array(
        [
            0.5 * columns[0] @ right,
            0.5 * columns[1] @ up,
            0.5 + 0.5 * columns[0] @ forward,
            0.5 - 0.5 * columns[1] @ forward,
        ]
    )


def intrinsics_from_fov(
    horizontal_fov_deg: float, width: int, height: int
) -> Float[np.ndarray, "4"]:
    """Return the intrinsics of square pixels and Unreal's horizontal field of view."""
    fx = 0.5 / np.tan(np.radians(horizontal_fov_deg) / 2.0)
    return np.array([fx, fx * width / height, 0.5, 0.5])


def vertical_fov_deg(intrinsics: Float[np.ndarray, "4"]) -> float:
    """Return the full vertical field of view in degrees."""
    return float(np.degrees(2.0 * np.arctan(0.5 / intrinsics[1])))


def camera_to_world(
    view: UnrealView,
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Return (cam_rot, cam_trans) in the package's world: x_cam = x R + T, model units."""
    rotation = MIRROR_X[:, None] * view.axes * MIRROR_X
    return rotation, points_to_world(view.offset)


def project(
    points: Float[np.ndarray, "n 3"],
    cam_rot: Float[np.ndarray, "3 3"],
    cam_trans: Float[np.ndarray, "3"],
    intrinsics: Float[np.ndarray, "4"],
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Return picture positions as fractions (x, y) and depths; NaN where depth is not positive."""
    cam = points @ cam_rot + cam_trans
    depth = cam[:, 2]
    safe = np.where(depth > 0, depth, np.nan)
    return intrinsics[2:] - intrinsics[:2] * cam[:, :2] / safe[:, None], depth


@dataclass(frozen=True)
class Window:
    """A square cut out of a picture, in native pixels; may reach beyond the frame (padding)."""

    left: int
    top: int
    side: int

    @classmethod
    def padded(cls, width: int, height: int) -> "Window":
        """Return the smallest square around the whole picture, padded alike on both sides."""
        side = max(width, height)
        return cls((width - side) // 2, (height - side) // 2, side)

    @classmethod
    def centred(cls, centre: Float[np.ndarray, "2"], side: float) -> "Window":
        """Return the square around a point (px), on whole pixels and of `LEAST_SIDE` or more."""
        whole = max(int(np.ceil(side)), LEAST_SIDE)
        corner = np.round(centre - whole / 2.0).astype(int)
        return cls(int(corner[0]), int(corner[1]), whole)

    def points(self, points_px: Float[np.ndarray, "*axes 2"]) -> Float[np.ndarray, "*axes 2"]:
        """Return native pixel positions as fractions of the window."""
        return (points_px - np.array([self.left, self.top])) / self.side

    def pixels(self, points: Float[np.ndarray, "*axes 2"]) -> Float[np.ndarray, "*axes 2"]:
        """Return fractions of the window as native pixel positions."""
        return points * self.side + np.array([self.left, self.top])

    def intrinsics(
        self, intrinsics: Float[np.ndarray, "4"], width: int, height: int
    ) -> Float[np.ndarray, "4"]:
        """Return the intrinsics of the window from those of the whole picture."""
        return self.intrinsics_of_px(intrinsics * np.array([width, height, width, height]))

    def intrinsics_of_px(self, intrinsics_px: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
        """Return the window's intrinsics (fractions) from the whole picture's in native pixels."""
        return np.concatenate([intrinsics_px[:2] / self.side, self.points(intrinsics_px[2:])])
