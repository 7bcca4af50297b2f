"""What `SmilDataset` reads from: an HDF5 file, ours or a predecessor's, a folder, or labels."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from smil_ray.core.batch import Sample
from smil_ray.data.hdf5.schema import StoreInfo


@runtime_checkable
class SampleSource(Protocol):
    """Samples by index. Sources pickle without open files and may be read in any process.

    Attributes:
        info: Skeleton, sizes, settings and content hash.
        names: Sample names, in the order of the data set.
        groups: Group of each sample.
        presence: Boolean (n, labels), columns as in `core.batch.LABELS`.
    """

    info: StoreInfo
    names: tuple[str, ...]
    groups: tuple[str, ...]
    presence: np.ndarray

    def read(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples in the order of `indices` (each in [0, n))."""
        ...

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return what `core.batch.stack_labels` makes of these samples, if possible unread."""
        ...


def rows_of_labels(
    columns: Mapping[str, np.ndarray], presence: np.ndarray, indices: Sequence[int]
) -> dict[str, Tensor]:
    """Return rows of label columns as `core.batch.stack_labels` does, world frame.

    Args:
        columns: Fields of `Sample` that are numbers, one row per sample of the data set.
        presence: Boolean (n, labels), columns as in `core.batch.LABELS`.
        indices: The rows wanted.
    """
    rows = np.asarray(indices, dtype=np.int64)
    found = {name: torch.from_numpy(values[rows]) for name, values in columns.items()}
    found["fov"] = found["fov"].float().reshape(-1, 1)
    found["body_length"] = found["body_length"].float()
    return {**found, "presence": torch.from_numpy(presence[rows])}
