"""Labelled frames as entries of a data set: what a job divides, and how one is found again."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from smil_ray.config import LabelConfig
from smil_ray.data.image_files.formats import IMAGE_SUFFIXES
from smil_ray.data.labels import _sleap_io
from smil_ray.data.labels.pictures import find_file
from smil_ray.data.labels.records import LabelFile, LabelledFrame
from smil_ray.errors import DataError

_KEPT_FILES = 4


@dataclass(frozen=True)
class LabelEntry:
    """One labelled picture of a file of labels.

    Attributes:
        name: Unique in the data set, the sort key.
        group: What splits keep together.
        labels_path: The file of labels.
        frame: The frame's name in it.
        picture: The file that the picture is in; the label file's where it is inside.
        digest: Hash of the frame's labels.
        config: How they are meant.
        duplicate_of: Always None; entries of folders may have one.
    """

    name: str
    group: str
    labels_path: Path
    frame: str
    picture: Path
    digest: str
    config: LabelConfig = field(default_factory=LabelConfig)
    duplicate_of: Path | None = None

    @property
    def image_path(self) -> Path | None:
        """The picture's file; None for a frame of a video or inside the label file."""
        return self.picture if self.picture.suffix.lower() in IMAGE_SUFFIXES else None

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files whose change makes another sample of it."""
        return (self.picture,)


def read_labels(path: Path, config: LabelConfig) -> LabelFile:
    """Return what a file of labels says; kept, because each of its frames asks for it.

    Raises:
        DataError: See `_sleap_io.load`.
    """
    file = path if path.is_file() else None
    stamp = None if file is None else (file.stat().st_size, file.stat().st_mtime_ns)
    return _read_labels(path, config.model_dump_json(), stamp)


@lru_cache(maxsize=_KEPT_FILES)
def _read_labels(path: Path, config: str, stamp: tuple[int, int] | None) -> LabelFile:
    return _sleap_io.load(path, LabelConfig.model_validate_json(config))


def label_entries(path: Path, config: LabelConfig) -> list[LabelEntry]:
    """Return the labelled frames of a file, sorted by name.

    Raises:
        DataError: See `read_labels`.
    """
    path, config = path.absolute(), absolute(config)
    folder = None if config.pictures is None else Path(config.pictures)
    return [
        LabelEntry(
            name=frame.name,
            group=frame.group,
            labels_path=path,
            frame=frame.name,
            picture=_file_of(frame, path, folder),
            digest=_digest(frame),
            config=config,
        )
        for frame in read_labels(path, config).frames
    ]


def absolute(config: LabelConfig) -> LabelConfig:
    """Return the settings with an absolute folder: workers have another working directory."""
    if config.pictures is None:
        return config
    return config.model_copy(update={"pictures": str(Path(config.pictures).absolute())})


def frame_of(entry: LabelEntry) -> tuple[LabelFile, LabelledFrame]:
    """Return the file of an entry, read, and its frame.

    Raises:
        DataError: See `read_labels`; or the file has lost the frame since.
    """
    labels = read_labels(entry.labels_path, entry.config)
    if entry.frame not in labels.by_name:
        raise DataError(f"{entry.labels_path}: the frame {entry.frame} is not in it any more")
    return labels, labels.by_name[entry.frame]


def _file_of(frame: LabelledFrame, path: Path, folder: Path | None) -> Path:
    if frame.picture is not None:
        return find_file(frame.picture, folder)
    return path if frame.video is None else find_file(Path(str(frame.video.filename)), folder)


def _digest(frame: LabelledFrame) -> str:
    digest = hashlib.sha256()
    for animal in frame.animals:
        arrays = (animal.points_px, animal.seen, *animal.polygons_px, *animal.masks)
        for values in (*arrays, np.array([] if animal.box_px is None else animal.box_px)):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
