"""Where feature caches lie, what is there, and how it is removed."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from smil_ray.data.features_build import KEY, is_complete, read_key
from smil_ray.data.features_key import FeatureKey
from smil_ray.errors import DataError

ENVIRONMENT = "SMIL_RAY_CACHE"
GB = 1e9
SPARE_BYTES = 1e9
"""Free space that a cache must leave on its disk."""


class CacheLimitError(DataError):
    """A cache would be larger than what is allowed or free."""


@dataclass(frozen=True)
class CacheEntry:
    """A cache on the disk; `used` is when it last changed or was opened, seconds since 1970."""

    folder: Path
    key: FeatureKey
    complete: bool
    bytes: int
    used: float


def cache_root(folder: str | Path | None = None) -> Path:
    """Return the folder of all caches: as given, SMIL_RAY_CACHE, or the user's cache folder."""
    if folder is not None:
        return Path(folder).expanduser().absolute()
    if os.environ.get(ENVIRONMENT):
        return Path(os.environ[ENVIRONMENT]).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "smil_ray"


def list_caches(root: Path) -> list[CacheEntry]:
    """Return the caches below `root`, the last used first; other folders are passed over."""
    found = []
    for path in sorted(root.glob(f"*/{KEY}")):
        try:
            key = read_key(path.parent)
        except DataError:
            continue
        used = max(path.parent.stat().st_mtime, path.stat().st_atime)
        size = _size(path.parent)
        found.append(CacheEntry(path.parent, key, is_complete(path.parent), size, used))
    return sorted(found, key=lambda entry: -entry.used)


def check_limit(root: Path, key: FeatureKey, limit_gb: float) -> None:
    """Make sure, before anything is computed, that a cache may be and can be made.

    The limit is for all caches below `root` together.

    Raises:
        CacheLimitError: It may not, or the disk is too full.
    """
    others = sum(e.bytes for e in list_caches(root) if e.folder.name != key.folder_name)
    wanted = key.estimated_bytes
    if others + wanted > limit_gb * GB:
        raise CacheLimitError(
            f"feature cache of {key.samples} samples by {key.backbone}",
            expected=f"at most {limit_gb:g} GB for all caches in {root} (--cache-limit-gb, "
            "data.feature_cache_limit_gb)",
            found=f"{wanted / GB:.3g} GB beside {others / GB:.3g} GB of others",
            remedy="raise the limit, remove others (smil-ray cache rm), or set "
            "data.feature_cache: off",
        )
    existing = next(path for path in (root, *root.parents) if path.exists())
    partly = _size(root / key.folder_name)
    free = shutil.disk_usage(existing).free + partly
    if wanted + SPARE_BYTES > free:
        raise CacheLimitError(
            f"feature cache of {key.samples} samples by {key.backbone}",
            expected=f"{(wanted + SPARE_BYTES) / GB:.3g} GB free in {existing}",
            found=f"{free / GB:.3g} GB",
            remedy="free space, set data.feature_cache_dir to another disk, or set "
            "data.feature_cache: off",
        )


def remove_cache(entry: CacheEntry) -> None:
    """Delete a cache; runs that have it open keep what they have mapped.

    Raises:
        DataError: Somebody is building it, or it cannot be deleted.
    """
    for lock in entry.folder.glob("*.lock"):
        try:
            with FileLock(lock, timeout=0):
                pass
        except Timeout:
            raise DataError(
                f"feature cache {entry.folder} is being built", remedy="wait, or stop the builder"
            ) from None
    gone = entry.folder.with_name(f".{entry.folder.name}.{os.getpid()}.removed")
    try:
        entry.folder.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise DataError(f"feature cache {entry.folder} cannot be removed: {error}") from error


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
