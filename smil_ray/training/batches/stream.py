"""Batches of both splits by epoch and number, for one run or for many that share them."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

from smil_ray.config import Config
from smil_ray.core.batch import Batch
from smil_ray.training.batches.loaders import train_loader, val_loader
from smil_ray.training.batches.packed_batch import to_device
from smil_ray.training.parts import Parts
from smil_ray.training.world import World

SPLITS = ("0_train", "1_val")


class BatchRequest(NamedTuple):
    """The batch that a run needs to go on. Requests compare in the order in which a run has them.

    Attributes:
        epoch: Finished epochs.
        split: `0_train` or `1_val`: training comes first.
        number: Number of the batch within the epoch's pass over the split.
    """

    epoch: int
    split: Literal["0_train", "1_val"]
    number: int


class BatchReply(NamedTuple):
    """A batch, and how many seconds its run spent waiting for it."""

    batch: Batch
    waited: float


class BatchCounts(NamedTuple):
    """Batches of a whole epoch and of a pass over the validation split, in this process."""

    train: int
    val: int


class BatchStream:
    """Reads batches in the order in which they are asked for, one ahead of the run in a thread.

    They are on the run's device, or on their way there.

    Args:
        parts: The data and its splits.
        config: Of these the settings of data, seed and reference frame count.
        world: The processes of the run and this one's device.
    """

    def __init__(self, parts: Parts, config: Config, world: World) -> None:
        self._train, self._sampler = train_loader(parts, config, world)
        self._val = val_loader(parts, config, world)
        self._device = world.device
        self._open: dict[str, Iterator[Batch]] = {}
        self._ahead: dict[str, tuple[BatchRequest, Future[Batch | None]]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="batches")

    @property
    def counts(self) -> BatchCounts:
        """How many batches there are."""
        return BatchCounts(len(self._sampler), len(self._val))

    def take(self, request: BatchRequest) -> BatchReply:
        """Return a batch; the next one of a pass comes from where the reader stands.

        Raises:
            RuntimeError: A pass has no such batch.
            DataError: A sample cannot be read.
        """
        began = time.perf_counter()
        expected, coming = self._ahead.get(request.split, (None, None))
        if coming is None or expected != request:
            if coming is not None:
                coming.exception()  # Nobody requests it any more; but two must not read at once.
            self._start(request)
            coming = self._read(request.split)
        batch = coming.result()
        if batch is None:
            raise RuntimeError(f"the data loader ended before {request}")
        self._ahead.pop(request.split, None)
        following = request._replace(number=request.number + 1)
        if following.number < self.counts[SPLITS.index(request.split)]:
            self._ahead[request.split] = (following, self._read(request.split))
        return BatchReply(batch, time.perf_counter() - began)

    def _read(self, split: str) -> "Future[Batch | None]":
        return self._reader.submit(self._next, self._open[split])

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        batch = next(batches, None)
        return None if batch is None else to_device(batch, self._device)

    def _start(self, request: BatchRequest) -> None:
        if request.split == "0_train":
            self._sampler.set_position(request.epoch, request.number)
            self._open[request.split] = iter(self._train)
            return
        self._open[request.split] = iter(self._val)
        for _ in range(request.number):
            next(self._open[request.split], None)
