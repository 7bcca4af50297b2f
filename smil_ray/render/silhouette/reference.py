"""The readable reference of soft silhouettes: plain torch, in double precision inside.

The value of a pixel is 1 - prod_f (1 - sigmoid(-d_f / sigma)) over faces f, with d_f the squared
distance from the pixel's centre to the face, negative inside (Liu et al. 2019, "Soft
Rasterizer", eq. 3 and 8, with pytorch3d's blur radius). Distances are in NDC, in which the
picture's shorter side measures 2.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from smil_ray.render.camera import MIN_DEPTH

MIN_PROBABILITY = 1e-4
"""Faces that would cover a pixel with less than this are left out."""
MIN_DOUBLE_AREA = 1e-8
"""NDC units squared; a face with less than half of this is degenerate and not drawn."""


def silhouette_reference(
    xy: Float[Tensor, "batch n_verts 2"],
    depth: Float[Tensor, "batch n_verts"],
    faces: Int[Tensor, "n_faces 3"],
    height: int,
    width: int,
    sigma: float,
) -> Float[Tensor, "batch h w"]:
    """Return silhouettes by plain torch, in double precision inside."""
    points = fractions_to_ndc(xy.double(), height, width)
    pictures = [
        _one_picture(points[n], depth[n], faces, height, width, sigma) for n in range(len(points))
    ]
    if not pictures:
        return xy.new_zeros((0, height, width))
    return torch.stack(pictures).to(xy.dtype)


def _one_picture(
    points: Float[Tensor, "n_verts 2"],
    depth: Float[Tensor, " n_verts"],
    faces: Int[Tensor, "n_faces 3"],
    height: int,
    width: int,
    sigma: float,
) -> Float[Tensor, "h w"]:
    faces = faces[drawn_faces(points, depth, faces)]
    corners = points[faces]
    radius = blur_radius(sigma)
    face, pixel = _pairs_in_reach(corners.detach(), math.sqrt(radius), height, width)
    place = torch.stack([pixel % width, pixel // width], dim=-1).to(points) + 0.5
    centers = fractions_to_ndc(place / points.new_tensor([width, height]), height, width)
    distance = signed_squared_distance(centers, corners[face])
    near = distance < radius
    # log(1 - sigmoid(-d / sigma)) = logsigmoid(d / sigma): the product becomes a stable sum.
    log_clear = functional.logsigmoid(distance[near] / sigma)
    total = points.new_zeros(height * width).index_add(0, pixel[near], log_clear)
    return -torch.expm1(total).reshape(height, width)


def drawn_faces(
    points: Float[Tensor, "n_verts 2"],
    depth: Float[Tensor, " n_verts"],
    faces: Int[Tensor, "n_faces 3"],
) -> Bool[Tensor, " n_faces"]:
    """Return the faces that are drawn: in front of the camera, finite, and with area (NDC)."""
    corners = points.detach()[faces]
    side_1, side_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (side_1[:, 0] * side_2[:, 1] - side_1[:, 1] * side_2[:, 0]).abs()
    in_front = (depth[faces] > MIN_DEPTH).all(dim=1)
    return in_front & (area > MIN_DOUBLE_AREA) & torch.isfinite(area)


def signed_squared_distance(
    points: Float[Tensor, "n 2"], triangles: Float[Tensor, "n 3 2"]
) -> Float[Tensor, " n"]:
    """Return squared distances from points to triangles' edges, negative inside."""
    start, end = triangles, triangles.roll(-1, dims=1)
    edge = end - start
    from_start = points[:, None] - start
    length = (edge * edge).sum(-1)
    # An edge shorter than 1e-4 NDC counts as its end point, as in pytorch3d.
    short = length <= MIN_DOUBLE_AREA
    along = (from_start * edge).sum(-1) / length.where(~short, 1.0)
    along = along.clamp(0.0, 1.0).where(~short, 1.0)
    offset = from_start - along[..., None] * edge
    distance = (offset * offset).sum(-1).min(dim=1).values
    cross = edge[..., 0] * from_start[..., 1] - edge[..., 1] * from_start[..., 0]
    inside = (cross > 0).all(dim=1) | (cross < 0).all(dim=1)
    return torch.where(inside, -distance, distance)


def _pairs_in_reach(
    corners: Float[Tensor, "n_faces 3 2"], reach: float, height: int, width: int
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Return face and pixel (row-major) of all pairs in the faces' boxes grown by `reach`."""
    size = corners.new_tensor([width, height])
    half_short = min(height, width) / 2.0
    low = (corners.amin(1) - reach) * half_short + size / 2 - 0.5
    high = (corners.amax(1) + reach) * half_short + size / 2 - 0.5
    first = low.ceil().clamp_min(0.0)
    # A box that ends before it begins lies outside the picture and holds no pixel.
    count = (high.floor().minimum(size - 1) - first + 1).clamp_min(0.0).long()
    first = first.minimum(size).long()
    number = count.prod(dim=1)
    face = torch.repeat_interleave(number)
    within = torch.arange(len(face), device=face.device) - (number.cumsum(0) - number)[face]
    columns = count[face, 0]
    column = first[face, 0] + within % columns
    row = first[face, 1] + within // columns
    return face, row * width + column


def blur_radius(sigma: float) -> float:
    """Return the squared NDC distance at which a face covers with `MIN_PROBABILITY`."""
    return math.log(1.0 / MIN_PROBABILITY - 1.0) * sigma


def fractions_to_ndc(
    xy: Float[Tensor, "... 2"], height: int, width: int
) -> Float[Tensor, "... 2"]:
    """Return (x, y) in NDC from the picture's centre, x right, y down, shorter side 2 long."""
    half_extent = xy.new_tensor([width, height]) / min(height, width)
    return (2.0 * xy - 1.0) * half_extent
