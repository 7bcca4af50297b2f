"""What is behind and in front of a synthetic animal: noise, leaves, gravel, twigs.

Everything is drawn with a few OpenCV calls per picture; a random generator comes in and the same
generator gives the same picture. Colours are RGB uint8, positions are pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Palette:
    """Colours that go together: a few hues around one or two centres, dark to bright."""

    colors: Float[np.ndarray, "n 3"]

    @classmethod
    def draw(cls, rng: Generator) -> "Palette":
        """Return six random colours, 0-255; some natural, some lurid as in replicAnt."""
        natural = rng.random() < 0.6
        hue = rng.choice([15.0, 22.0, 28.0, 40.0, 55.0, 100.0]) if natural else rng.uniform(0, 180)
        spread = rng.uniform(4.0, 14.0) if natural else rng.uniform(8.0, 60.0)
        top = 150 if natural else 230
        hsv = np.stack(
            [
                (hue + rng.normal(0.0, spread, 6)) % 180.0,
                np.clip(rng.normal(rng.uniform(20, top), 30.0, 6), 0, 255),
                np.clip(np.linspace(rng.uniform(10, 90), rng.uniform(130, 250), 6), 0, 255),
            ],
            axis=1,
        )
        rgb = cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0]
        return cls(rgb.astype(np.float64))

    def pick(self, rng: Generator, jitter: float = 18.0) -> tuple[int, int, int]:
        """Return one of the colours, varied a little."""
        color = self.colors[rng.integers(len(self.colors))] + rng.normal(0.0, jitter, 3)
        red, green, blue = np.clip(color, 0, 255).astype(int).tolist()
        return red, green, blue

    def mapped(self, field: Float[np.ndarray, "h w"]) -> Picture:
        """Return the picture whose colours run through the palette with `field`, 0 to 1."""
        steps = np.linspace(0.0, len(self.colors) - 1.0, 256)
        known = np.arange(len(self.colors))
        table = np.stack([np.interp(steps, known, self.colors[:, c]) for c in range(3)], axis=1)
        levels = np.clip(field * 255.0, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(table.astype(np.uint8)[levels])


def noise_field(rng: Generator, size: int, cells: int, octaves: int = 4) -> np.ndarray:
    """Return smooth noise (size, size) float32, 0 to 1, `cells` across in the coarsest octave."""
    field = np.zeros((size, size), dtype=np.float32)
    weight = 1.0
    for _ in range(octaves):
        grid = rng.random((min(cells, size) + 3,) * 2, dtype=np.float32)
        field += weight * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2 + 1, weight * 0.55
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


def draw_background(rng: Generator, size: int, clutter: float = 1.0) -> Picture:
    """Return a random square background; with probability 1 - `clutter` a studio backdrop."""
    names = list(BACKGROUNDS) if rng.random() < clutter else ["gradient"]
    picture = BACKGROUNDS[names[rng.integers(len(names))]](rng, size, Palette.draw(rng))
    if rng.random() < 0.5:  # Depth of field: what is behind the animal is out of focus.
        sigma = rng.uniform(0.3, 4.0) * size / 384
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    tone = noise_field(rng, size, int(rng.integers(1, 5)), octaves=2)
    gain = 1.0 + rng.uniform(0.1, 0.8) * (tone - 0.5)
    return cv2.multiply(picture, np.repeat(gain[:, :, None], 3, axis=2), dtype=cv2.CV_8U)


def draw_occluders(
    rng: Generator, size: int, box: tuple[float, float, float, float], count: int
) -> tuple[Picture, UInt8[np.ndarray, "h w"]]:
    """Return `count` leaves, twigs and stones in front of the animal.

    Args:
        rng: Source of randomness.
        size: Width and height of the picture.
        box: xmin, ymin, xmax, ymax of the animal; the things lie on or near its rim.
        count: How many.

    Returns:
        Colours and opacity, 0-255, smooth at the edges.
    """
    palette = Palette.draw(rng)
    color = np.zeros((size, size, 3), dtype=np.uint8)
    alpha = np.zeros((size, size), dtype=np.uint8)
    low, high = np.array(box[:2]), np.array(box[2:])
    extent = float(np.clip((high - low).max(), 0.1 * size, 1.5 * size))
    for _ in range(count):
        toward = rng.uniform(-1.0, 1.0, 2)
        toward /= max(float(np.abs(toward).max()), 1e-6)  # On the rim of the box, not its middle.
        centre = 0.5 * (low + high) + 0.5 * rng.uniform(0.35, 1.05) * toward * (high - low)
        outline = OUTLINES[rng.integers(len(OUTLINES))](rng, extent * rng.uniform(0.10, 0.32))
        points = np.round(outline + centre).astype(np.int32)
        cv2.fillPoly(alpha, [points], 255, lineType=cv2.LINE_AA)
        cv2.fillPoly(color, [points], palette.pick(rng))
    grain = noise_field(rng, size, max(size // 12, 2), octaves=2)
    color = cv2.multiply(color, np.repeat(grain[:, :, None] + 0.5, 3, axis=2), dtype=cv2.CV_8U)
    if rng.random() < 0.4:
        alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.5, 1.8) * size / 384)
    return color, alpha


def _noise(rng: Generator, size: int, palette: Palette) -> Picture:
    """Soil, bark, moss: noise at several scales."""
    field = noise_field(rng, size, int(rng.integers(2, 14)), octaves=int(rng.integers(3, 7)))
    return palette.mapped(field)


def _gradient(rng: Generator, size: int, palette: Palette) -> Picture:
    """A studio backdrop: a soft gradient with faint noise."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    field = 0.5 + 0.6 * (np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None])
    return palette.mapped(field + 0.1 * noise_field(rng, size, 6))


