"""The loops of `silhouette_cpu`, compiled: one picture, a band of rows or a run of faces each.

Points are in NDC from the picture's centre (x right, y down, the shorter side 2 long); arrays
are double precision. Boxes are pixels [x0, y0, x1, y1). `settings` are sigma, the squared blur
radius, and the squared length below which an edge counts as its end point: a constant of another
module would stay in the cached machine code when it changes.
"""

import numpy as np

from smil_ray.render.compiled import compiled

_OPAQUE = 1e-44
"""A transparency that is 0 in single precision; such pixels need no more faces."""


@compiled
def find_boxes(points, depth, faces, limits, width, boxes, row_work):
    """Write each face's pixel box [x0, y0, x1, y1), empty for faces that are not drawn."""
    height = row_work.shape[0]
    min_depth, min_area, reach = limits[0], limits[1], limits[2]
    half_short = min(height, width) / 2.0
    for f in range(faces.shape[0]):
        boxes[f, :] = 0
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if not (depth[i] > min_depth and depth[j] > min_depth and depth[k] > min_depth):
            continue
        ax, ay = points[i, 0], points[i, 1]
        bx, by = points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        area = abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
        if not area > min_area or not np.isfinite(area):
            continue
        left = (min(ax, bx, cx) - reach) * half_short + width / 2.0 - 0.5
        right = (max(ax, bx, cx) + reach) * half_short + width / 2.0 - 0.5
        top = (min(ay, by, cy) - reach) * half_short + height / 2.0 - 0.5
        bottom = (max(ay, by, cy) + reach) * half_short + height / 2.0 - 0.5
        if left > width - 1 or right < 0 or top > height - 1 or bottom < 0:
            continue
        boxes[f, 0] = int(max(np.ceil(left), 0.0))
        boxes[f, 1] = int(max(np.ceil(top), 0.0))
        boxes[f, 2] = int(min(np.floor(right), width - 1.0)) + 1
        boxes[f, 3] = int(min(np.floor(bottom), height - 1.0)) + 1
        for row in range(boxes[f, 1], boxes[f, 3]):
            row_work[row] += max(boxes[f, 2] - boxes[f, 0], 0)


@compiled
def _edge(ax, ay, bx, by, shortest):
    """Return an edge vector and 1 / its squared length, 0 where it is too short."""
    ex, ey = bx - ax, by - ay
    length = ex * ex + ey * ey
    return ex, ey, (1.0 / length if length > shortest else 0.0)


@compiled
def _to_edge(px, py, ax, ay, ex, ey, inverse):
    """Return squared distance, place along the edge (0-1), the offset, and the side (cross)."""
    dx, dy = px - ax, py - ay
    t = min(max((dx * ex + dy * ey) * inverse, 0.0), 1.0) if inverse > 0.0 else 1.0
    ox, oy = dx - t * ex, dy - t * ey
    return ox * ox + oy * oy, t, ox, oy, ex * dy - ey * dx


@compiled
def draw(points, faces, boxes, rows, settings, clear):
    """Multiply the pixels of rows [first, last) by 1 - p of every face."""
    height, width = clear.shape
    step = 2.0 / min(height, width)
    sigma, radius = settings[0], settings[1]
    for f in range(faces.shape[0]):
        first, last = max(boxes[f, 1], rows[0]), min(boxes[f, 3], rows[1])
        if first >= last:
            continue
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay = points[i, 0], points[i, 1]
        bx, by = points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        abx, aby, ab = _edge(ax, ay, bx, by, settings[2])
        bcx, bcy, bc = _edge(bx, by, cx, cy, settings[2])
        cax, cay, ca = _edge(cx, cy, ax, ay, settings[2])
        for row in range(first, last):
            py = (row + 0.5 - 0.5 * height) * step
            for column in range(boxes[f, 0], boxes[f, 2]):
                if clear[row, column] < _OPAQUE:
                    continue
                px = (column + 0.5 - 0.5 * width) * step
                d0, _, _, _, s0 = _to_edge(px, py, ax, ay, abx, aby, ab)
                d1, _, _, _, s1 = _to_edge(px, py, bx, by, bcx, bcy, bc)
                d2, _, _, _, s2 = _to_edge(px, py, cx, cy, cax, cay, ca)
                d = min(d0, d1, d2)
                if (s0 > 0.0 and s1 > 0.0 and s2 > 0.0) or (s0 < 0.0 and s1 < 0.0 and s2 < 0.0):
                    # 1 - sigmoid(x) = 1 / (1 + exp(x)); deep inside it is 0, by way of infinity.
                    clear[row, column] /= 1.0 + np.exp(d / sigma)
                elif d < radius:
                    clear[row, column] /= 1.0 + np.exp(-d / sigma)


@compiled
def differentiate(points, faces, boxes, run, settings, weights, per_face):
    """Write the gradients of faces [first, last) with respect to their corners."""
    height, width = weights.shape
    step = 2.0 / min(height, width)
    sigma, radius = settings[0], settings[1]
    for f in range(run[0], run[1]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay = points[i, 0], points[i, 1]
        bx, by = points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        abx, aby, ab = _edge(ax, ay, bx, by, settings[2])
        bcx, bcy, bc = _edge(bx, by, cx, cy, settings[2])
        cax, cay, ca = _edge(cx, cy, ax, ay, settings[2])
        for row in range(boxes[f, 1], boxes[f, 3]):
            py = (row + 0.5 - 0.5 * height) * step
            for column in range(boxes[f, 0], boxes[f, 2]):
                weight = weights[row, column]
                if abs(weight) < 1e-40:
                    continue
                px = (column + 0.5 - 0.5 * width) * step
                d, t, ox, oy, s0 = _to_edge(px, py, ax, ay, abx, aby, ab)
                start, end = 0, 1
                d1, t1, ox1, oy1, s1 = _to_edge(px, py, bx, by, bcx, bcy, bc)
                if d1 < d:
                    d, t, ox, oy, start, end = d1, t1, ox1, oy1, 1, 2
                d2, t2, ox2, oy2, s2 = _to_edge(px, py, cx, cy, cax, cay, ca)
                if d2 < d:
                    d, t, ox, oy, start, end = d2, t2, ox2, oy2, 2, 0
                sign = 1.0
                if (s0 > 0.0 and s1 > 0.0 and s2 > 0.0) or (s0 < 0.0 and s1 < 0.0 and s2 < 0.0):
                    sign = -1.0
                elif d >= radius:
                    continue
                # The nearest point a + t (b - a) moves with a by 1 - t and with b by t.
                share = -2.0 * sign * weight / (1.0 + np.exp(sign * d / sigma))
                per_face[f, start, 0] += share * (1.0 - t) * ox
                per_face[f, start, 1] += share * (1.0 - t) * oy
                per_face[f, end, 0] += share * t * ox
                per_face[f, end, 1] += share * t * oy


@compiled
def gather(per_face, faces, gradient):
    """Sum the faces' gradients at their vertices, in the order of the faces."""
    for n in range(per_face.shape[0]):
        for f in range(faces.shape[0]):
            for corner in range(3):
                vertex = faces[f, corner]
                gradient[n, vertex, 0] += per_face[n, f, corner, 0]
                gradient[n, vertex, 1] += per_face[n, f, corner, 1]
