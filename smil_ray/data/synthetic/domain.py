"""Rendering domains: how animals, grounds, lamps and cameras of a data set look.

What a network learns on one domain and is asked on another tells what it would do on pictures of
a camera that it has never seen. To add one: its functions, and a line in `DOMAINS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from smil_ray.data.synthetic._appearance import apply_camera, draw_coat
from smil_ray.data.synthetic._background import Picture, draw_background
from smil_ray.data.synthetic._lab import (
    FOV_RANGES_DEG,
    JPEG_QUALITY,
    apply_lab_camera,
    draw_lab_background,
    draw_lab_coat,
    draw_lab_light,
)
from smil_ray.data.synthetic.scene import FOV_RANGE_DEG, LightDraw, draw_light

DomainName = Literal["default", "lab"]


@dataclass(frozen=True)
class Domain:
    """Everything of a picture but the animal's pose, shape and place.

    Attributes:
        coat: Vertex colours of (randomness, vertices at rest, part of each vertex).
        background: A picture of (randomness, size, clutter).
        light: The lamp or the sun.
        camera: What lens and sensor do to a picture (keywords `motion_blur` and `noise`).
        fov_ranges_deg: Ranges that fields of view are drawn from, equally often.
        jpeg_quality: Of the files, where the options do not say.
    """

    coat: Callable[[Generator, np.ndarray, np.ndarray], np.ndarray] = draw_coat
    background: Callable[[Generator, int, float], Picture] = draw_background
    light: Callable[[Generator], LightDraw] = draw_light
    camera: Callable[..., Any] = apply_camera
    fov_ranges_deg: tuple[tuple[float, float], ...] = (FOV_RANGE_DEG,)
    jpeg_quality: int = 92


DOMAINS: dict[DomainName, Domain] = {
    "default": Domain(),
    "lab": Domain(
        draw_lab_coat,
        draw_lab_background,
        draw_lab_light,
        apply_lab_camera,
        FOV_RANGES_DEG,
        JPEG_QUALITY,
    ),
}
"""Every domain by name."""
