"""What `SmilDataset` reads from: an HDF5 file, a predecessor's file or a replicAnt folder."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

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
