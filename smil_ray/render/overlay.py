"""Keypoints, meshes and errors drawn on pictures for people; RGB uint8 (H, W, 3), copies.

Keypoints are (x, y) as fractions of width and height. Points that are not finite, or further
than one picture outside, are left out.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from smil_ray.core.skeleton import Skeleton
from smil_ray.render.shading import Shading, render_rgb

Color = tuple[int, int, int]
PREDICTED_COLOR: Color = (255, 64, 160)
TRUE_COLOR: Color = (0, 220, 120)
ERROR_COLOR: Color = (255, 210, 0)
HIDDEN_COLOR: Color = (150, 150, 150)
_SUBPIXEL_BITS = 4


def draw_keypoints(
    image: UInt8[np.ndarray, "h w 3"],
    xy: Float[np.ndarray, "n_joints 2"],
    *,
    skeleton: Skeleton | None = None,
    visible: Bool[np.ndarray, " n_joints"] | None = None,
    color: Color = PREDICTED_COLOR,
    names: bool = False,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with keypoints, bones of the skeleton, hidden joints as grey rings.

    Args:
        image: RGB.
        xy: Fractions of width and height.
        skeleton: Draws a line from every joint to its parent.
        visible: Joints that are seen; all by default.
        color: RGB 0-255.
        names: Writes joint names; needs `skeleton`.
    """
    canvas = np.ascontiguousarray(image).copy()
    points = _to_pixels(xy, canvas)
    seen = np.ones(len(points), dtype=bool) if visible is None else visible
    radius = _mark_size(canvas)
    if skeleton is not None:
        for joint, parent in enumerate(skeleton.parents):
            if parent >= 0:
                _line(canvas, points[joint], points[parent], color, max(1, radius // 2))
    for point, shown in zip(points, seen, strict=True):
        _dot(canvas, point, radius, color if shown else HIDDEN_COLOR, filled=bool(shown))
    if names and skeleton is not None:
        for point, name in zip(points, skeleton.joint_names, strict=True):
            if np.isfinite(point).all():
                _text(canvas, name, point + radius + 1, 0.35 * _text_scale(canvas), color)
    return canvas


def draw_radii(
    image: UInt8[np.ndarray, "h w 3"],
    xy: Float[np.ndarray, "n_joints 2"],
    radii: Float[np.ndarray, " n_joints"],
    color: Color = ERROR_COLOR,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with a faint circle around each keypoint; NaN has none.

    Radii are fractions of the picture's width.
    """
    canvas = np.ascontiguousarray(image).copy()
    for point, radius in zip(_to_pixels(xy, canvas), radii * canvas.shape[1], strict=True):
        if np.isfinite(radius):
            _dot(canvas, point, float(radius), color, filled=False)
    return cv2.addWeighted(canvas, 0.5, np.ascontiguousarray(image), 0.5, 0.0)


def draw_mesh(
    image: UInt8[np.ndarray, "h w 3"],
    vertices_cam: Float[np.ndarray, "n_verts 3"],
    faces: Int[np.ndarray, "n_faces 3"],
    intrinsics: Float[np.ndarray, "4"],
    alpha: float = 0.6,
    *,
    vertex_colors: Float[np.ndarray, "n_verts 3"] | None = None,
    shading: Shading | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with the shaded mesh over it, `alpha` = 1 hides what is behind.

    Vertices are in camera coordinates (model units), intrinsics fractions; see `render_rgb`.
    """
    height, width = image.shape[:2]
    rgb, _ = render_rgb(
        vertices_cam,
        faces,
        intrinsics,
        height,
        width,
        vertex_colors=vertex_colors,
        background=image,
        shading=shading,
    )
    # The render already shows `image` around the mesh, so that one blend serves every pixel.
    mixed = alpha * rgb.astype(np.float32) + (1.0 - alpha) * image
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def draw_mask_edge(
    image: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"],
    color: Color = TRUE_COLOR,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with the outline of a mask (true, or 128 and above)."""
    canvas = np.ascontiguousarray(image).copy()
    solid = mask if mask.dtype == np.bool_ else mask >= 128
    outlines, _ = cv2.findContours(solid.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outlines, -1, color, max(1, _mark_size(canvas) // 2))
    return canvas


def draw_comparison(
    image: UInt8[np.ndarray, "h w 3"],
    predicted_xy: Float[np.ndarray, "n_joints 2"],
    true_xy: Float[np.ndarray, "n_joints 2"],
    visible: Bool[np.ndarray, " n_joints"] | None = None,
    skeleton: Skeleton | None = None,
    *,
    network_width: int | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with predicted and true keypoints and error vectors between them.

    The legend gives the mean and the largest error over visible joints.

    Args:
        image: RGB.
        predicted_xy: Fractions of the picture; NaN where unknown.
        true_xy: The same.
        visible: Joints that count; all by default.
        skeleton: Draws the bones too.
        network_width: Width of the network's input, from which `image` was enlarged; the legend
            counts in its pixels, as all other figures do. Pixels of `image` by default.
    """
    canvas = draw_keypoints(image, true_xy, skeleton=skeleton, visible=visible, color=TRUE_COLOR)
    predicted, true = _to_pixels(predicted_xy, canvas), _to_pixels(true_xy, canvas)
    seen = np.ones(len(true), dtype=bool) if visible is None else visible
    for start, end, shown in zip(true, predicted, seen, strict=True):
        if shown:
            _line(canvas, start, end, ERROR_COLOR, 1)
    radius = _mark_size(canvas)
    for point in predicted:
        _dot(canvas, point, max(1, radius - 1), PREDICTED_COLOR, filled=True)
    width = network_width or canvas.shape[1]
    square = _size(canvas) * (width / canvas.shape[1])
    distance = np.linalg.norm((predicted_xy - true_xy) * square, axis=1)
    distance = distance[seen & np.isfinite(distance)]
    text = "no visible joint"
    if len(distance):
        text = f"error {distance.mean():.1f} px of {width}, max {distance.max():.1f}"
    _legend(canvas, [(TRUE_COLOR, "true"), (PREDICTED_COLOR, "predicted"), (ERROR_COLOR, text)])
    return canvas


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_h _w 3"]],
    columns: int,
    labels: Sequence[str] | None = None,
    *,
    cell: int | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return pictures side by side in rows of `columns`, each with its label below.

    Args:
        images: RGB, of any sizes; each is fitted into its cell with its shape kept.
        columns: Pictures per row.
        labels: One line each; cut off where it does not fit.
        cell: Edge of a cell in pixels; the largest picture's edge by default.

    Raises:
        ValueError: No picture, no column, or as many labels as pictures are not given.
    """
    if not images or columns < 1:
        raise ValueError(f"contact sheet: {len(images)} images in {columns} columns")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"contact sheet: {len(labels)} labels for {len(images)} images")
    edge = cell or max(max(image.shape[:2]) for image in images)
    bar = 0 if labels is None else max(14, edge // 14)
    gap = 2
    rows = -(-len(images) // columns)
    shape = (rows * (edge + bar + gap) + gap, min(columns, len(images)) * (edge + gap) + gap, 3)
    sheet = np.full(shape, 32, dtype=np.uint8)
    for n, image in enumerate(images):
        top = gap + n // columns * (edge + bar + gap)
        left = gap + n % columns * (edge + gap)
        fitted = _fit(image, edge)
        height, width = fitted.shape[:2]
        y, x = top + (edge - height) // 2, left + (edge - width) // 2
        sheet[y : y + height, x : x + width] = fitted
        if labels is not None:
            strip = np.full((bar, edge, 3), 32, dtype=np.uint8)
            place = np.array([3.0, bar * 0.72])
            _text(strip, labels[n], place, bar / 30.0, (235, 235, 235), shadow=False)
            sheet[top + edge : top + edge + bar, left : left + edge] = strip
    return sheet


def _size(canvas: np.ndarray) -> np.ndarray:
    return np.array([canvas.shape[1], canvas.shape[0]], dtype=np.float64)


def _to_pixels(xy: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Return OpenCV's pixel coordinates (centres are integers), NaN for points far outside."""
    fractions = np.asarray(xy, dtype=np.float64)
    near = (np.abs(np.nan_to_num(fractions, nan=np.inf) - 0.5) <= 1.5).all(axis=1, keepdims=True)
    return np.where(near, fractions * _size(canvas) - 0.5, np.nan)


def _mark_size(canvas: np.ndarray) -> int:
    return max(2, round(max(canvas.shape[:2]) / 130))


def _text_scale(canvas: np.ndarray) -> float:
    return max(1.0, max(canvas.shape[:2]) / 512)


def _fixed_point(point: np.ndarray) -> tuple[int, int]:
    x, y = np.round(point * (1 << _SUBPIXEL_BITS)).astype(int)
    return int(x), int(y)


def _line(canvas: np.ndarray, a: np.ndarray, b: np.ndarray, color: Color, width: int) -> None:
    if np.isfinite(a).all() and np.isfinite(b).all():
        start, end = _fixed_point(a), _fixed_point(b)
        cv2.line(canvas, start, end, color, width, cv2.LINE_AA, _SUBPIXEL_BITS)


def _dot(
    canvas: np.ndarray, point: np.ndarray, radius: int | float, color: Color, filled: bool
) -> None:
    if np.isfinite(point).all():
        size = round(radius * (1 << _SUBPIXEL_BITS))
        thickness = cv2.FILLED if filled else 1
        place = _fixed_point(point)
        cv2.circle(canvas, place, size, color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _text(
    canvas: np.ndarray,
    text: str,
    place: np.ndarray,
    scale: float,
    color: Color,
    *,
    shadow: bool = True,
) -> None:
    """Write at the baseline `place`; a dark shadow keeps it readable on any picture."""
    where = (round(float(place[0])), round(float(place[1])))
    font = cv2.FONT_HERSHEY_SIMPLEX
    if shadow:
        below = (where[0] + 1, where[1] + 1)
        cv2.putText(canvas, text, below, font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(canvas, text, where, font, scale, color, 1, cv2.LINE_AA)


def _legend(canvas: np.ndarray, entries: Sequence[tuple[Color, str]]) -> None:
    """Write one line per entry at the top left, on a darkened panel."""
    scale = 0.4 * _text_scale(canvas)
    step = round(36 * scale)
    longest = max(len(text) for _, text in entries)
    panel = canvas[: step * len(entries) + step // 2, : round(17 * scale * longest) + 8]
    panel //= 3
    for line, (color, text) in enumerate(entries):
        _text(canvas, text, np.array([4.0, step * (line + 1.0)]), scale, color, shadow=False)


def _fit(image: np.ndarray, edge: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = edge / max(height, width)
    if scale == 1.0:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=way)
