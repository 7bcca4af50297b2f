"""Cached features of a frozen backbone: rows by sample and view, and views for a DataLoader.

What a run needs of its data is in the cache: features, labels and masks. Pictures are not
decoded and the backbone does not run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from smil_ray.core.batch import LABEL_COLUMNS, Batch, batch_of_labels
from smil_ray.data.draws import Draw, positions_and_views
from smil_ray.data.features.build import check_key, is_complete, shard_path
from smil_ray.data.features.key import DTYPES, FeatureKey
from smil_ray.data.features.shard import (
    FEATURES,
    MASK_BYTES,
    MASK_ENDS,
    ROW_CRC,
    Tensors,
    crc32_of,
    map_shard,
)
from smil_ray.data.hdf5.masks import decode_mask
from smil_ray.data.mixed import Segment, back_in_order, joined_labels, shares_of
from smil_ray.errors import DataError

Views = int | Sequence[int]
"""One view of all samples, or one of each."""


class FeatureCache:
    """A complete cache, memory-mapped; pickles without its files and opens them again.

    Args:
        folder: Its folder.
        key: The key that it must have.

    Raises:
        DataError: It is not complete, damaged, or belongs to another key.
    """

    def __init__(self, folder: Path, key: FeatureKey) -> None:
        if not is_complete(folder):
            raise DataError(
                f"feature cache {folder}", expected="a complete cache", found="a part of one"
            )
        check_key(folder, key)
        self.folder = folder
        self.key = key
        self._shards = _open(folder, key)
        self._checked = {
            id(shard): np.zeros((len(shard[FEATURES]), 2), dtype=bool) for shard in self._shards
        }

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "key": self.key}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"], state["key"])

    @property
    def views(self) -> int:
        """Rows of each sample."""
        return self.key.views

    def tokens(self, indices: Sequence[int], view: Views = 0) -> Float[Tensor, "rows width"]:
        """Return the packed features of samples, in the cache's precision.

        Args:
            indices: The samples.
            view: Which view of all of them, or of each.
        """
        found = torch.empty(len(indices), self.key.width, dtype=DTYPES[self.key.precision])
        for at, (index, own) in enumerate(zip(indices, each_view(view, indices), strict=True)):
            shard, row = self._place(index, own)
            found[at] = shard[FEATURES][row]
            self._check(shard, row, 0, shard[FEATURES][row])
        return found

    def labels(self, indices: Sequence[int], view: int = 0) -> Tensors:
        """Return the labels of samples as `core.batch.stack_labels` does."""
        places = [self._place(index, view) for index in indices]
        return {
            name: torch.stack([shard[name][row] for shard, row in places])
            for name in LABEL_COLUMNS
        }

    def masks(self, indices: Sequence[int], view: Views = 0) -> UInt8[Tensor, "rows 1 h w"]:
        """Return the masks of samples, zeros where a sample has none."""
        size = self.key.input_size
        found = np.zeros((len(indices), 1, size, size), dtype=np.uint8)
        for at, (index, own) in enumerate(zip(indices, each_view(view, indices), strict=True)):
            shard, row = self._place(index, own)
            first = int(shard[MASK_ENDS][row - 1]) if row else 0
            data = shard[MASK_BYTES][first : int(shard[MASK_ENDS][row])]
            self._check(shard, row, 1, data)
            if len(data):
                found[at, 0] = decode_mask(data.numpy().tobytes(), size)
        return torch.from_numpy(found)

    def _check(self, shard: Tensors, row: int, kind: int, values: Tensor) -> None:
        """Compare bytes with their checksum when they are read for the first time.

        Raises:
            DataError: They are not what was written.
        """
        checked = self._checked[id(shard)]
        if ROW_CRC not in shard or checked[row, kind]:
            return
        if crc32_of(values) != int(shard[ROW_CRC][row, kind]):
            what = ("features", "mask")[kind]
            raise DataError(
                f"feature cache {self.folder}: the checksum of a sample's {what} differs",
                remedy="remove it: smil-ray cache rm",
            )
        checked[row, kind] = True

    def _place(self, index: int, view: int) -> tuple[Tensors, int]:
        row = (view % self.key.views) * self.key.samples + int(index)
        number, row = divmod(row, self.key.rows_per_shard)
        return self._shards[number], row


class MixedCache:
    """The caches of several sources, seen as one whose samples lie one after the other.

    Args:
        segments: Where the samples of each source lie.
        caches: The caches by source.
    """

    def __init__(self, segments: Sequence[Segment], caches: Mapping[str, FeatureCache]) -> None:
        self._segments = tuple(segments)
        self._caches = dict(caches)

    @property
    def views(self) -> int:
        """Most rows of a sample; sources with fewer repeat theirs."""
        return max(cache.views for cache in self._caches.values())

    def tokens(self, indices: Sequence[int], view: Views = 0) -> Float[Tensor, "rows width"]:
        """Return the packed features of samples."""
        return self._joined("tokens", indices, view)

    def masks(self, indices: Sequence[int], view: Views = 0) -> UInt8[Tensor, "rows 1 h w"]:
        """Return the masks of samples, zeros where a sample has none."""
        return self._joined("masks", indices, view)

    def labels(self, indices: Sequence[int], view: int = 0) -> Tensors:
        """Return the labels of samples as `core.batch.stack_labels` does."""
        shares = shares_of(self._segments, indices)
        found = [self._caches[share.source].labels(share.own, view) for share in shares]
        return joined_labels(found, back_in_order(shares))

    def _joined(self, what: str, indices: Sequence[int], view: Views) -> Tensor:
        shares = shares_of(self._segments, indices)
        views = each_view(view, indices)
        found = [
            getattr(self._caches[share.source], what)(
                share.own, [views[place] for place in share.places]
            )
            for share in shares
        ]
        return torch.cat(found)[torch.tensor(back_in_order(shares))]


def each_view(view: Views, indices: Sequence[int]) -> Sequence[int]:
    """Return the number of the view of each sample."""
    return [view] * len(indices) if isinstance(view, int) else view


class FeatureView(Dataset):
    """Samples of a cache for a DataLoader whose batches are made here: `collate_fn=unchanged`.

    With several views of each picture, epoch e has view e modulo their number; a `Draw` has that
    of its round.

    Args:
        cache: The cache.
        names: Names of all samples of the data set.
        indices: The samples of the view.
        reference_frame: Frame of the labels.
        with_masks: Decode the masks, which only a silhouette loss needs.
    """

    def __init__(
        self,
        cache: FeatureCache | MixedCache,
        names: Sequence[str],
        indices: Sequence[int] | np.ndarray,
        reference_frame: str,
        *,
        with_masks: bool,
    ) -> None:
        self._cache = cache
        self._indices = [int(index) for index in indices]
        self._names = [names[index] for index in self._indices]
        self._frame = reference_frame
        self._with_masks = with_masks
        views = [cache.labels(self._indices, view) for view in range(cache.views)]
        self._labels = {name: torch.stack([each[name] for each in views]) for name in views[0]}
        # In shared memory, so that persistent loader processes see it change.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the view of the next pass."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitems__(self, asked: list[int] | list[Draw]) -> Batch:
        """Return a batch with `tokens` in place of images."""
        positions, numbers = positions_and_views(asked, int(self._epoch))
        views = numbers % self._cache.views
        rows, view_rows = torch.tensor(positions), torch.from_numpy(views)
        indices = [self._indices[position] for position in positions]
        each = views.tolist()
        return batch_of_labels(
            [self._names[position] for position in positions],
            {name: values[view_rows, rows] for name, values in self._labels.items()},
            self._frame,
            mask=self._cache.masks(indices, each) if self._with_masks else None,
            tokens=self._cache.tokens(indices, each),
        )


def unchanged(batch: Any) -> Any:
    """Return a batch that a `FeatureView` made; the `collate_fn` of its loader."""
    return batch


def _open(folder: Path, key: FeatureKey) -> list[Tensors]:
    return [map_shard(shard_path(folder, n), rows, key) for n, rows in enumerate(key.shards)]
