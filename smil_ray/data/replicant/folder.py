"""Samples straight from a replicAnt folder: slower than HDF5, for looking and small trials."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig
from smil_ray.core.batch import LABELS, Sample, stack_labels
from smil_ray.data.filters import SampleError
from smil_ray.data.hdf5.schema import StoreInfo, count
from smil_ray.data.replicant.annotations import read_frame
from smil_ray.data.replicant.labels import camera_labels, subject_labels
from smil_ray.data.replicant.reading import Entry, ReadOptions, find_entries, read_samples
from smil_ray.errors import DataError

_ANY_SIZE = 1000  # Which labels a file has does not depend on the picture's size.


class FolderSource:
    """Samples of a folder; see `sample_source.SampleSource`.

    Annotations are parsed once, when the folder is opened, to know names and labels; those that
    cannot be used are left out and counted in `info.drop_counts`. Pictures are read on demand;
    with crops they are read when the folder is opened as well.

    Raises:
        DataError: The folder holds no usable annotation.
    """

    def __init__(
        self, folder: Path, model: SmilModel, size: int, crop: CropConfig | None = None
    ) -> None:
        self.folder, self.model = folder, model
        self.options = ReadOptions(size=size, crop=crop or CropConfig())
        self.names: tuple[str, ...] = ()
        self._entries: list[Entry] = []
        crops = self.options.crop
        digest = hashlib.sha256(model.content_hash.encode())
        presence: list[frozenset[str]] = []
        reasons: list[str] = []
        names: list[str] = []
        for entry in find_entries(folder):
            try:
                found = _labels(entry, model, self.options)
            except SampleError as error:
                reasons.append(error.reason)
                continue
            _add_files(digest, entry)
            for name, present in found:
                names.append(name)
                self._entries.append(entry)
                presence.append(present)
        if not names:
            counts = ", ".join(f"{reason} {number}" for reason, number in count(reasons).items())
            raise DataError(f"{folder}: no usable sample", found=counts)
        self.names = tuple(names)
        self.groups = tuple(entry.group for entry in self._entries)
        self.presence = np.array([[label in p for label in LABELS] for p in presence])
        settings: dict[str, Any] = {"folder": str(folder)}
        if crops.mode != "none":
            settings["crop"] = crops.model_dump(mode="json")
            digest.update(crops.model_dump_json().encode())
        self.info = replace(
            StoreInfo.of(model, size, settings),
            content_hash=digest.hexdigest(),
            drop_counts=count(reasons),
        )

    def read(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples in the order of `indices`.

        Raises:
            DataError: A picture cannot be read; `smil-ray doctor` names all such files.
        """
        return [self._sample(i) for i in indices]

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the labels of samples; pictures are read, because visibility needs masks."""
        return stack_labels(self.read(indices))

    def _sample(self, index: int) -> Sample:
        result = read_samples(self._entries[index], self.model, self.options)
        for sample in result.samples:
            if sample.name == self.names[index]:
                return sample
        raise DataError(
            f"{self._entries[index].json_path}: {self.names[index]!r} cannot be used",
            found=result.rejected[0] if result.rejected else "no such subject",
        )


def _labels(
    entry: Entry, model: SmilModel, options: ReadOptions
) -> list[tuple[str, frozenset[str]]]:
    """Return name and labels of each sample of an entry, for one subject without its picture."""
    frame = read_frame(entry.json_path)
    alone = entry.duplicate_of is None and len(frame.subjects) + len(frame.rejected) == 1
    if not alone or options.crop.mode != "none":  # What a crop shows depends on the mask.
        result = read_samples(entry, model, replace(options, size=16))
        return [(sample.name, sample.present) for sample in result.samples]
    if not frame.subjects:
        raise frame.rejected[0]
    where = entry.json_path.name
    camera = camera_labels(frame.camera, _ANY_SIZE, _ANY_SIZE, where)
    square = (_ANY_SIZE, _ANY_SIZE)
    labels = subject_labels(frame.subjects[0], camera, square, model, where)
    has_mask = {"mask"} if entry.mask_path is not None else set()
    return [(entry.name, labels.present | {"camera"} | has_mask)]


def _add_files(digest: "hashlib._Hash", entry: Entry) -> None:
    """Add the annotation's content and the pictures' sizes to a data set's hash."""
    digest.update(entry.name.encode())
    digest.update(hashlib.sha256(entry.json_path.read_bytes()).digest())
    for path in (entry.image_path, entry.mask_path):
        size = path.stat().st_size if path is not None and path.is_file() else 0
        digest.update(size.to_bytes(8, "little"))
