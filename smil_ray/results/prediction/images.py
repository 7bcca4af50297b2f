"""Which image files are meant: files and folders, and the names that other files call them by."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from smil_ray.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_COMPANIONS = ("_ID", "_Depth", "_NormalWA")


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the image files among `paths`, each once, those of a folder (one level) sorted.

    ReplicAnt's masks and depth maps beside a picture of a folder are no images to predict on.

    Raises:
        DataError: A path does not exist, or there is no image at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _images_of(path)
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"Image {path} does not exist", remedy="check the path")
    if not found:
        raise DataError(
            "No image to predict on", expected=f"files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return list(dict.fromkeys(found))


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


def unique_stems(paths: Sequence[Path]) -> list[str]:
    """Return names for results, after the images'; those of equal names get a number."""
    names: list[str] = []
    used: set[str] = set()
    taken = {path.stem for path in paths}
    for path in paths:
        free = (f"{path.stem}_{number}" for number in itertools.count(2))
        name = path.stem if path.stem not in used else next(n for n in free if n not in taken)
        names.append(name)
        used.add(name)
        taken.add(name)
    return names


def _images_of(folder: Path) -> list[Path]:
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    companions = {image.stem + end for image in images for end in _COMPANIONS}
    return [image for image in images if image.stem not in companions]
