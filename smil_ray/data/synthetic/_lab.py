"""A laboratory's own look: its animals, its arenas, its lamps and its cameras.

Nothing of it is drawn as `smil-ray synth` draws its other pictures, so that a network trained on
those meets surfaces, grounds and sensors that it has never seen.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.random import Generator

from smil_ray.data.synthetic._background import Picture, noise_field
from smil_ray.data.synthetic.scene import LightDraw

FOV_RANGES_DEG = ((4.0, 8.0), (50.0, 75.0))
"""From far away with a long lens, and from close by with a short one."""
JPEG_QUALITY = 60
_CUTICLES = np.array(
    [
        [0.16, 0.10, 0.05],  # pitch brown
        [0.05, 0.05, 0.07],  # black with a blue sheen
        [0.72, 0.52, 0.24],  # pale, half translucent
        [0.55, 0.16, 0.05],  # rust
        [0.86, 0.82, 0.70],  # freshly moulted
    ]
)
_PAINTS = np.array(
    [[0.95, 0.95, 0.92], [0.95, 0.85, 0.10], [0.10, 0.75, 0.30], [0.10, 0.45, 0.95]]
)


def draw_lab_coat(
    rng: Generator, template: Float[np.ndarray, "n_verts 3"], part: Int[np.ndarray, " n_verts"]
) -> Float[np.ndarray, "n_verts 3"]:
    """Return vertex colours: cuticle that changes from head to tail, pale limbs, dots of paint.

    Args:
        rng: Source of randomness.
        template: Vertices of the model at rest, head along +x, back along +z.
        part: The joint that each vertex follows most.
    """
    span = np.ptp(template, axis=0).max()
    places = (template - template.mean(axis=0)) / span
    ends = _CUTICLES[rng.integers(len(_CUTICLES), size=2)] * rng.uniform(0.7, 1.2, (2, 1))
    along = np.clip(0.5 + places[:, :1] * rng.uniform(1.0, 3.0), 0.0, 1.0)
    color = ends[0] * along + ends[1] * (1.0 - along)
    # Thin parts let light through.
    outward = np.clip(np.abs(places[:, 1:2]) * rng.uniform(1.5, 4.0), 0.0, 1.0)
    color = color * (1.0 - 0.7 * outward) + rng.uniform(0.25, 0.9) * outward * np.array(
        [1.0, 0.8, 0.5]
    )
    rings = np.abs(np.sin(places[:, :1] * rng.uniform(40.0, 140.0)))
    color = color * (1.0 - rng.uniform(0.0, 0.45) * (rings < 0.25))
    for _ in range(int(rng.integers(0, 4))):
        centre = places[rng.integers(len(places))]
        dot = np.linalg.norm(places - centre, axis=1) < rng.uniform(0.02, 0.06)
        color[dot] = _PAINTS[rng.integers(len(_PAINTS))]
    tone = rng.normal(1.0, 0.05, (int(part.max()) + 1, 1))
    return np.clip(color * tone[part], 0.02, 1.0)


def draw_lab_light(rng: Generator) -> LightDraw:
    """Return a lamp: a ring around the lens, a hard LED from the side, or light from below."""
    kind = rng.random()
    height = rng.uniform(1.2, 1.5) if kind < 0.45 else rng.uniform(0.15, 0.6)
    around = rng.uniform(0.0, 2.0 * np.pi)
    ambient = rng.uniform(0.55, 0.85) if kind < 0.45 else rng.uniform(0.08, 0.25)
    return LightDraw(
        direction=np.array(
            [np.cos(height) * np.cos(around), np.cos(height) * np.sin(around), np.sin(height)]
        ),
        ambient=ambient,
        diffuse=rng.uniform(0.3, 1.4),
        specular=rng.uniform(0.4, 1.2),
        shininess=rng.uniform(20.0, 120.0),
        tint=np.ones(3),
    )


def draw_lab_background(rng: Generator, size: int, clutter: float = 1.0) -> Picture:
    """Return the floor of an arena; with probability 1 - `clutter` a bare one, lit from below."""
    names = list(ARENAS) if rng.random() < clutter else ["backlight"]
    picture = ARENAS[names[rng.integers(len(names))]](rng, size)
    gain = 1.0 + rng.uniform(0.0, 0.5) * (noise_field(rng, size, 1, octaves=1) - 0.5)
    return cv2.multiply(picture, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def apply_lab_camera(
    rng: Generator, picture: UInt8[np.ndarray, "h w 3"], *, motion_blur: float, noise: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture as an arena's camera stores it: out of focus, coarse grain, tinted.

    Args:
        rng: Source of randomness.
        picture: RGB.
        motion_blur: Probability that the picture is smeared along its rows.
        noise: Strength of the grain; 0 leaves it out.
    """
    size = picture.shape[0]
    unit = size / 384
    if rng.random() < motion_blur:
        picture = cv2.blur(picture, (max(int(rng.uniform(4.0, 12.0) * unit), 1), 1))
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 3.2) * unit)
    pixels = picture.astype(np.float32) / 255.0
    if rng.random() < 0.3:  # Infrared: one channel, and not that of any lamp we see by.
        weights = rng.dirichlet([1.0, 1.0, 1.0]).astype(np.float32)
        pixels = np.repeat((pixels @ weights)[..., None], 3, axis=2)
    else:
        cast = np.exp(rng.normal(0.0, 0.16, 3)).astype(np.float32)
        pixels = pixels * cast + np.float32(rng.uniform(0.0, 0.12)) * (cast > 1.0)
    pixels = np.clip(pixels, 0.0, 1.0) ** np.float32(rng.uniform(0.6, 1.7))
    cells = max(int(size / rng.uniform(1.2, 2.2)), 1)
    grain = rng.standard_normal((cells, cells, 3), dtype=np.float32)
    grain = cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR)
    pixels += np.float32(noise * rng.uniform(0.04, 0.16)) * grain * (0.4 + pixels)
    return np.clip(np.rint(pixels * 255.0), 0, 255).astype(np.uint8)


