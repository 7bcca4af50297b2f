"""What preprocessing has to do: settings, the sorted list of entries, and its shards."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig, LabelConfig, Settings
from smil_ray.config.addresses import remote_address, resolved_place
from smil_ray.data.entries import AnyEntry, entries_of
from smil_ray.data.hdf5.schema import Drop
from smil_ray.data.labels.entries import LabelEntry
from smil_ray.data.replicant.remote import remote_stamps
from smil_ray.errors import DataError
from smil_ray.orchestration.preprocess._selection import read_selection

_HOW_ONLY = {
    "model",
    "chunk_size",
    "limit",
    "only",
    "num_workers",
    "resume",
    "max_error_fraction",
    "address",
}
"""Settings that decide how the work is done, not what comes out."""

_SHARD_BYTES, _BYTES_PER_PIXEL = 64 * 2**20, 4
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class PreprocessOptions(Settings):
    """Settings of one preprocessing.

    Attributes:
        model: `builtin` or a model file; labels are put in its joint order.
        size: Height and width of the stored pictures, pixels.
        backbone: The backbone that `size` was chosen for, for the record.
        silhouette_threshold: Least share of the picture that the silhouette covers.
        min_visible_keypoints: Least number of visible keypoints.
        jpeg_quality: Of the stored pictures.
        chunk_size: Entries per shard: what is lost when a worker dies. None: see `shard_size`.
        ignored_joints: Joints that never count as visible.
        mask_dilation: Radius in native pixels by which masks grow.
        crop: The whole picture, or squares around each animal.
        labels: What files of labels mean, and where their pictures are.
        limit: Use only the first so many entries.
        only: Use only entries that this file names, one a line, or that the doctor's JSON
            report found no error in.
        num_workers: Parallel tasks; None means one per processor.
        resume: Go on with what an interrupted run left.
        max_error_fraction: Give up when more than this share of the entries cannot be read.
        address: Ray cluster; see `orchestration.cluster`. On a cluster, inputs and output
            are in folders that all nodes share, or in an object store.
    """

    model: str = "builtin"
    size: Annotated[int, Field(ge=16, le=4096)] = 224
    backbone: str | None = None
    silhouette_threshold: Share = 0.0
    min_visible_keypoints: Annotated[int, Field(ge=0)] = 5
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 95
    chunk_size: Annotated[int, Field(ge=1)] | None = None
    ignored_joints: tuple[str, ...] = ()
    mask_dilation: Annotated[int, Field(ge=0)] = 0
    crop: CropConfig = CropConfig()
    labels: LabelConfig = LabelConfig()
    limit: Annotated[int, Field(ge=1)] | None = None
    only: Path | None = None
    num_workers: Annotated[int, Field(ge=1)] | None = None
    resume: bool = False
    max_error_fraction: Share = 0.2
    address: str | None = None

    def content_settings(self, model: SmilModel) -> dict[str, Any]:
        """Return what decides how an entry becomes a sample; shards of others do not mix."""
        settings = self.model_dump(mode="json", exclude=_HOW_ONLY)
        return {**settings, "model_name": model.name, "model_hash": model.content_hash}


@dataclass(frozen=True)
class Shard:
    """Consecutive entries that one task turns into one file.

    Attributes:
        index: Place in the order of all shards.
        key: Hash of the entries and of their files' sizes and times: a changed input is a
            different shard and is made anew.
    """

    index: int
    key: str
    entries: tuple[AnyEntry, ...]

    @property
    def stem(self) -> str:
        """File name without suffix."""
        return f"shard_{self.index:06d}_{self.key[:16]}"


@dataclass(frozen=True)
class Plan:
    """What is to be done: the shards, and the entries that are left out from the start."""

    shards: list[Shard]
    left_out: list[Drop]

    @property
    def n_entries(self) -> int:
        """Entries of all shards."""
        return sum(len(shard.entries) for shard in self.shards)

    def key(self, settings: dict[str, Any]) -> str:
        """Return a hash of everything that decides the result: settings and input files."""
        left_out = [[drop.name, drop.reason] for drop in self.left_out]
        parts = [settings, [shard.key for shard in self.shards], left_out]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def make_plan(inputs: Sequence[Path], options: PreprocessOptions) -> Plan:
    """Return the shards of all inputs; the order is that of the sorted names.

    Raises:
        DataError: An input is unusable or is given twice, or `only` is unusable.
    """
    entries, left_out = find_all_entries(inputs, options.labels)[: options.limit], []
    if options.only is not None:
        entries, left_out = read_selection(options.only).split(entries)
    size = options.chunk_size or shard_size(len(entries), options.size)
    chunks = [tuple(entries[i : i + size]) for i in range(0, len(entries), size)]
    stamps: dict[Path, list[int]] = {}
    for place in inputs:
        address = remote_address(place)
        stamps |= {} if address is None else remote_stamps(address)
    keyed = ((_key(chunk, stamps), chunk) for chunk in chunks)
    return Plan([Shard(i, key, chunk) for i, (key, chunk) in enumerate(keyed)], left_out)


def shard_size(n_entries: int, side: int) -> int:
    """Return how many entries a shard has by default.

    A task of Ray Data should take about a second: between two of a worker's tasks pass 0.1 to
    0.2 s. Sixteen shards keep the processors of one machine busy, and their pictures and masks
    stay within 64 MiB of a worker's memory.

    Args:
        n_entries: Of all inputs.
        side: Of the stored pictures, pixels.
    """
    fits = max(1, _SHARD_BYTES // (_BYTES_PER_PIXEL * side**2))
    wanted = min(max(-(-n_entries // 16), 64), 256)
    return min(wanted, fits)


def find_all_entries(inputs: Sequence[Path], labels: LabelConfig | None = None) -> list[AnyEntry]:
    """Return the entries of all inputs, sorted by name.

    With several inputs, names and groups start with the input's name, numbered where two have
    the same one, so that they stay unique.
    """
    labels = labels or LabelConfig()
    folders = [Path(resolved_place(folder)) for folder in inputs]
    if len(set(folders)) != len(folders):
        raise DataError("preprocess: an input is given twice", found=", ".join(map(str, inputs)))
    if not folders:
        raise DataError("preprocess", expected="at least one input", found="none")
    if len(folders) == 1:
        return entries_of(folders[0], labels)
    used: dict[str, int] = {}
    entries: list[AnyEntry] = []
    for folder in folders:
        used[folder.name] = used.get(folder.name, 0) + 1
        number = used[folder.name]
        prefix = folder.name if number == 1 else f"{folder.name}~{number}"
        entries += [
            replace(entry, name=f"{prefix}/{entry.name}", group=f"{prefix}/{entry.group}")
            for entry in entries_of(folder, labels)
        ]
    return sorted(entries, key=lambda entry: (entry.name, str(entry.files[0])))


def _key(entries: Sequence[AnyEntry], stamps: Mapping[Path, list[int]]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        parts: list[Any] = [entry.name, entry.group, entry.duplicate_of is not None]
        if isinstance(entry, LabelEntry):
            parts.append(entry.digest)
        for path in entry.files:
            parts.append(None if path is None else stamps.get(path) or _stamp(path))
        digest.update(json.dumps(parts).encode())
    return digest.hexdigest()


def _stamp(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
