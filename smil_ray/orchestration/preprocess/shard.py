"""One shard: entries -> samples -> one HDF5 file and, last, its manifest. No Ray in here."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import cv2

from smil_ray.body.smil_model import SmilModel
from smil_ray.config.addresses import joined, remote_address
from smil_ray.core.batch import Sample
from smil_ray.data.entries import AnyEntry, read_entry
from smil_ray.data.filters import FilterOptions, SampleError, drop_reason
from smil_ray.data.hdf5.files import write_bytes
from smil_ray.data.hdf5.merge import StoreSize, write_shard
from smil_ray.data.hdf5.schema import Drop, StoreInfo
from smil_ray.data.hdf5.table import encode_samples
from smil_ray.data.replicant.files import Entry
from smil_ray.data.replicant.reading import ReadOptions, ReadResult
from smil_ray.data.replicant.remote import local_entries
from smil_ray.orchestration.preprocess.plan import PreprocessOptions, Shard
from smil_ray.storage.node_cache import cache_root
from smil_ray.storage.store import upload


@dataclass(frozen=True)
class ShardManifest:
    """What a finished shard holds; written after the shard, so that it vouches for it."""

    index: int
    key: str
    entries: int
    file_bytes: int
    content_hash: str
    size: StoreSize
    drops: list[Drop] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Number of samples that could not be read."""
        return sum(drop.is_error for drop in self.drops)

    def write(self, path: Path) -> None:
        """Write as JSON, completely or not at all."""
        write_bytes(path, self.as_json().encode())

    def as_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> "ShardManifest | None":
        """Return the manifest at `path`, None if it is missing or not one."""
        try:
            return cls.parse(path.read_bytes())
        except OSError:
            return None

    @classmethod
    def parse(cls, text: bytes | str) -> "ShardManifest | None":
        """Return the manifest that JSON holds, None if it holds none."""
        try:
            values = json.loads(text)
            values["size"] = StoreSize(**values["size"])
            values["drops"] = [Drop(**drop) for drop in values["drops"]]
            return cls(**values)
        except (ValueError, TypeError, KeyError):
            return None


def make_shard_at(shard: Shard, folder: str, options: PreprocessOptions) -> ShardManifest:
    """Make a shard whose pictures, or whose place, may be in an object store.

    Raises:
        DataError: See `make_shard`.
        StorageError: The object store does not answer.
    """
    is_remote = any(remote_address(path) for entry in shard.entries for path in entry.files)
    with contextlib.ExitStack() as held:
        changed, told = shard, str
        if is_remote:
            entries = [entry for entry in shard.entries if isinstance(entry, Entry)]
            local, told = held.enter_context(local_entries(entries))
            changed = replace(shard, entries=tuple(local))
        if remote_address(folder) is None:
            return make_shard(changed, Path(folder), options, told)
        root = cache_root() / "work"
        root.mkdir(parents=True, exist_ok=True)
        own = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="shard_", dir=root)))
        manifest = make_shard(changed, own, options, told)
        for suffix in ("h5", "json"):
            name = f"{shard.stem}.{suffix}"
            upload(own / name, joined(folder, name))
        return manifest


def make_shard(
    shard: Shard,
    folder: Path,
    options: PreprocessOptions,
    told: Callable[[str], str] = str,
) -> ShardManifest:
    """Read a shard's entries, write its file and its manifest into `folder`.

    Args:
        shard: What to read.
        folder: Where to write.
        options: Settings.
        told: Changes what is said of entries that are left out.

    Raises:
        DataError: The file cannot be written. Entries that cannot be read do not raise; they
            are in the manifest's drops.
    """
    cv2.setNumThreads(1)
    model = load_model(options.model)
    samples, drops, notes = read_entries(shard.entries, model, options)
    info = StoreInfo.of(model, options.size, options.content_settings(model))
    table = encode_samples(samples, info, options.jpeg_quality)
    path = folder / f"{shard.stem}.h5"
    content_hash = write_shard(path, table, info)
    manifest = ShardManifest(
        index=shard.index,
        key=shard.key,
        entries=len(shard.entries),
        file_bytes=path.stat().st_size,
        content_hash=content_hash,
        size=StoreSize.of(table),
        drops=[replace(drop, detail=told(drop.detail)) for drop in drops],
        notes=notes,
    )
    manifest.write(folder / f"{shard.stem}.json")
    return manifest


def read_entries(
    entries: Sequence[AnyEntry], model: SmilModel, options: PreprocessOptions
) -> tuple[list[Sample], list[Drop], dict[str, int]]:
    """Return the samples to keep, those left out with their reason, and counted notes."""
    read_options = ReadOptions(
        size=options.size,
        crop=options.crop,
        mask_dilation=options.mask_dilation,
        ignored_joints=options.ignored_joints,
    )
    filters = FilterOptions(options.silhouette_threshold, options.min_visible_keypoints)
    samples: list[Sample] = []
    drops: list[Drop] = []
    notes: dict[str, int] = {}
    for entry in entries:
        result = _read(entry, model, read_options, drops)
        drops += [Drop(entry.name, error.reason, str(error)) for error in result.rejected]
        for note in result.notes:
            notes[note] = notes.get(note, 0) + 1
        for sample in result.samples:
            reason = drop_reason(sample, filters)
            if reason is None:
                samples.append(sample)
            else:
                drops.append(Drop(sample.name, reason, "", is_error=False))
    return samples, drops, notes


@lru_cache(maxsize=2)
def load_model(name: str) -> SmilModel:
    """Return a body model, read once per process."""
    return SmilModel.open(name)


def _read(
    entry: AnyEntry, model: SmilModel, options: ReadOptions, drops: list[Drop]
) -> ReadResult:
    """Return what an entry gives, nothing if it cannot be read, which goes to `drops`."""
    try:
        return read_entry(entry, model, options)
    except SampleError as error:
        drops.append(Drop(entry.name, error.reason, str(error)))
    return ReadResult([])
