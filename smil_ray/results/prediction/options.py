"""How a prediction works, and a piece of the work with what comes of it."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from smil_ray.results.motion.smoothing import Smoothing
from smil_ray.results.prediction.parts import Key, Rows
from smil_ray.results.prediction.sources import Source
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
        spread: Does the work elsewhere, in any order, see `orchestration.predict`; None: in this
            process.
    """

    batch_size: int = 8
    frames: FrameRange = ALL_FRAMES
    overlays: bool = True
    smooth: Smoothing = "none"
    rank_uncertain: int = 0
    fresh: bool = False
    threads: int = max(1, min(4, os.cpu_count() or 1))
    spread: "Callable[[Work], Iterable[Portion]] | None" = None


@dataclass(frozen=True)
class Work:
    """What the network is to be asked.

    Attributes:
        sources: Pictures and videos.
        options: How it works.
        done: Keys of rows that are not to be made again.
        looks_twice: Predict on the whole picture first, then on the square around the animal.
    """

    sources: tuple[Source, ...]
    options: PredictOptions
    done: frozenset[Key]
    looks_twice: bool


@dataclass(frozen=True)
class Portion:
    """What came of some work.

    Attributes:
        rows: Of the animals that were found.
        failed: File, frame or animal -> why there is no row.
        n_frames: How many pictures and frames were read.
    """

    rows: tuple[Rows, ...]
    failed: dict[str, str]
    n_frames: int
