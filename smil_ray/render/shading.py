"""Shaded pictures of a mesh for people to look at; numpy and one compiled kernel.

Vertices are in camera coordinates (x left, y up, z forward, model units).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from smil_ray.render.compiled import compiled
from smil_ray.render.rasterize import project_to_pixels, rasterize

DEFAULT_COLOR = (0.72, 0.74, 0.78)


@dataclass(frozen=True)
class Shading:
    """Light and quality of a picture.

    Attributes:
        direction: Towards the light, camera coordinates (x left, y up, z forward); any length.
        ambient: Share of the colour that shows without light.
        diffuse: Share that the light adds, times the cosine to the surface normal.
        specular: White highlight at the mirror angle, 0 for none.
        shininess: Exponent of the highlight.
        supersample: Rays per pixel and axis; 2 smooths edges, 1 is fastest.
    """

    direction: tuple[float, float, float] = (0.4, 0.7, -0.8)
    ambient: float = 0.35
    diffuse: float = 0.65
    specular: float = 0.0
    shininess: float = 16.0
    supersample: int = 2


def render_rgb(
    vertices_cam: Float[np.ndarray, "n_verts 3"],
    faces: Int[np.ndarray, "n_faces 3"],
    intrinsics: Float[np.ndarray, "4"],
    height: int,
    width: int,
    *,
    vertex_colors: Float[np.ndarray, "n_verts 3"] | None = None,
    background: UInt8[np.ndarray, "h w 3"] | None = None,
    shading: Shading | None = None,
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Return an RGB picture with smooth Lambert shading, and where the mesh covers half a pixel.

    Args:
        vertices_cam: Camera coordinates, model units.
        faces: Vertex indices; both sides are lit.
        intrinsics: fx, fy, cx, cy as fractions of width and height.
        height: Rows.
        width: Columns.
        vertex_colors: RGB 0-1, interpolated; light grey by default.
        background: Shown where the mesh is not; white by default.
        shading: Light and supersampling; `Shading()` by default.
    """
    shading = shading or Shading()
    if vertex_colors is None:
        vertex_colors = np.tile(np.array(DEFAULT_COLOR), (len(vertices_cam), 1))
    color, coverage = _render_layer(
        vertices_cam, faces, intrinsics, (height, width), vertex_colors, shading
    )
    if background is None:
        background = np.full((height, width, 3), 255, dtype=np.uint8)
    # Colour is already multiplied by coverage: thin legs blend with what is behind them.
    rgb = color * 255.0 + background * (1.0 - coverage[..., None])
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8), coverage >= 0.5


def vertex_normals(
    vertices: Float[np.ndarray, "n_verts 3"], faces: Int[np.ndarray, "n_faces 3"]
) -> Float[np.ndarray, "n_verts 3"]:
    """Return unit normals, the area-weighted mean of the adjacent faces' normals.

    A vertex without faces, or whose faces cancel out, has the zero vector.
    """
    corners = np.asarray(vertices, dtype=np.float64)[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = faces.ravel()
    repeated = np.repeat(face_normals, 3, axis=0)
    summed = np.stack(
        [np.bincount(index, repeated[:, axis], minlength=len(vertices)) for axis in range(3)],
        axis=1,
    ).astype(np.float64)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.divide(summed, length, out=np.zeros_like(summed), where=length > 0)


def _render_layer(
    vertices_cam: np.ndarray,
    faces: np.ndarray,
    intrinsics: np.ndarray,
    size: tuple[int, int],
    vertex_colors: np.ndarray,
    shading: Shading,
) -> tuple[np.ndarray, np.ndarray]:
    """Return colour (H, W, 3) times coverage, and coverage (H, W), both float32 in 0-1."""
    scale = max(int(shading.supersample), 1)
    height, width = size[0] * scale, size[1] * scale
    points_px, depth = project_to_pixels(vertices_cam, intrinsics, height, width)
    face_index, _ = rasterize(points_px, depth, faces, height, width)
    direction = np.asarray(shading.direction, dtype=np.float64)
    light = np.array(
        [
            *(direction / max(float(np.linalg.norm(direction)), 1e-12)),
            shading.ambient,
            shading.diffuse,
            shading.specular,
            shading.shininess,
        ]
    )
    attributes = np.hstack(
        [points_px, vertices_cam, vertex_normals(vertices_cam, faces), vertex_colors]
    ).astype(np.float64)
    color = np.zeros((*size, 3), dtype=np.float32)
    coverage = np.zeros(size, dtype=np.float32)
    index = np.ascontiguousarray(faces, dtype=np.int64)
    _shade(face_index, index, attributes, light, scale, color, coverage)
    return color, coverage


@compiled
def _shade(face_index, faces, attributes, light, scale, color, coverage):
    """Add the lit colour of every covered ray to its pixel, one share per ray.

    Columns of `attributes`: pixel (2), position (3), normal (3), colour (3) of every vertex.
    """
    share = 1.0 / (scale * scale)
    mixed = np.empty(9)
    position, normal, base = mixed[0:3], mixed[3:6], mixed[6:9]
    for row in range(face_index.shape[0]):
        for column in range(face_index.shape[1]):
            f = face_index[row, column]
            if f < 0:
                continue
            a, b, c = attributes[faces[f, 0]], attributes[faces[f, 1]], attributes[faces[f, 2]]
            x, y = column + 0.5, row + 0.5
            # Perspective-correct corner weights: picture weights divided by depth.
            w0 = ((b[0] - x) * (c[1] - y) - (c[0] - x) * (b[1] - y)) / a[4]
            w1 = ((c[0] - x) * (a[1] - y) - (a[0] - x) * (c[1] - y)) / b[4]
            w2 = ((a[0] - x) * (b[1] - y) - (b[0] - x) * (a[1] - y)) / c[4]
            total = w0 + w1 + w2
            for n in range(9):
                mixed[n] = (w0 * a[n + 2] + w1 * b[n + 2] + w2 * c[n + 2]) / total
            length = np.sqrt(np.sum(normal * normal)) + 1e-12
            distance = np.sqrt(np.sum(position * position)) + 1e-12
            # Both sides are lit: the normal is turned towards the camera.
            side = -1.0 / length if np.sum(normal * position) > 0.0 else 1.0 / length
            to_light = 0.0
            for n in range(3):
                to_light += normal[n] * side * light[n]
            to_light = max(to_light, 0.0)
            highlight = 0.0
            if light[5] > 0.0 and to_light > 0.0:
                mirrored = 0.0
                for n in range(3):
                    reflected = 2.0 * to_light * normal[n] * side - light[n]
                    mirrored -= reflected * position[n] / distance
                highlight = light[5] * max(mirrored, 0.0) ** light[6]
            brightness = light[3] + light[4] * to_light
            for n in range(3):
                value = min(base[n] * brightness + highlight, 1.0)
                color[row // scale, column // scale, n] += np.float32(value * share)
            coverage[row // scale, column // scale] += np.float32(share)