def _plain(size: int, level: float, tint: Float[np.ndarray, "3"]) -> Picture:
    color = np.clip(level * tint, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(color, (size, size, 3)))


def _tint(rng: Generator, strength: float = 0.08) -> Float[np.ndarray, "3"]:
    return 1.0 + rng.normal(0.0, strength, 3)


def _turn(rng: Generator, size: int, picture: Picture, border: int) -> Picture:
    """Return the picture turned about its centre."""
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 360), 1.45)
    return cv2.warpAffine(picture, matrix, (size, size), borderValue=(border,) * 3)


def _graph_paper(rng: Generator, size: int) -> Picture:
    """Millimetre paper: fine lines, every fifth one stronger."""
    picture = _plain(size, rng.uniform(190, 245), _tint(rng, 0.04))
    step = max(int(size * rng.uniform(0.02, 0.06)), 3)
    ink = tuple(int(value) for value in rng.uniform(60, 180, 3))
    for number, at in enumerate(range(0, size, step)):
        width = 2 if number % 5 == 0 and size > 160 else 1
        cv2.line(picture, (at, 0), (at, size), ink, width, cv2.LINE_AA)
        cv2.line(picture, (0, at), (size, at), ink, width, cv2.LINE_AA)
    return _turn(rng, size, picture, int(picture.mean()))


def _dish(rng: Generator, size: int) -> Picture:
    """A round dish on a bench: a rim that shines, filter paper in it."""
    picture = _plain(size, rng.uniform(20, 120), _tint(rng))
    centre = tuple(int(value) for value in size * rng.uniform(0.35, 0.65, 2))
    radius = int(size * rng.uniform(0.38, 0.75))
    floor = _plain(1, rng.uniform(120, 235), _tint(rng, 0.06))[0, 0].tolist()
    cv2.circle(picture, centre, radius, floor, -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(2, 6))):
        ring = int(radius * rng.uniform(0.93, 1.08))
        level = int(rng.uniform(30, 255))
        start, sweep = rng.uniform(0, 360), rng.uniform(60, 360)
        cv2.ellipse(
            picture, centre, (ring, ring), 0, start, start + sweep, (level,) * 3, 1, cv2.LINE_AA
        )
    return picture


