"""Camera: points in a reference frame to fractions of the picture and back; pure torch.

`docs/conventions_3d.md` sections 3 and 4 are normative: x_cam = x R + T (row vectors), camera
axes x left, y up, z forward; u = cx - fx x/z, v = cy - fy y/z with (u, v) as fractions of width
and height, origin at the picture's top left corner.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.core.params import SmilParams

MIN_DEPTH = 1e-2
"""Model units (0.1 cm). Nearer points, and those behind the camera, project as if at this depth,
so that pictures and gradients stay finite; surfaces with such a vertex are not drawn."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; leading axes broadcast against each other and against the points.

    Attributes:
        rotation: Reference frame -> camera, row convention (`cam_rot`).
        translation: Reference frame -> camera, model units (`cam_trans`).
        intrinsics: fx, fy, cx, cy as fractions of the picture's width (fx, cx) and height.
    """

    rotation: Float[Tensor, "*#batch 3 3"]
    translation: Float[Tensor, "*#batch 3"]
    intrinsics: Float[Tensor, "*#batch 4"]

    @classmethod
    def from_fov(
        cls,
        fov_deg: Float[Tensor, "..."] | float,
        rotation: Float[Tensor, "... 3 3"],
        translation: Float[Tensor, "... 3"],
        principal_point: Float[Tensor, "... 2"] | None = None,
        *,
        aspect: float = 1.0,
    ) -> "Camera":
        """Return the camera with full vertical field of view `fov_deg` (...,) in degrees.

        Args:
            fov_deg: Degrees; without a trailing axis of one.
            rotation: `cam_rot`, row convention.
            translation: `cam_trans`, model units.
            principal_point: (cx, cy) as fractions; the picture's centre by default.
            aspect: Width over height of the picture, for square pixels.
        """
        fov = torch.as_tensor(fov_deg, dtype=rotation.dtype, device=rotation.device)
        intrinsics = intrinsics_from_fov(fov, aspect, principal_point)
        return cls(rotation, translation, intrinsics)

    @classmethod
    def from_params(
        cls, params: SmilParams, intrinsics: Float[Tensor, "batch 4"] | None = None
    ) -> "Camera":
        """Return the camera of SMIL parameters for the square network image.

        The focal length comes from `params.fov`; of `intrinsics` only the principal point is
        taken, which a crop of the original picture moves away from the centre.
        """
        point = None if intrinsics is None else intrinsics[..., 2:]
        return cls.from_fov(params.fov[..., 0], params.cam_rot, params.cam_trans, point)

    @property
    def fov_deg(self) -> Float[Tensor, "..."]:
        """Full vertical field of view in degrees, without a trailing axis."""
        return fov_from_intrinsics(self.intrinsics)

    @property
    def position(self) -> Float[Tensor, "... 3"]:
        """Place of the camera in the reference frame, model units."""
        return -(self.translation[..., None, :] @ self.rotation.mT)[..., 0, :]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Camera":
        """Return the camera on another device or in another precision."""
        moved = [
            value.to(device=device, dtype=dtype)
            for value in (self.rotation, self.translation, self.intrinsics)
        ]
        return Camera(*moved)

    def to_camera(self, points: Float[Tensor, "... n 3"]) -> Float[Tensor, "... n 3"]:
        """Return points of the reference frame in camera coordinates."""
        return points @ self.rotation + self.translation[..., None, :]

    def from_camera(self, points_cam: Float[Tensor, "... n 3"]) -> Float[Tensor, "... n 3"]:
        """Return points in camera coordinates in the reference frame."""
        return (points_cam - self.translation[..., None, :]) @ self.rotation.mT

    def project(
        self, points: Float[Tensor, "... n 3"]
    ) -> tuple[Float[Tensor, "... n 2"], Float[Tensor, "... n"]]:
        """Return (x, y) as fractions of the picture, and depth along z in model units.

        Points nearer than `MIN_DEPTH` or behind the camera give finite fractions and the true
        (small or negative) depth, by which callers tell them apart.
        """
        return project_cam(self.to_camera(points), self.intrinsics)

    def unproject(
        self, xy: Float[Tensor, "... n 2"], depth: Float[Tensor, "... n"]
    ) -> Float[Tensor, "... n 3"]:
        """Return the points of the reference frame seen at `xy` in `depth` (model units)."""
        focal = self.intrinsics[..., None, :2]
        center = self.intrinsics[..., None, 2:]
        lateral = (center - xy) / focal * depth[..., None]
        return self.from_camera(torch.cat([lateral, depth[..., None]], dim=-1))

    def cropped(self, box: Float[Tensor, "... 4"]) -> "Camera":
        """Return the camera of the part `box` = (x0, y0, x1, y1) of the picture, in fractions.

        A box that reaches beyond the picture is the padding of a picture.
        """
        size = box[..., 2:] - box[..., :2]
        focal = self.intrinsics[..., :2] / size
        center = (self.intrinsics[..., 2:] - box[..., :2]) / size
        return replace(self, intrinsics=torch.cat([focal, center], dim=-1))


def project_cam(
    points_cam: Float[Tensor, "... n 3"], intrinsics: Float[Tensor, "... 4"]
) -> tuple[Float[Tensor, "... n 2"], Float[Tensor, "... n"]]:
    """Return fractions (x, y) and depth of points in camera coordinates (see `Camera.project`)."""
    depth = points_cam[..., 2]
    positive = torch.where(depth > MIN_DEPTH, depth, MIN_DEPTH)
    ratio = points_cam[..., :2] / positive[..., None]
    return intrinsics[..., None, 2:] - intrinsics[..., None, :2] * ratio, depth


def intrinsics_from_fov(
    fov_deg: Float[Tensor, "..."],
    aspect: float = 1.0,
    principal_point: Float[Tensor, "... 2"] | None = None,
) -> Float[Tensor, "... 4"]:
    """Return fx, fy, cx, cy (fractions) for a full vertical field of view in degrees.

    fy = 0.5 / tan(fov / 2); square pixels make fx = fy / aspect, aspect = width / height.
    """
    focal_y = 0.5 / torch.tan(torch.deg2rad(fov_deg) / 2)
    focal = torch.stack([focal_y / aspect, focal_y], dim=-1)
    if principal_point is None:
        principal_point = torch.full_like(focal, 0.5)
    focal, center = torch.broadcast_tensors(focal, principal_point)
    return torch.cat([focal, center], dim=-1)


def fov_from_intrinsics(intrinsics: Float[Tensor, "... 4"]) -> Float[Tensor, "..."]:
    """Return the full vertical field of view in degrees, 2 atan(0.5 / fy)."""
    return torch.rad2deg(2 * torch.atan(0.5 / intrinsics[..., 1]))


def intrinsics_in_pixels(
    intrinsics: Float[Tensor, "... 4"], height: int, width: int
) -> Float[Tensor, "... 4"]:
    """Return fx, fy, cx, cy in pixels of a picture of the given size."""
    return intrinsics * intrinsics.new_tensor([width, height, width, height])


def intrinsics_from_pixels(
    pixels: Float[Tensor, "... 4"], height: int, width: int
) -> Float[Tensor, "... 4"]:
    """Return fx, fy, cx, cy as fractions, from pixels of a picture of the given size."""
    return pixels / pixels.new_tensor([width, height, width, height])
