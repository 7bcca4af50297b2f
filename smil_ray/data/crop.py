"""The square to cut out around an animal: its box in the picture, random room and shift.

The same box is taken from labels and from predictions, so that a network meets at prediction
what it was trained on (`docs/data_format.md` section 8).
"""

import zlib

import numpy as np
from jaxtyping import Float, UInt8

from smil_ray.config import CropConfig
from smil_ray.data.replicant.coordinates import Window

_NO_DISTANCE = 1e-9


def animal_box(
    points_px: Float[np.ndarray, "n_joints 2"],
    parents: tuple[int, ...],
    size_px: tuple[int, int],
    outline_px: Float[np.ndarray, "m 2"] | None = None,
) -> Float[np.ndarray, "4"] | None:
    """Return (left, top, right, bottom), px, of what is inside the picture; None if nothing is.

    Bones count as far as they are inside. An animal that reaches beyond the picture thus has
    the box of its inner part, and a joint far outside does not widen it.

    Args:
        points_px: Joints; NaN where unknown, ignored or behind the camera.
        parents: Parent of each joint, -1 for the root.
        size_px: Width and height of the picture.
        outline_px: Further points of the animal (of its mask or mesh); those outside the
            picture do not count.
    """
    limit = np.array(size_px, dtype=float)
    rows = np.arange(len(points_px))
    start = points_px[np.where(np.array(parents) < 0, rows, parents)]
    # Each joint is a piece of its own too: its parent may be unknown.
    pieces = _inside_parts(
        np.concatenate([start, points_px]), np.concatenate([points_px, points_px]), limit
    )
    if outline_px is not None:
        inside = ((outline_px >= 0.0) & (outline_px <= limit)).all(axis=1)
        pieces = np.concatenate([pieces, outline_px[inside]])
    if not len(pieces):
        return None
    return np.concatenate([pieces.min(axis=0), pieces.max(axis=0)])


def mask_corners(mask: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "m 2"]:
    """Return the corners (px) of the box around a mask's non-zero pixels, none if it is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return np.zeros((0, 2))
    return np.array([[columns[0], rows[0]], [columns[-1] + 1.0, rows[-1] + 1.0]], dtype=float)


def crop_windows(box: Float[np.ndarray, "4"], crop: CropConfig, name: str) -> list[Window]:
    """Return the squares to cut out around the box of the sample `name`.

    They depend on the settings and the name alone, not on other samples or on the order.
    """
    longer = float((box[2:] - box[:2]).max())
    centre = (box[:2] + box[2:]) / 2.0
    windows = []
    for number in range(crop.per_sample):
        rng = np.random.default_rng([crop.seed, zlib.crc32(name.encode()), number])
        margin = rng.uniform(*crop.margin)
        shift = rng.uniform(-crop.shift, crop.shift, 2)
        windows.append(Window.centred(centre + shift * longer, longer * (1.0 + margin)))
    return windows


def mean_window(box: Float[np.ndarray, "4"], crop: CropConfig) -> Window:
    """Return the square around a box that `crop_windows` gives on average."""
    longer = float((box[2:] - box[:2]).max())
    return Window.centred((box[:2] + box[2:]) / 2.0, longer * (1.0 + crop.mean_margin))


def crop_names(name: str, crop: CropConfig) -> list[str]:
    """Return the names of a sample's crops: its own, or NAME@1, NAME@2, ... of several."""
    if crop.per_sample == 1:
        return [name]
    return [f"{name}@{number + 1}" for number in range(crop.per_sample)]


def _inside_parts(
    start: Float[np.ndarray, "n 2"], end: Float[np.ndarray, "n 2"], limit: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "m 2"]:
    """Return the ends of those parts of straight lines that lie between 0 and `limit`.

    Lines with an unknown end have none. Source: line clipping after Liang and Barsky (1984).
    """
    way = end - start
    way = np.where(np.abs(way) < _NO_DISTANCE, _NO_DISTANCE, way)
    low, high = (0.0 - start) / way, (limit - start) / way
    enters = np.maximum(np.minimum(low, high).max(axis=1), 0.0)
    leaves = np.minimum(np.maximum(low, high).min(axis=1), 1.0)
    kept = enters <= leaves  # False for NaN.
    return np.concatenate([(start + t[:, None] * (end - start))[kept] for t in (enters, leaves)])
