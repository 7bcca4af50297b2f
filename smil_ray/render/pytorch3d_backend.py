"""The only file that imports pytorch3d: its cameras and its soft silhouettes.

Nothing else needs pytorch3d on the CPU; import this module on demand.
"""

import torch
from jaxtyping import Float, Int
from pytorch3d.renderer.blending import BlendParams, sigmoid_alpha_blend
from pytorch3d.renderer.cameras import FoVPerspectiveCameras
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.renderer.mesh.rasterizer import Fragments
from pytorch3d.structures import Meshes
from torch import Tensor
from torch.nn import functional

from smil_ray.render.camera import Camera
from smil_ray.render.silhouette.reference import blur_radius, drawn_faces, fractions_to_ndc

FACES_PER_PIXEL = 100
"""pytorch3d keeps the nearest faces only; 150 is the most that it allows on CUDA."""


def to_pytorch3d(camera: Camera, height: int, width: int) -> FoVPerspectiveCameras:
    """Return the camera as pytorch3d's, for pictures of the given size.

    The camera must have one leading axis. pytorch3d measures the field of view along the shorter
    side and puts its NDC there; a principal point away from the centre, or pixels that are not
    square, make the projection matrix `K` carry the intrinsics.
    """
    batch = camera.rotation.shape[0]
    intrinsics = camera.intrinsics.expand(batch, 4)
    size = intrinsics.new_tensor([width, height])
    to_ndc = 2.0 * size / min(height, width)
    focal = intrinsics[:, :2] * to_ndc
    center = (0.5 - intrinsics[:, 2:]) * to_ndc
    pose = {"R": camera.rotation, "T": camera.translation, "device": camera.rotation.device}
    plain = torch.allclose(focal[:, 0], focal[:, 1], rtol=1e-6) and not bool(center.any())
    if plain:
        fov = 2.0 * torch.atan(1.0 / focal[:, 1])
        return FoVPerspectiveCameras(fov=fov, degrees=False, **pose)
    matrix = intrinsics.new_zeros(batch, 4, 4)
    matrix[:, 0, 0], matrix[:, 1, 1] = focal[:, 0], focal[:, 1]
    matrix[:, 0, 2], matrix[:, 1, 2] = center[:, 0], center[:, 1]
    matrix[:, 2, 2] = matrix[:, 3, 2] = 1.0
    return FoVPerspectiveCameras(K=matrix, **pose)


def from_pytorch3d(cameras: FoVPerspectiveCameras, height: int, width: int) -> Camera:
    """Return pytorch3d's cameras, as they see pictures of the given size, as one `Camera`."""
    matrix = cameras.get_projection_transform().get_matrix().mT
    to_fraction = min(height, width) / (2.0 * matrix.new_tensor([width, height]))
    focal = torch.stack([matrix[:, 0, 0], matrix[:, 1, 1]], dim=-1) * to_fraction
    center = 0.5 - matrix[:, :2, 2] * to_fraction
    batch = matrix.shape[0]
    rotation, translation = cameras.R.expand(batch, 3, 3), cameras.T.expand(batch, 3)
    return Camera(rotation, translation, torch.cat([focal, center], dim=-1))


def silhouette_pytorch3d(
    xy: Float[Tensor, "batch n_verts 2"],
    depth: Float[Tensor, "batch n_verts"],
    faces: Int[Tensor, "n_faces 3"],
    height: int,
    width: int,
    sigma: float,
    faces_per_pixel: int = FACES_PER_PIXEL,
) -> Float[Tensor, "batch h w"]:
    """Return silhouettes as `soft_silhouette` does, from the nearest faces of every pixel.

    Where more than `faces_per_pixel` faces reach a pixel the farthest are lost; single precision.
    """
    if not len(xy) or not len(faces):
        return xy.new_zeros((len(xy), height, width))
    points = fractions_to_ndc(xy.float(), height, width)
    depth = depth.detach().float()
    # Faces that must not be drawn shrink to one point at an extra vertex: pytorch3d skips faces
    # without area, and fails on a mesh without faces.
    drawn = torch.stack(
        [drawn_faces(p.double(), z, faces) for p, z in zip(points, depth, strict=True)]
    )
    extra = xy.shape[1]
    shown = torch.where(drawn[..., None], faces, extra)
    # pytorch3d's NDC has x left and y up.
    vertices = functional.pad(torch.cat([-points, depth[..., None]], dim=-1), (0, 0, 0, 1))
    index, zbuf, barycentric, distances = rasterize_meshes(
        Meshes(vertices, shown),
        image_size=(height, width),
        blur_radius=blur_radius(sigma),
        faces_per_pixel=faces_per_pixel,
        # Coarse binning loses faces where a bin is full.
        bin_size=0,
        perspective_correct=False,
        # Without it a sliver is lost where its plane, extended to the pixel, is behind the camera.
        clip_barycentric_coords=True,
    )
    fragments = Fragments(index, zbuf, barycentric, distances)
    colors = torch.ones_like(barycentric)
    rgba = sigmoid_alpha_blend(colors, fragments, BlendParams(sigma=sigma))
    return rgba[..., 3].to(xy.dtype)