def _ball(rng: Generator, size: int) -> Picture:
    """A treadmill: a pale ball with black blotches before a dark room."""
    picture = _plain(size, rng.uniform(5, 50), _tint(rng))
    centre = size * np.array([rng.uniform(0.35, 0.65), rng.uniform(0.55, 0.9)])
    radius = size * rng.uniform(0.5, 0.8)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    away = ((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / radius**2
    lit = np.sqrt(np.clip(1.0 - away, 0.0, 1.0))
    blotch = noise_field(rng, size, int(rng.integers(8, 20)), octaves=1) < rng.uniform(0.25, 0.45)
    shade = (60.0 + rng.uniform(120, 190) * lit) * np.where(blotch, rng.uniform(0.1, 0.3), 1.0)
    ball = np.repeat(np.clip(shade, 0, 255)[..., None], 3, axis=2).astype(np.uint8)
    return np.where((away < 1.0)[..., None], ball, picture)


def _backlight(rng: Generator, size: int) -> Picture:
    """A light table: nearly white, darker corners, dust."""
    picture = _plain(size, rng.uniform(200, 255), _tint(rng, 0.05))
    for _ in range(int(rng.integers(5, 60))):
        place = tuple(int(value) for value in rng.uniform(0, size, 2))
        level = int(rng.uniform(60, 180))
        cv2.circle(picture, place, int(rng.integers(1, 3)), (level,) * 3, -1, cv2.LINE_AA)
    axis = np.linspace(-1.0, 1.0, size, dtype=np.float32) ** 2
    gain = 1.0 - rng.uniform(0.1, 0.35) * (axis[:, None] + axis[None, :])
    return cv2.multiply(picture, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def _perforated(rng: Generator, size: int) -> Picture:
    """A perforated floor: rows of holes in brushed metal."""
    brushed = rng.normal(0.0, 9.0, (size, 1, 1)) + rng.uniform(90, 190)
    picture = np.clip(np.broadcast_to(brushed, (size, size, 3)), 0, 255).astype(np.uint8).copy()
    step = size * rng.uniform(0.05, 0.12)
    radius = max(int(step * rng.uniform(0.2, 0.38)), 1)
    for row in range(int(size / step) + 1):
        for column in range(int(size / step) + 1):
            place = (int((column + 0.5 * (row % 2)) * step), int(row * step))
            cv2.circle(picture, place, radius, (18, 18, 20), -1, cv2.LINE_AA)
    return _turn(rng, size, picture, int(brushed.mean()))


def _cloth(rng: Generator, size: int) -> Picture:
    """A surgical towel or a glove: strongly coloured, woven."""
    color = np.array([[40, 120, 90], [50, 90, 170], [170, 60, 110], [30, 30, 34]])
    base = color[rng.integers(len(color))] * rng.uniform(0.7, 1.4)
    waves = 2.0 * np.pi * np.arange(size) / max(size * rng.uniform(0.01, 0.03), 2.5)
    weave = 1.0 + 0.18 * np.sin(waves)[:, None] * np.sin(waves)[None, :]
    folds = 0.7 + 0.6 * noise_field(rng, size, 2, octaves=2)
    return np.clip((weave * folds)[..., None] * base, 0, 255).astype(np.uint8)


ARENAS: dict[str, Callable[[Generator, int], Picture]] = {
    "graph paper": _graph_paper,
    "dish": _dish,
    "ball": _ball,
    "backlight": _backlight,
    "perforated": _perforated,
    "cloth": _cloth,
}
"""Every floor by name, drawn equally often."""
