"""How a prediction works, besides what is predicted."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from smil_ray.results.motion.smoothing import Smoothing
from smil_ray.results.prediction.video import ALL_FRAMES, FrameRange

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is done, and of how much."""


@dataclass(frozen=True)
class PredictOptions:
    """How `predict_images` works.

    Attributes:
        batch_size: Animals per forward pass.
        frames: Which frames of videos.
        overlays: Draw them.
        smooth: How much videos are smoothed over time.
        rank_uncertain: How many frames most worth labelling are named.
        fresh: Throw away what the folder of results holds.
        threads: Of reading, and of drawing.
    """

    batch_size: int = 8
    frames: FrameRange = ALL_FRAMES
    overlays: bool = True
    smooth: Smoothing = "none"
    rank_uncertain: int = 0
    fresh: bool = False
    threads: int = max(1, min(4, os.cpu_count() or 1))
