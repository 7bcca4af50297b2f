"""Entries of inputs of any kind: replicAnt folders, and files of labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smil_ray.config import LabelConfig
from smil_ray.config.addresses import remote_address
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.labels.entries import LabelEntry, absolute, label_entries, read_labels
from smil_ray.data.labels.formats import is_label_path
from smil_ray.data.labels.joint_map import resolve
from smil_ray.data.labels.reading import read_label_samples
from smil_ray.data.replicant.labels import BodyFacts
from smil_ray.data.replicant.reading import (
    Entry,
    ReadOptions,
    ReadResult,
    find_entries,
    read_samples,
)
from smil_ray.data.replicant.remote import find_remote_entries
from smil_ray.errors import DataError

AnyEntry = Entry | LabelEntry
"""What a job divides: an annotated picture, or a labelled frame."""
_PATHS = ("json_path", "image_path", "mask_path", "duplicate_of", "labels_path", "picture")


def entries_of(path: Path, config: LabelConfig) -> list[AnyEntry]:
    """Return the entries of an input, sorted by name.

    Args:
        path: A replicAnt folder, here or in an object store; a file of labels, or the folder of
            a labelling project.
        config: How labels are meant; replicAnt's need none.

    Raises:
        DataError: Nothing that can be read is there.
        StorageError: The object store does not answer.
    """
    address = remote_address(path)
    if address is not None:
        return list(find_remote_entries(address))
    if is_label_path(path):
        return list(label_entries(path, config))
    return list(find_entries(path))


def check_joints(path: Path, skeleton: Skeleton, config: LabelConfig) -> None:
    """Refuse labels whose points do not stand for joints, before pictures are read.

    Raises:
        ConfigError: The joint map names what does not exist.
        DataError: No point is a joint, or the labels cannot be read.
    """
    if remote_address(path) is not None and path.suffix:
        raise DataError(
            f"{remote_address(path)}: labels are not read from an object store",
            expected="a replicAnt folder",
            remedy="copy labels and pictures to this machine",
        )
    if is_label_path(path):
        names = read_labels(path.absolute(), absolute(config)).node_names
        resolve(names, skeleton, config.joint_map, str(path))


def read_entry(entry: AnyEntry, model: BodyFacts, options: ReadOptions) -> ReadResult:
    """Return the samples of an entry.

    Raises:
        SampleError: It cannot be used.
    """
    if isinstance(entry, LabelEntry):
        return read_label_samples(entry, model, options)
    return read_samples(entry, model, options)


def entry_from_record(record: Mapping[str, Any]) -> AnyEntry:
    """Return the entry whose fields JSON carried."""
    fields = dict(record)
    for name in _PATHS:
        if fields.get(name) is not None:
            fields[name] = Path(fields[name])
    if "labels_path" in fields:
        return LabelEntry(**{**fields, "config": LabelConfig(**fields["config"])})
    return Entry(**fields)


def entry_record(entry: AnyEntry) -> dict[str, Any]:
    """Return an entry's fields as JSON can carry them."""
    fields = dict(vars(entry))
    if isinstance(entry, LabelEntry):
        fields["config"] = entry.config.model_dump(mode="json")
    return {k: str(v) if isinstance(v, Path) else v for k, v in fields.items()}
