"""A file of labels as a source of samples, read on demand."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig, LabelConfig
from smil_ray.core.batch import Sample, stack_labels
from smil_ray.data.filters import SampleError
from smil_ray.data.hdf5.schema import StoreInfo, count
from smil_ray.data.labels.entries import LabelEntry, label_entries
from smil_ray.data.labels.reading import read_label_samples
from smil_ray.data.replicant.reading import ReadOptions
from smil_ray.errors import DataError

_SMALL = 16
"""Side of pictures that are read to learn what is there; labels do not depend on it."""
_NO_PIXELS = np.zeros((0, 0, 3), dtype=np.uint8)


class LabelSource:
    """Samples of a file of labels; see `sample_source.SampleSource`.

    Every picture is read once when the file is opened, because names, boxes, labels and what can
    be used depend on it; what cannot be used is left out and counted in `info.drop_counts`.

    Raises:
        DataError: The file cannot be read, or holds no usable sample.
        ConfigError: The joint map does not fit.
    """

    def __init__(
        self,
        path: Path,
        model: SmilModel,
        size: int,
        crop: CropConfig | None = None,
        config: LabelConfig | None = None,
    ) -> None:
        self.path, self.model = path, model
        self.options = ReadOptions(size=size, crop=crop or CropConfig())
        config = config or LabelConfig()
        look = ReadOptions(size=_SMALL, crop=self.options.crop)
        digest = hashlib.sha256(f"{model.content_hash} {config.model_dump_json()}".encode())
        digest.update(self.options.crop.model_dump_json().encode())
        self._entries: list[LabelEntry] = []
        found: list[Sample] = []
        reasons = []
        for entry in label_entries(path, config):
            try:
                result = read_label_samples(entry, model, look)
            except SampleError as error:
                reasons.append(error.reason)
                continue
            reasons += [error.reason for error in result.rejected]
            digest.update(f"{entry.name} {entry.digest} {_size(entry.picture)}".encode())
            found += [replace(sample, image=_NO_PIXELS, mask=None) for sample in result.samples]
            self._entries += [entry] * len(result.samples)
        if not found:
            counts = ", ".join(f"{reason} {number}" for reason, number in count(reasons).items())
            raise DataError(f"{path}: no usable sample", found=counts)
        self.names = tuple(sample.name for sample in found)
        self.groups = tuple(entry.group for entry in self._entries)
        self._labels = stack_labels(found)
        self.presence = self._labels["presence"].numpy()
        settings = {"labels": str(path), "crop": self.options.crop.model_dump(mode="json")}
        self.info = replace(
            StoreInfo.of(model, size, settings),
            content_hash=digest.hexdigest(),
            drop_counts=count(reasons),
        )

    def read(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples in the order of `indices`.

        Raises:
            DataError: A picture cannot be read any more.
        """
        return [self._sample(i) for i in indices]

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the labels of samples; no picture is read again."""
        rows = list(indices)
        return {name: values[rows] for name, values in self._labels.items()}

    def _sample(self, index: int) -> Sample:
        result = read_label_samples(self._entries[index], self.model, self.options)
        found = (sample for sample in result.samples if sample.name == self.names[index])
        sample = next(found, None)
        if sample is None:
            raise DataError(f"{self.path}: {self.names[index]!r} cannot be used any more")
        return sample


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
