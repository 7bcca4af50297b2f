"""Where feature caches lie, what is there, and how it is removed."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from smil_ray.data.features.build import KEY, MANIFEST, is_complete, read_key
from smil_ray.data.features.key import FeatureKey
from smil_ray.errors import DataError

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


def list_caches(root: Path) -> list[CacheEntry]:
    """Return the caches below `root`, the last used first; other folders are passed over."""
    found = []
    for path in sorted(root.glob(f"*/{KEY}")):
        try:
            key = read_key(path.parent)
        except DataError:
            continue
        dated = (path.parent, path.parent / MANIFEST)
        used = max(place.stat().st_mtime for place in dated if place.exists())
        size = _size(path.parent)
        found.append(CacheEntry(path.parent, key, is_complete(path.parent), size, used))
    return sorted(found, key=lambda entry: -entry.used)


def check_limit(root: Path, keys: Sequence[FeatureKey], limit_gb: float) -> None:
    """Make sure, before anything is computed, that caches may be and can be made.

    The limit is for all caches below `root` together, those of `keys` included. Complete ones
    among `keys` are always welcome.

    Raises:
        CacheLimitError: They may not, or the disk is too full.
    """
    missing = {key.folder_name: key for key in keys if not is_complete(root / key.folder_name)}
    if not missing:
        return
    entries = list_caches(root)
    others = sum(entry.bytes for entry in entries if entry.folder.name not in missing)
    done = sum(entry.bytes for entry in entries if entry.folder.name in missing)
    wanted = sum(key.estimated_bytes for key in missing.values())
    what = f"feature cache of {keys[0].samples} samples by {keys[0].backbone}"
    if others + wanted > limit_gb * GB:
        raise CacheLimitError(
            what,
            expected=f"at most {limit_gb:g} GB for all caches in {root} "
            "(data.feature_cache_limit_gb)",
            found=f"{wanted / GB:.3g} GB beside {others / GB:.3g} GB of others",
            remedy="raise the limit, remove others (smil-ray cache rm), or set "
            "data.feature_cache to off",
        )
    existing = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(existing).free + done
    if wanted + SPARE_BYTES > free:
        raise CacheLimitError(
            what,
            expected=f"{(wanted + SPARE_BYTES) / GB:.3g} GB free in {existing}",
            found=f"{free / GB:.3g} GB",
            remedy="free space, set data.feature_cache_dir to another disk, or set "
            "data.feature_cache to off",
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
