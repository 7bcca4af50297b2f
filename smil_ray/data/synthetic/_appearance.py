"""How a synthetic animal and its picture look: coat colours, and what lens and sensor do."""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.random import Generator

COATS = np.array(
    [
        [0.10, 0.07, 0.06],  # black
        [0.30, 0.13, 0.07],  # dark brown
        [0.50, 0.22, 0.10],  # red-brown
        [0.66, 0.40, 0.16],  # amber
        [0.78, 0.62, 0.30],  # straw
        [0.34, 0.42, 0.16],  # leaf green
        [0.16, 0.30, 0.36],  # steel blue
        [0.45, 0.43, 0.40],  # grey
    ]
)
"""Base colours, RGB 0-1."""


def draw_coat(
    rng: Generator, template: Float[np.ndarray, "n_verts 3"], part: Int[np.ndarray, " n_verts"]
) -> Float[np.ndarray, "n_verts 3"]:
    """Return vertex colours: a base colour, parts in related tones, bands, spots, dark joints.

    Args:
        rng: Source of randomness.
        template: Vertices of the model at rest, head along +x, back along +z.
        part: The joint that each vertex follows most.
    """
    span = np.ptp(template, axis=0).max()
    places = (template - template.mean(axis=0)) / span
    base = COATS[rng.integers(len(COATS))] * rng.uniform(0.6, 1.5) + rng.normal(0.0, 0.03, 3)
    if rng.random() < 0.12:
        base = rng.uniform(0.05, 0.9, 3)  # Painted: no animal, but networks must not count on it.
    other = COATS[rng.integers(len(COATS))] * rng.uniform(0.6, 1.6)
    mixing = np.where(rng.random(part.max() + 1) < 0.35, rng.uniform(0.2, 0.9), 0.0)
    tone = rng.normal(1.0, 0.10, (part.max() + 1, 1))
    weight = mixing[part][:, None]
    color = (base * (1.0 - weight) + other * weight) * tone[part]
    if rng.random() < 0.4:
        bands = np.sin(places[:, 0] * rng.uniform(25.0, 110.0) + rng.uniform(0, 6.3))
        depth = rng.uniform(0.15, 0.7)
        color *= 1.0 - depth * (bands > rng.uniform(-0.2, 0.7))[:, None]
    color *= 1.0 + rng.uniform(0.1, 0.5) * _smooth_noise(rng, places)[:, None]
    color *= 1.0 - rng.uniform(0.0, 0.5) * np.clip(-6.0 * places[:, 2:], 0.0, 1.0)
    return np.clip(color, 0.02, 1.0)


def apply_camera(
    rng: Generator, picture: UInt8[np.ndarray, "h w 3"], *, motion_blur: float, noise: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture as a camera would store it: exposure, blur, vignette, sensor noise.

    Args:
        rng: Source of randomness.
        picture: RGB.
        motion_blur: Probability of motion blur.
        noise: Strength of sensor noise; 0 leaves it out, 1 is a poor sensor.
    """
    size = picture.shape[0]
    if rng.random() < motion_blur:
        picture = cv2.filter2D(picture, -1, _motion_kernel(rng, size))
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9) * size / 384)
    picture = cv2.LUT(picture, _exposure_table(rng))
    if rng.random() < 0.3:
        axis = np.linspace(-1.0, 1.0, size, dtype=np.float32) ** 2
        gain = 1.0 - rng.uniform(0.1, 0.45) * 0.5 * (axis[:, None] + axis[None, :])
        picture = cv2.multiply(picture, cv2.merge([gain] * 3), dtype=cv2.CV_8U)
    sigma = noise * rng.uniform(0.0, 9.0)
    if sigma > 0.3:
        grain = rng.standard_normal((size, size), dtype=np.float32) * np.float32(sigma)
        tint = cv2.resize(
            rng.standard_normal((size // 2, size // 2, 3), dtype=np.float32), (size, size)
        )
        picture = cv2.add(
            picture, cv2.merge([grain] * 3) + tint * np.float32(0.5 * sigma), dtype=cv2.CV_8U
        )
    return picture


def _smooth_noise(rng: Generator, places: np.ndarray) -> np.ndarray:
    """Mottling: a few random plane waves through space, about -1 to 1."""
    waves = rng.normal(0.0, 22.0, (3, 6))
    return np.sin(places @ waves + rng.uniform(0.0, 6.3, 6)).mean(axis=1) * 1.5


def _motion_kernel(rng: Generator, size: int) -> np.ndarray:
    length = max(int(rng.uniform(0.008, 0.03) * size), 3) | 1
    kernel = np.zeros((length, length), dtype=np.float32)
    angle = rng.uniform(0.0, np.pi)
    reach = 0.5 * (length - 1) * np.array([np.cos(angle), np.sin(angle)])
    start, end = np.round(length // 2 - reach), np.round(length // 2 + reach)
    cv2.line(kernel, start.astype(int).tolist(), end.astype(int).tolist(), 1.0)
    return kernel / kernel.sum()


def _exposure_table(rng: Generator) -> np.ndarray:
    """Look-up table of 256 x 1 x 3 levels: gamma, gain and a slight white balance."""
    levels = np.linspace(0.0, 1.0, 256)[:, None]
    gain = rng.uniform(0.75, 1.3) * (1.0 + rng.normal(0.0, 0.05, 3))
    curve = np.clip(gain * levels ** rng.uniform(0.75, 1.3), 0.0, 1.0)
    return np.round(255.0 * curve).astype(np.uint8)[:, None, :]
