"""What is to be predicted: pictures and videos with the names, boxes and cameras of each."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from smil_ray.data.replicant.files import printable
from smil_ray.errors import DataError
from smil_ray.results.keypoints import Keypoints, Places
from smil_ray.results.prediction.boxes import Box, BoxFile
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.images import is_video, match_names, unique_stems
from smil_ray.results.prediction.video import FrameRange, VideoInfo, video_info

Boxes = BoxFile | Literal["auto", "none"]


@dataclass(frozen=True)
class Source:
    """A picture or a video.

    Attributes:
        path: As it was given.
        name: Of its results; no other source has it.
        stamp: Size and time of the file: another content has another one.
        video: What a video says of itself; None for a picture.
        boxes: Of its animals by frame, `None` those of every frame; None: one animal, no box.
        camera: None where it is not known.
        told: Known places of joints, pixels of the whole picture.
    """

    path: Path
    name: str
    stamp: str
    video: VideoInfo | None = None
    boxes: Mapping[int | None, Sequence[Box]] | None = None
    camera: KnownCamera | None = None
    told: Places = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The path as it can be printed."""
        return printable(self.path)

    def label_of(self, frame: int, animal: int) -> str:
        """Return how an animal of it is called in messages."""
        place = f" frame {frame}" if self.video is not None else ""
        return f"{self.label}{place}" + ("" if animal == 0 else f" ({animal + 1})")

    def animals(self, frame: int) -> list[tuple[int, Box | None]]:
        """Return number and box of each animal in a frame; none where the file has no box."""
        if self.boxes is None:
            return [(0, None)]
        boxes = [*self.boxes.get(None, ()), *self.boxes.get(frame, ())]
        return [
            (number if box.animal is None else box.animal, box) for number, box in enumerate(boxes)
        ]

    def count(self, frames: FrameRange) -> int:
        """Return how many frames are wanted, as far as the file says."""
        return 1 if self.video is None else frames.count(self.video.n_frames)


@dataclass
class Plan:
    """All sources, and what is known to fail before anything is read.

    Attributes:
        sources: In the order in which they were given.
        failed: File -> why there is no result.
        notes: What a person should know of the rest.
    """

    sources: list[Source] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def make_plan(
    paths: Sequence[Path],
    boxes: Boxes,
    camera: KnownCamera | None,
    named: Mapping[str, str] | None = None,
    keypoints: Keypoints | None = None,
) -> Plan:
    """Return the sources of pictures and videos.

    Args:
        paths: Files.
        boxes: A file of boxes; with `auto` and `none` each picture has one animal.
        camera: Of the pictures.
        named: Names that earlier results already have, by label.
        keypoints: Known places of their joints.

    Raises:
        DataError: A file of boxes, cameras or keypoints names none of them.
    """
    plan = Plan()
    box_names = _names(boxes, paths, plan) if isinstance(boxes, BoxFile) else {}
    told: dict[Path, Places] = {}
    if keypoints is not None:
        told_names = _names(keypoints, paths, plan)
        told = {path: keypoints.places[name] for path, name in told_names.items()}
    cameras = None if camera is None else camera.of_images(paths)
    known = dict(named or {})
    fresh = [path for path in paths if printable(path) not in known]
    names = dict(zip(fresh, unique_stems(fresh, taken=known.values()), strict=True))
    for path in paths:
        label = printable(path)
        try:
            if isinstance(boxes, BoxFile) and path not in box_names:
                raise DataError(f"{boxes.path} has no box of it")
            if cameras is not None and path not in cameras:
                raise DataError("the file of cameras has no line of it")
            source = Source(
                path,
                known.get(label) or names[path],
                _stamp(path),
                video_info(path) if is_video(path) else None,
                _by_frame(boxes, box_names.get(path), label, is_video(path)),
                None if cameras is None else cameras[path],
                told.get(path, {}),
            )
            _check_told(source, keypoints)
            plan.sources.append(source)
        except DataError as error:
            plan.failed[label] = str(error)
    return plan


def _names(file: BoxFile | Keypoints, paths: Sequence[Path], plan: Plan) -> dict[Path, str]:
    """Return for each of the images that a file names the name that it has there."""
    given = file.boxes if isinstance(file, BoxFile) else file.places
    names = match_names(given, paths, str(file.path))
    others = [name for name in given if name not in names.values()]
    if others:
        plan.notes.append(f"{file.path}: {len(others)} other images, such as {others[0]!r}")
    return names


def _by_frame(
    boxes: Boxes, name: str | None, label: str, is_film: bool
) -> dict[int | None, list[Box]] | None:
    if not isinstance(boxes, BoxFile) or name is None:
        return None
    found: dict[int | None, list[Box]] = {}
    for box in boxes.boxes[name]:
        if box.frame is not None and not is_film:
            raise DataError(
                f"{box.where}: box of frame {box.frame}",
                expected="a video",
                found=f"the picture {label}",
                remedy="leave the column `frame` empty for pictures",
            )
        found.setdefault(box.frame, []).append(box)
    for frame, rows in found.items():
        numbers = [row.animal for row in rows if row.animal is not None]
        if len(set(numbers)) < len(numbers) or 0 < len(numbers) < len(rows):
            raise DataError(
                f"{rows[0].where}: animals of {label}, frame {frame}",
                expected="a number of its own for each animal, or none for all of them",
                found=[row.animal for row in rows],
            )
    return found


def _check_told(source: Source, keypoints: Keypoints | None) -> None:
    """Refuse places of joints in frames or of animals that the source does not have."""
    n_frames = 1 if source.video is None else source.video.n_frames or sys.maxsize
    for frame, animal in source.told:
        where = f"{keypoints.path if keypoints else ''}: {source.label_of(frame, animal)}"
        if frame >= n_frames:
            raise DataError(
                where, expected=f"a frame below {n_frames}, counted from 0", found=frame
            )
        animals = [number for number, _ in source.animals(frame)]
        if animal not in animals:
            raise DataError(
                f"{where}: no animal {animal}",
                expected=f"one of {animals}, counted from 0",
                remedy="give a box for each animal with --box FILE",
            )


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read", found=error.strerror) from error
    return f"{status.st_size}-{status.st_mtime_ns}"


def sources_by_label(sources: Sequence[Source]) -> dict[str, Source]:
    """Return the sources by their labels, which results name them by."""
    return {source.label: source for source in sources}


def frames_of_all(sources: Sequence[Source], frames: FrameRange) -> int:
    """Return how many frames all sources together have, as far as the files say."""
    return sum(source.count(frames) for source in sources)
