"""What a file of labels says, whatever its format: frames, and the animals labelled in them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

Problem = tuple[str, str]
"""A key of `data.filters.REASONS` and the sentence that says what is wrong."""


@dataclass(frozen=True)
class LabelledAnimal:
    """One animal in one picture; pixels are counted from the picture's top left corner.

    Attributes:
        points_px: (x, y) of each node of the file, NaN where it is not labelled.
        seen: Labelled and not marked as hidden.
        box_px: Left, top, right, bottom, where the file has a box.
        polygons_px: Outlines; together they cover the animal.
        masks: Masks of the whole picture, boolean.
    """

    points_px: Float[np.ndarray, "n_nodes 2"]
    seen: Bool[np.ndarray, " n_nodes"]
    box_px: Float[np.ndarray, "4"] | None = None
    polygons_px: tuple[Float[np.ndarray, "corners 2"], ...] = ()
    masks: tuple[Bool[np.ndarray, "h w"], ...] = ()


@dataclass(frozen=True)
class LabelledFrame:
    """One picture and its animals.

    Attributes:
        name: Unique in the file, the sort key.
        group: The video or folder that it is from.
        file_name: Path of the picture or video, below the labels' folder or its last two parts.
        picture: The picture's file; None for a frame of a video or inside the label file.
        video: `sleap_io.Video` that holds the frame; None for picture files.
        index: Number of the frame in its video.
        animals: As many as are labelled; predictions of other networks are not among them.
        size_px: Width and height that the file claims, None where it does not.
        problem: Why the frame cannot be read, found while reading the labels.
    """

    name: str
    group: str
    file_name: str
    picture: Path | None
    video: Any
    index: int
    animals: tuple[LabelledAnimal, ...]
    size_px: tuple[int, int] | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class LabelFile:
    """A file of labels, read.

    Attributes:
        path: The file or folder that was asked for.
        format: Key of `formats.FORMATS`.
        node_names: Names of the labelled points, in the order of all points.
        frames: By name.
        notes: What reading left out, in words.
    """

    path: Path
    format: str
    node_names: tuple[str, ...]
    frames: tuple[LabelledFrame, ...]
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def by_name(self) -> dict[str, LabelledFrame]:
        """The frames by their names."""
        return {frame.name: frame for frame in self.frames}


@dataclass(frozen=True)
class Loaded:
    """Frames of sleap-io, and for each what it does not say itself.

    Attributes:
        frames: `sleap_io.LabeledFrame`.
        pictures: The picture file of each frame, None: what the frame's video says.
        sizes: Width and height that the labels claim.
        visibility: For each frame the flags of its instances' points; None where the format has
            none, a flag of 1 being a hidden point and 2 a visible one.
        missing: Pictures that are not there, with their animals lost.
    """

    frames: tuple[Any, ...]
    pictures: dict[int, Path]
    sizes: dict[int, tuple[int, int]]
    visibility: dict[int, list[np.ndarray]]
    missing: tuple[tuple[str, Problem], ...] = ()
