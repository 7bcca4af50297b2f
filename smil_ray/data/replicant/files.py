"""Which files of a folder belong together: annotation, picture and ID mask of one view."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from smil_ray.data.image_files.formats import IMAGE_SUFFIXES, LOSSLESS, SUFFIXES
from smil_ray.data.replicant.annotations import MARKER
from smil_ray.errors import DataError

_IMAGE_SUFFIXES = tuple(case for s in IMAGE_SUFFIXES for case in (s.upper(), s))
_MASK_SUFFIXES = tuple(
    case for kind in LOSSLESS for s in SUFFIXES[kind] for case in (s, s.upper())
)
_COMPANION = re.compile(r"_(ID|Depth|NormalWA)(_CAM\d+)?$")
_CAMERA = re.compile(r"(?P<frame>.+)_CAM(?P<camera>\d+)$")
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Entry:
    """One annotated picture of a folder.

    Attributes:
        name: Unique in the folder, the sort key: path below the folder without its suffix.
        group: Name of the frame, common to all cameras and subjects that show it.
        json_path: Annotation.
        image_path: Picture; None if there is none.
        mask_path: Subject-ID mask; None if there is none.
        duplicate_of: An earlier file of the same name, for which this one is dropped.
    """

    name: str
    group: str
    json_path: Path
    image_path: Path | None
    mask_path: Path | None
    duplicate_of: Path | None = None

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files whose change makes another sample of it."""
        return (self.json_path, self.image_path, self.mask_path)


def find_entries(folder: Path | str) -> list[Entry]:
    """Return the annotated pictures below `folder`, sorted by name.

    Files without `iterationData` (other exports) and `_BatchData` files are skipped; a broken
    annotation beside a picture is kept, so that it is reported and not silently lost.

    Raises:
        DataError: The folder does not exist or holds no annotated picture, or a name is not UTF-8.
    """
    root = Path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing of that name"
        raise DataError(f"{root}: no such folder", expected="a replicAnt data set", found=found)
    return entries_of_tree(root, _walk(root), _is_annotation)


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    seen: set[Path] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        here = Path(place)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        yield here, folders, files


def entries_of_tree(
    root: Path,
    tree: Iterable[tuple[Path, list[str], list[str]]],
    is_annotation: Callable[[Path], bool],
) -> list[Entry]:
    """Return the annotated pictures of a tree of names, sorted by name.

    Args:
        root: The folder that names begin below.
        tree: Folders, each with the names of folders and of files in it.
        is_annotation: Says of a JSON file without a picture whether it is an annotation.

    Raises:
        DataError: There is no annotated picture, or a name is not UTF-8.
    """
    entries = []
    for here, folders, files in tree:
        names = {*files, *folders}
        for name in files:
            if name.lower().endswith(".json"):
                entry = _entry(root, here, name, names, is_annotation)
                entries += [] if entry is None else [entry]
    if not entries:
        raise DataError(
            f"{root}: no replicAnt annotation",
            expected="{name}_{index}.json files with `iterationData`",
            found="none",
        )
    entries.sort(key=lambda entry: (entry.name, str(entry.json_path)))
    for index in range(1, len(entries)):
        before = entries[index - 1]
        if entries[index].name == before.name:
            first = before.duplicate_of or before.json_path
            entries[index] = replace(entries[index], duplicate_of=first)
    return entries


def pictures_without_annotation(folder: Path | str) -> list[str]:
    """Return the pictures below `folder` that no annotation is about, by path, sorted.

    Masks, depth and normal maps belong to the picture that they are named after.
    """
    root, found = Path(folder), []
    for place, _, files in os.walk(root):
        names = set(files)
        for name in files:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - thousands of names
            if suffix.lower() in IMAGE_SUFFIXES and not _COMPANION.search(stem):
                annotations = (stem + ending for ending in (".json", ".JSON", ".Json"))
                if not any(annotation in names for annotation in annotations):
                    found.append(printable((Path(place) / name).relative_to(root)))
    return sorted(found)


def _entry(
    root: Path,
    here: Path,
    filename: str,
    names: set[str],
    is_annotation: Callable[[Path], bool],
) -> Entry | None:
    if filename.startswith("_BatchData"):
        return None
    stem = filename[: -len(".json")]
    camera = _CAMERA.match(stem)
    frame = camera["frame"] if camera else stem
    mask_stem = f"{frame}_ID_CAM{camera['camera']}" if camera else f"{stem}_ID"
    image = next((stem + s for s in _IMAGE_SUFFIXES if stem + s in names), None)
    mask = next((mask_stem + s for s in _MASK_SUFFIXES if mask_stem + s in names), None)
    if image is None and not is_annotation(here / filename):
        return None
    check_name(here / filename)
    prefix = "" if here == root else f"{here.relative_to(root).as_posix()}/"
    return Entry(
        name=prefix + stem,
        group=prefix + frame,
        json_path=here / filename,
        image_path=None if image is None else here / image,
        mask_path=None if mask is None else here / mask,
    )


def check_name(path: Path) -> None:
    """Refuse a name that no file of ours, no JSON and no terminal could hold.

    Raises:
        DataError: It is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            printable(path),
            expected="a name in UTF-8",
            found="bytes of another encoding",
            remedy="rename it, for instance with `convmv -f latin1 -t utf8`",
        ) from error


def printable(path: Path) -> str:
    """Return a path with whatever is not UTF-8 in it as escapes."""
    return str(path).encode(errors="backslashreplace").decode()


def _is_annotation(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            return MARKER in head or MARKER in head[-len(MARKER) :] + file.read()
    except OSError:
        return False