def _leaves(rng: Generator, size: int, palette: Palette) -> Picture:
    """Leaf litter: overlapping leaves with a vein."""
    picture = _noise(rng, size, palette)
    for _ in range(int(rng.integers(12, 60))):
        outline = leaf_outline(rng, size * rng.uniform(0.08, 0.35))
        points = np.round(outline + rng.uniform(-0.1, 1.1, 2) * size).astype(np.int32)
        color = palette.pick(rng)
        cv2.fillPoly(picture, [points + 3], tuple(c // 3 for c in color), lineType=cv2.LINE_AA)
        cv2.fillPoly(picture, [points], color, lineType=cv2.LINE_AA)
        vein = tuple(min(int(c * 1.25) + 8, 255) for c in color)
        tip, stalk = points[0].tolist(), points[len(points) // 2].tolist()
        cv2.line(picture, tip, stalk, vein, 1, cv2.LINE_AA)
    return _grainy(rng, picture)


def _gravel(rng: Generator, size: int, palette: Palette) -> Picture:
    """Stones with a lit and a dark side."""
    picture = palette.mapped(0.4 * noise_field(rng, size, size // 4, octaves=1))
    radius = size * rng.uniform(0.012, 0.06)
    light = np.round(rng.uniform(-0.35, 0.35, 2) * radius).astype(np.int32)
    for _ in range(min(int(1.6 * (size / radius / 2) ** 2), 700)):
        outline = stone_outline(rng, radius * rng.uniform(0.5, 1.5))
        points = np.round(outline + rng.uniform(0, size, 2)).astype(np.int32)
        color = palette.pick(rng)
        cv2.fillConvexPoly(picture, points, tuple(c // 2 for c in color))
        inner = points.mean(axis=0) + 0.8 * (points - points.mean(axis=0)) + light
        cv2.fillConvexPoly(picture, np.round(inner).astype(np.int32), color)
    return _grainy(rng, cv2.GaussianBlur(picture, (3, 3), 0))


def _twigs(rng: Generator, size: int, palette: Palette) -> Picture:
    """Straw and twigs over soil, in the animal's own colours and widths: hard negatives."""
    picture = _noise(rng, size, palette)
    for _ in range(int(rng.integers(8, 70))):
        points = twig_line(rng, size * rng.uniform(0.1, 0.8)) + rng.uniform(-0.1, 1.1, 2) * size
        width = max(int(size * rng.uniform(0.003, 0.025)), 1)
        line = np.round(points).astype(np.int32)
        color = palette.pick(rng)
        dark = tuple(c // 3 for c in color)
        cv2.polylines(picture, [line + width // 2 + 1], False, dark, width, cv2.LINE_AA)
        cv2.polylines(picture, [line], False, color, width, cv2.LINE_AA)
    return _grainy(rng, picture)


def _tiles(rng: Generator, size: int, palette: Palette) -> Picture:
    """Flat patches with straight edges: arena floors, tiles, paper."""
    field = noise_field(rng, size, int(rng.integers(2, 9)), octaves=1)
    steps = int(rng.integers(2, 6))
    return _grainy(rng, palette.mapped(np.floor(field * steps) / steps))


BACKGROUNDS: dict[str, Callable[[Generator, int, Palette], Picture]] = {
    "noise": _noise,
    "gradient": _gradient,
    "leaves": _leaves,
    "gravel": _gravel,
    "twigs": _twigs,
    "tiles": _tiles,
}
"""Every background by name, drawn equally often."""


def leaf_outline(rng: Generator, length: float) -> Float[np.ndarray, "n 2"]:
    """Return a pointed leaf around the origin, tip first, stalk in the middle of the list."""
    along = np.linspace(0.0, 1.0, 12)
    half = rng.uniform(0.12, 0.3) * np.sin(np.pi * along) ** 0.8
    bend = rng.uniform(-0.3, 0.3) * (along - 0.5) ** 2
    upper = np.stack([along - 0.5, bend + half], axis=1)
    lower = np.stack([along - 0.5, bend - half], axis=1)[::-1]
    return _turned(rng, length * np.concatenate([upper, lower]))


def stone_outline(rng: Generator, radius: float) -> Float[np.ndarray, "n 2"]:
    """Return a rounded, uneven, convex-ish polygon around the origin."""
    angles = np.linspace(0.0, 2.0 * np.pi, 9, endpoint=False) + rng.uniform(0.0, 0.5, 9)
    radii = radius * rng.uniform(0.75, 1.1, 9)
    return np.stack([radii * np.cos(angles), rng.uniform(0.6, 1.0) * radii * np.sin(angles)], 1)


def twig_line(rng: Generator, length: float) -> Float[np.ndarray, "n 2"]:
    """Return a slightly bent line of six points around the origin."""
    along = np.linspace(-0.5, 0.5, 6)
    return _turned(rng, length * np.stack([along, 0.06 * np.cumsum(rng.normal(0, 1, 6))], axis=1))


def _twig_outline(rng: Generator, length: float) -> np.ndarray:
    """A long, thin polygon; twigs in front are longer than leaves."""
    line = twig_line(rng, 3.0 * length)
    normal = (line[-1] - line[0])[::-1] * np.array([-1.0, 1.0])
    normal *= rng.uniform(0.06, 0.14) * length / max(float(np.linalg.norm(normal)), 1e-6)
    return np.concatenate([line + normal, (line - normal)[::-1]])


OUTLINES = (leaf_outline, stone_outline, _twig_outline)


def _turned(rng: Generator, points: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _grainy(rng: Generator, picture: Picture) -> Picture:
    """The picture with fine-grained brightness variation, so that flat fills look like matter."""
    size = picture.shape[0]
    grain = noise_field(rng, size, max(size // int(rng.integers(3, 10)), 2), octaves=2)
    gain = np.repeat((0.72 + 0.56 * grain)[:, :, None], 3, axis=2)
    return cv2.multiply(picture, gain, dtype=cv2.CV_8U)
