"""Names and groups of labelled frames, from where their pictures lie."""

import re
from collections.abc import Sequence
from pathlib import Path

_NUMBER_AT_END = re.compile(r"[\W_]*\d+$")


def path_name(path: Path, base: Path) -> str:
    """Return a path's name: below `base`, as it is if relative, else its last two parts."""
    plain = path.with_suffix("")
    for parent in (base, base.absolute()):
        if plain.is_relative_to(parent):
            return plain.relative_to(parent).as_posix()
    if not plain.is_absolute():
        return plain.as_posix()
    return "/".join(part for part in plain.parts[-2:] if part.strip("/\\"))


def frame_group(name: str, *, is_picture: bool) -> str:
    """Return what a frame of that name has in common with the others of its video.

    Of a frame `VIDEO/000012` the video; of a picture its folder and, where the file's name is more
    than a number, that name without the number at its end: `images/walk_0012` is of `images/walk`.
    """
    folder, _, stem = name.rpartition("/")
    if not is_picture:
        return folder
    kept = _NUMBER_AT_END.sub("", stem)
    return "/".join(part for part in (folder, kept) if part) or "pictures"


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where one occurs again: `a`, `a~2`."""
    used: dict[str, int] = {}
    found = []
    for name in names:
        used[name] = used.get(name, 0) + 1
        found.append(name if used[name] == 1 else f"{name}~{used[name]}")
    return found
