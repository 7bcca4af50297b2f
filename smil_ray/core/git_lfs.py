"""Git LFS pointers: the few lines of text that stand for a large file in a clone without LFS."""

from pathlib import Path

from smil_ray.errors import SmilRayError

_BEGINNING = b"version https://git-lfs"
REMEDY = "run `git lfs pull` in the repository that it came from, or download the file itself"


def is_lfs_pointer(data: bytes) -> bool:
    """Return whether the beginning of a file is that of a Git LFS pointer."""
    return data.startswith(_BEGINNING)


def refuse_lfs_pointer(path: Path, error: type[SmilRayError]) -> None:
    """Raise `error` if the file is a Git LFS pointer; a file that cannot be read is let pass.

    Raises:
        SmilRayError: Of the type `error`, naming Git LFS and what to do.
    """
    try:
        with path.open("rb") as stream:
            found = is_lfs_pointer(stream.read(len(_BEGINNING)))
    except OSError:
        return
    if found:
        raise error(
            f"{path}: a Git LFS pointer stands in place of the file",
            remedy=REMEDY,
        )
