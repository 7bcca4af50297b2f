"""Several data sets seen as one; names and groups of samples begin with their source's name."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from smil_ray.config import CropConfig
from smil_ray.core.batch import Sample


@runtime_checkable
class SourceData(Protocol):
    """What training needs from a data set; `data.dataset.SmilDataset` is one."""

    @property
    def names(self) -> Sequence[str]:
        """Sample names in order."""
        ...

    @property
    def groups(self) -> Sequence[str]:
        """Group of each sample; a group is never split."""
        ...

    @property
    def input_size(self) -> int:
        """Side of the square images in pixels."""
        ...

    @property
    def content_hash(self) -> str:
        """Hash of the content, the same wherever the data lies."""
        ...

    @property
    def crop(self) -> CropConfig:
        """How the pictures were cut out of larger ones."""
        ...

    def presence_counts(self) -> dict[str, int]:
        """Return the number of samples with each label."""
        ...

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples by index."""
        ...

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return what `core.batch.stack_labels` makes of samples, without their images."""
        ...

    def view(self, indices: Any) -> Dataset[Any]:
        """Return a torch data set of these samples whose batches are lists of samples."""
        ...


@dataclass(frozen=True)
class Segment:
    """Where the samples of a source lie among all: from `first` up to `end`."""

    name: str
    first: int
    end: int


class MixedData:
    """Data sets one after the other, with what training needs of a data set.

    Args:
        sources: The data sets by name; all have images of the same size.
        main: The source whose way of cutting pictures holds for prediction.
    """

    def __init__(self, sources: Mapping[str, SourceData], main: str) -> None:
        self.sources = dict(sources)
        ends = np.cumsum([len(data.names) for data in self.sources.values()]).tolist()
        self.segments = tuple(
            Segment(name, first, end)
            for name, first, end in zip(self.sources, [0, *ends], ends, strict=False)
        )
        named = self.sources.items()
        self.names = tuple(f"{source}/{n}" for source, data in named for n in data.names)
        self.groups = tuple(f"{source}/{g}" for source, data in named for g in data.groups)
        self.input_size = next(iter(self.sources.values())).input_size
        self.crop = self.sources[main].crop

    def __len__(self) -> int:
        return len(self.names)

    @property
    def content_hash(self) -> str:
        """Hash of the sources' names and contents."""
        found = [[name, data.content_hash] for name, data in self.sources.items()]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    def presence_counts(self) -> dict[str, int]:
        """Return the number of samples with each label, over all sources."""
        every = [data.presence_counts() for data in self.sources.values()]
        return {label: sum(counts[label] for counts in every) for label in every[0]}

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples by index, with the names that they have here."""
        shares = shares_of(self.segments, indices)
        found = [
            _named(share.source, sample)
            for share in shares
            for sample in self.sources[share.source].samples(share.own)
        ]
        return [found[at] for at in back_in_order(shares)]

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return what `core.batch.stack_labels` makes of samples, without their images."""
        shares = shares_of(self.segments, indices)
        return joined_labels(
            [self.sources[share.source].labels(share.own) for share in shares],
            back_in_order(shares),
        )

    def view(self, indices: Sequence[int] | np.ndarray) -> "MixedView":
        """Return the samples at `indices` for a DataLoader."""
        return MixedView(self, indices)


class MixedView(Dataset):
    """A torch data set of samples of several sources, read a batch at a time."""

    def __init__(self, data: MixedData, indices: Sequence[int] | np.ndarray) -> None:
        self.data = data
        self.indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return a batch of samples."""
        return self.data.samples(self.indices[list(indices)].tolist())


@dataclass(frozen=True)
class Share:
    """What of a request for samples is one source's.

    Attributes:
        source: The source.
        places: Where its samples stand in the request.
        own: Their indices in the source.
    """

    source: str
    places: list[int]
    own: list[int]


def shares_of(segments: Sequence[Segment], indices: Sequence[int]) -> list[Share]:
    """Return how a request for samples is shared out; sources that have none are left out."""
    wanted = np.asarray(indices, dtype=np.int64)
    if len(wanted) and not (wanted.min() >= 0 and wanted.max() < segments[-1].end):
        raise IndexError(f"a sample that is not one of {segments[-1].end}")
    found = []
    for segment in segments:
        places = np.flatnonzero((wanted >= segment.first) & (wanted < segment.end))
        if len(places):
            own = wanted[places] - segment.first
            found.append(Share(segment.name, places.tolist(), own.tolist()))
    return found


def back_in_order(shares: Sequence[Share]) -> list[int]:
    """Return for each place of the request which row it is of the shares' rows in a row."""
    return np.argsort([place for share in shares for place in share.places]).tolist()


def joined_labels(parts: Sequence[Mapping[str, Tensor]], order: list[int]) -> dict[str, Tensor]:
    """Return the rows of labels of several sources in the order of the request."""
    rows = torch.tensor(order)
    return {name: torch.cat([part[name] for part in parts])[rows] for name in parts[0]}


def _named(source: str, sample: Sample) -> Sample:
    return replace(sample, name=f"{source}/{sample.name}", group=f"{source}/{sample.group}")
