"""Does a picture show its subject, and does it belong to its mask?

Edges along the mask's contour tell whether picture and mask belong together. The score is the
mean rank (0 to 1) of the picture's gradient along the contour, among all of its gradients: 0.5 is
chance. On replicAnt and synthetic pictures the own picture scores 0.6 to 0.99, nine of ten
foreign pictures stay below 0.65.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from smil_ray.core.batch import Sample

CHANCE = 0.56
"""Below this score a picture is suspected not to belong to its mask."""
SUSPICIOUS = 0.8
"""Below this score a picture takes part in the search for swapped ones."""
MAX_SUSPECTS = 200
FAINT = 16.0
"""Contrast (of 255) below which a picture shows nothing of its subject that could be learnt."""
_MAX_SIDE = 512
_MIN_CONTOUR = 60
_SWAP_GAIN = 0.1


@dataclass(frozen=True)
class EdgeMap:
    """A picture's gradients as ranks (0 to 255) and the contour of its mask."""

    ranks: UInt8[np.ndarray, "side side"]
    contour: Bool[np.ndarray, "side side"]

    def score_on(self, contour: Bool[np.ndarray, "side side"]) -> float:
        """Return the mean rank along a contour, 0 to 1; chance if the sizes differ."""
        if contour.shape != self.ranks.shape:
            return 0.5
        return float(self.ranks[contour].mean()) / 255.0

    @property
    def score(self) -> float:
        """The picture's score on its own mask."""
        return self.score_on(self.contour)


def edge_map(sample: Sample) -> EdgeMap | None:
    """Return what tells whether picture and mask fit, None where that is open."""
    if sample.mask is None or not sample.mask.any():
        return None
    side = min(sample.mask.shape[0], _MAX_SIDE)
    mask = cv2.resize(sample.mask, (side, side), interpolation=cv2.INTER_AREA) > 127
    kernel = np.ones((3, 3), dtype=np.uint8)
    contour = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, kernel) > 0
    if contour.sum() < _MIN_CONTOUR:
        return None
    picture = cv2.resize(sample.image, (side, side), interpolation=cv2.INTER_AREA)
    return EdgeMap(_edge_ranks(picture), contour)


def contrast(sample: Sample) -> float | None:
    """Return the range of values (0 to 255, the outer 2 % left out) in the keypoints' box.

    The largest of the three channels; None where no keypoint is inside the picture.
    """
    inside = ((sample.keypoints_2d >= 0.0) & (sample.keypoints_2d < 1.0)).all(axis=1)
    if not inside.any():
        return None
    points = sample.keypoints_2d[inside] * np.array(sample.image.shape[1::-1])
    low, high = points.min(axis=0).astype(int), points.max(axis=0).astype(int) + 1
    box = sample.image[low[1] : high[1], low[0] : high[0]].reshape(-1, 3)
    step = max(1, len(box) // 4096)
    darkest, brightest = np.percentile(box[::step], (1, 99), axis=0)
    return float((brightest - darkest).max())


def find_swaps(maps: Mapping[str, EdgeMap]) -> list[tuple[str, str]]:
    """Return (name, name of the entry whose mask its picture fits), both directions per swap."""
    names = sorted(maps, key=lambda name: maps[name].score)
    swaps: list[tuple[str, str]] = []
    taken: set[str] = set()
    for index, a in enumerate(names):
        if a in taken:
            continue
        others = [b for b in names[index + 1 :] if b not in taken]
        gains = {b: _gain(maps[a], maps[b]) for b in others}
        best = max(gains, key=lambda name: gains[name], default=None)
        if best is not None and gains[best] > _SWAP_GAIN:
            taken |= {a, best}
            swaps += [(a, best), (best, a)]
    return sorted(swaps)


def _gain(a: EdgeMap, b: EdgeMap) -> float:
    """Return by how much *both* masks gain at least when the pictures change places."""
    return min(a.score_on(b.contour) - b.score, b.score_on(a.contour) - a.score)


def _edge_ranks(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Return each pixel's gradient strength as its rank in the picture, 0 to 255."""
    smooth = cv2.GaussianBlur(rgb, (0, 0), 1.0).astype(np.float32)
    horizontal, vertical = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.hypot(horizontal, vertical).max(axis=2)
    levels = (strength * (4095.0 / max(float(strength.max()), 1.0))).astype(np.int32)
    counts = np.bincount(levels.ravel(), minlength=4096)
    middle = (np.cumsum(counts) - 0.5 * counts) / counts.sum()
    return (255.0 * middle).astype(np.uint8)[levels]
