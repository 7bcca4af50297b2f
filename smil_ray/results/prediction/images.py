"""Which pictures and videos are meant: files, folders, patterns, and names in other files."""

import glob
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from smil_ray.data.image_files.formats import HEAD_BYTES, IMAGE_SUFFIXES, SUFFIXES, format_of
from smil_ray.data.replicant.files import printable
from smil_ray.errors import DataError

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".mts", ".ogv"),
)
"""Endings of the names of videos."""
_COMPANIONS = ("_ID", "_Depth", "_NormalWA")
_NAMED = 5
"""How many names of files that were left out a note has."""


@dataclass(frozen=True)
class FoundImages:
    """What is in the places that a person named.

    Attributes:
        paths: Pictures and videos, each once.
        left_out: File or folder -> why it is not among them.
    """

    paths: list[Path]
    left_out: dict[Path, str]

    def notes(self) -> list[str]:
        """Return how many files were left out of folders, for which reason, and some names."""
        by_reason: dict[str, list[str]] = {}
        for path, reason in self.left_out.items():
            by_reason.setdefault(reason, []).append(printable(Path(path.name)))
        found = []
        for reason, names in by_reason.items():
            some = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            found.append(f"{len(names)} left out, {reason}: {some}")
        return found


def is_video(path: Path) -> bool:
    """Return whether a file is a video, by the ending of its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def find_images(paths: Iterable[Path], *, recursive: bool = False) -> FoundImages:
    """Return the pictures and videos among `paths`, those of a folder sorted.

    A picture is told by its name's ending or by its content, a video by its name's ending. What
    does not exist and holds `*`, `?` or `[` is a pattern (`**` for any folders). ReplicAnt's masks
    and depth maps beside a picture of a folder are no images to predict on.

    Args:
        paths: Files, folders and patterns.
        recursive: Whether folders within folders are searched too.

    Raises:
        DataError: A path does not exist, or there is no image at all.
    """
    found: list[Path] = []
    left_out: dict[Path, str] = {}
    for path in paths:
        for place in _matching(path):
            if place.is_dir():
                for folder in _folders(place, recursive):
                    found += _images_of(folder, left_out, recursive)
            else:
                found.append(place)
    if not found:
        raise DataError(
            "No image to predict on",
            expected=f"files ending in {', '.join(IMAGE_SUFFIXES)}, or a video",
            found="; ".join(FoundImages([], left_out).notes()) or None,
        )
    return FoundImages(list(dict.fromkeys(found)), left_out)


def _matching(path: Path) -> list[Path]:
    """Return the path itself, or what matches it as a pattern."""
    if path.exists():
        return [path]
    places = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(str(path)) else []  # noqa: PTH207
    if not places:
        raise DataError(f"Image {path} does not exist", remedy="check the path")
    return [Path(place) for place in places]


def _folders(folder: Path, recursive: bool) -> list[Path]:
    if not recursive:
        return [folder]
    return [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]


def match_names(names: Iterable[str], paths: Sequence[Path], where: str) -> dict[Path, str]:
    """Return for each of the images `paths` the one of `names` that means it, if there is one.

    A name means every image whose path ends with it, part by part: `b.jpg` and `a/b.jpg` mean
    `x/a/b.jpg`; of several the longest counts.

    Raises:
        DataError: A name means several images, or none of the names means any; `where` is named.
    """
    ends: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        parts = path.absolute().parts
        for start in range(len(parts)):
            ends.setdefault(parts[start:], []).append(path)
    found: dict[Path, str] = {}
    longest_first = sorted(set(names), key=lambda name: (-len(PurePosixPath(name).parts), name))
    for name in longest_first:
        meant = [p for p in ends.get(PurePosixPath(name).parts, []) if p not in found]
        if len(meant) > 1:
            raise DataError(
                f"{where}: {name!r} is the name of several images",
                found=f"{meant[0]}, {meant[1]}",
                remedy="write as much of their paths as tells them apart",
            )
        found.update(dict.fromkeys(meant, name))
    if not found:
        raise DataError(
            f"{where}: it names none of the images",
            expected=f"a name such as {paths[0].name!r}",
            found=", ".join(repr(name) for name in longest_first[:3]) or "no name",
        )
    return found


def unique_stems(paths: Sequence[Path], taken: Iterable[str] = ()) -> list[str]:
    """Return names for results, after the images'; those of equal names get a number.

    Names in `taken` are those of other results.
    """
    names: list[str] = []
    used: set[str] = set(taken)
    reserved = {path.stem for path in paths} | used
    for path in paths:
        free = (f"{path.stem}_{number}" for number in itertools.count(2))
        name = path.stem if path.stem not in used else next(n for n in free if n not in reserved)
        names.append(name)
        used.add(name)
        reserved.add(name)
    return names


def _images_of(folder: Path, left_out: dict[Path, str], recursive: bool) -> list[Path]:
    images = []
    for path in sorted(folder.iterdir()):
        if recursive and path.is_dir():
            continue
        reason = _why_not(path)
        if reason is None:
            images.append(path)
        else:
            left_out[path] = reason
    companions = {image.stem + end for image in images for end in _COMPANIONS}
    left_out |= {image: "mask or map" for image in images if image.stem in companions}
    return [image for image in images if image.stem not in companions]


def _why_not(path: Path) -> str | None:
    """Return why an entry of a folder is no image, None if it is one."""
    if path.is_dir():
        return "folder"
    if path.suffix.lower() in IMAGE_SUFFIXES or is_video(path):
        return None
    try:
        with path.open("rb") as file:
            kind = format_of(file.read(HEAD_BYTES))
    except OSError as error:
        return error.strerror or "not readable"
    if kind in SUFFIXES:
        return None
    return "no image" if kind is None else f"{kind} is not read, export it as JPEG or PNG"
