"""Hard rasterisation with a z-buffer, not differentiable: pictures, masks, IoU. numpy in and out.

Pixel coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5. Faces with a
vertex nearer than `MIN_DEPTH`, with a coordinate that is not finite, or without area are skipped
(`docs/conventions_3d.md` section 5).
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from smil_ray.render.camera import MIN_DEPTH
from smil_ray.render.compiled import compiled


def rasterize(
    points_px: Float[np.ndarray, "n_verts 2"],
    depth: Float[np.ndarray, " n_verts"],
    faces: Int[np.ndarray, "n_faces 3"],
    height: int,
    width: int,
) -> tuple[Int32[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Return the nearest face at every pixel centre (-1: none) and its depth (inf: none).

    Args:
        points_px: (x, y) in pixels, x right, y down; places outside the picture are fine.
        depth: Along the camera's z, model units, positive in front.
        faces: Vertex indices; both windings are drawn.
        height: Rows of the picture.
        width: Columns of the picture.

    Raises:
        ValueError: A face names a vertex that is not there.
    """
    if faces.size and not (faces.min() >= 0 and faces.max() < len(points_px)):
        raise ValueError(f"rasterize: faces name vertices outside 0..{len(points_px) - 1}")
    face_index = np.full((height, width), -1, dtype=np.int32)
    inverse_depth = np.zeros((height, width), dtype=np.float32)
    _fill(
        np.ascontiguousarray(points_px, dtype=np.float64),
        np.ascontiguousarray(depth, dtype=np.float64),
        np.ascontiguousarray(faces, dtype=np.int64),
        MIN_DEPTH,
        face_index,
        inverse_depth,
    )
    with np.errstate(divide="ignore"):
        return face_index, np.float32(1.0) / inverse_depth


def hard_mask(
    points_px: Float[np.ndarray, "n_verts 2"],
    depth: Float[np.ndarray, " n_verts"],
    faces: Int[np.ndarray, "n_faces 3"],
    height: int,
    width: int,
) -> Bool[np.ndarray, "h w"]:
    """Return where a face covers the pixel centre; arguments as in `rasterize`."""
    return rasterize(points_px, depth, faces, height, width)[0] >= 0


def project_to_pixels(
    vertices_cam: Float[np.ndarray, "n_verts 3"],
    intrinsics: Float[np.ndarray, "4"],
    height: int,
    width: int,
) -> tuple[Float[np.ndarray, "n_verts 2"], Float[np.ndarray, " n_verts"]]:
    """Return pixels (x, y) and depth of points in camera coordinates, float64.

    The numpy twin of `camera.project_cam`: u = cx - fx x/z, v = cy - fy y/z times the size.
    """
    points = np.asarray(vertices_cam, dtype=np.float64)
    focal, center = np.split(np.asarray(intrinsics, dtype=np.float64), 2)
    positive = np.maximum(points[:, 2:], MIN_DEPTH)
    fractions = center - focal * points[:, :2] / positive
    return fractions * np.array([width, height], dtype=np.float64), points[:, 2].copy()


@compiled
def _fill(points, depth, faces, min_depth, face_index, inverse_depth):
    """Write the nearest face and 1 / depth; 1 / depth is linear on the picture plane."""
    height, width = face_index.shape
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        z0, z1, z2 = depth[i], depth[j], depth[k]
        if not (z0 > min_depth and z1 > min_depth and z2 > min_depth):
            continue
        x0, y0 = points[i, 0], points[i, 1]
        x1, y1 = points[j, 0], points[j, 1]
        x2, y2 = points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if not np.isfinite(area) or area == 0.0:
            continue
        left = max(np.ceil(min(x0, x1, x2) - 0.5), 0.0)
        right = min(np.floor(max(x0, x1, x2) - 0.5), width - 1.0)
        top = max(np.ceil(min(y0, y1, y2) - 0.5), 0.0)
        bottom = min(np.floor(max(y0, y1, y2) - 0.5), height - 1.0)
        if left > right or top > bottom:
            continue
        # Weights w_k of the corners are linear in x: value at the row's start plus a step.
        step0 = (y1 - y2) / area
        step1 = (y2 - y0) / area
        step2 = -step0 - step1
        q0, q1, q2 = 1.0 / z0, 1.0 / z1, 1.0 / z2
        column_start = int(left)
        column_end = int(right) + 1
        for row in range(int(top), int(bottom) + 1):
            y = row + 0.5
            x = column_start + 0.5
            w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
            w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
            w2 = 1.0 - w0 - w1
            for column in range(column_start, column_end):
                if w0 >= 0.0 and w1 >= 0.0 and w2 >= 0.0:
                    q = np.float32(w0 * q0 + w1 * q1 + w2 * q2)
                    if q > inverse_depth[row, column]:
                        inverse_depth[row, column] = q
                        face_index[row, column] = f
                w0 += step0
                w1 += step1
                w2 += step2
