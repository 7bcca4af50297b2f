"""Boxes around the instances of a SLEAP file: those that a person labelled, and predicted ones."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.data.labels._naming import path_name
from smil_ray.data.labels._sleap_io import (
    FORESEEN,
    HALF_PIXEL,
    LOADERS,
    file_of,
    source_of,
)
from smil_ray.errors import DataError

FEWEST_POINTS = 2
"""An instance of fewer points has no box."""


@dataclass(frozen=True)
class InstanceBox:
    """The smallest box around the points of an instance.

    Attributes:
        file_name: Path of the picture or video, below the file's folder or its last two parts.
        frame: The frame of a video, counted from 0; None for a picture.
        animal: Number of the instance's track, in the order in which tracks come; None where an
            instance of the file has none.
        xywh: Left, top, width, height; pixels from the picture's corner.
        where: The place in the file, for messages.
    """

    file_name: str
    frame: int | None
    animal: int | None
    xywh: tuple[float, float, float, float]
    where: str


def is_sleap_file(path: Path) -> bool:
    """Return whether the name is that of a SLEAP file."""
    return path.suffix.lower() == ".slp"


def sleap_boxes(path: Path) -> list[InstanceBox]:
    """Return the boxes of a SLEAP file, in the order of its frames.

    Where a person corrected a prediction, the correction alone counts.

    Raises:
        DataError: The file cannot be read, or no instance has two points.
    """
    try:
        frames = LOADERS["slp"](path, None).frames
        boxes = [box for number, frame in enumerate(frames) for box in _boxes(path, number, frame)]
    except FORESEEN as error:
        raise DataError(
            f"{path}: cannot be read as a SLEAP file",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
        ) from error
    if not boxes:
        raise DataError(
            f"{path}: no box",
            expected=f"an instance of at least {FEWEST_POINTS} points",
            found=f"{len(frames)} frames without any",
        )
    if any(track is None for _, track in boxes):
        return [box for box, _ in boxes]
    tracks = list(dict.fromkeys(id(track) for _, track in boxes))
    return [replace(box, animal=tracks.index(id(track))) for box, track in boxes]


def _boxes(path: Path, number: int, frame: Any) -> list[tuple[InstanceBox, Any]]:
    """Return the boxes of a frame and their tracks."""
    picture = file_of(frame)
    source = Path(picture) if picture is not None else source_of(frame.video)
    name = path_name(source, path.parent) + source.suffix
    found = []
    for place, instance in enumerate([*frame.user_instances, *frame.unused_predictions]):
        points = instance.numpy()[:, :2] + HALF_PIXEL
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) < FEWEST_POINTS:
            continue
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        box = InstanceBox(
            file_name=name,
            frame=None if picture is not None else int(frame.frame_idx),
            animal=None,
            xywh=(float(left), float(top), float(right - left), float(bottom - top)),
            where=f"{path}: frame {number}, instance {place}",
        )
        found.append((box, instance.track))
    return found
