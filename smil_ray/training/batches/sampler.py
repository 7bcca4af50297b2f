"""Batches of the samples of an epoch, from any of them on; and the seed of each step."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from smil_ray.errors import ConfigError
from smil_ray.training.batches.order import EpochOrder


class EpochBatches(Sampler[list[Any]]):
    """Batches of positions or draws for one process, resumable at any batch.

    The order is the same whatever the number of loader processes; with several training
    processes, batch k of all of them together is batch k of one process with the whole batch.
    The remainder that does not fill a batch is left out; it is another one in every epoch.

    Args:
        order: The samples of each epoch.
        batch_size: Samples per batch and process.
        rank: Number of this process.
        world_size: Number of processes.
        follow: Called with each new epoch, e.g. to choose an epoch's random changes of images.

    Raises:
        ConfigError: There are fewer samples than processes.
    """

    def __init__(
        self,
        order: EpochOrder,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        follow: Callable[[int], None] | None = None,
    ) -> None:
        count = order.count
        if count < world_size:
            raise ConfigError(
                "Training split",
                expected=f"at least one sample for each of {world_size} workers",
                found=f"{count} samples",
                remedy="use more data or fewer workers (run.num_workers)",
            )
        self._count = count
        self._order = order
        self._rank = rank
        self._world_size = world_size
        self._follow = follow
        self.batch_size = min(batch_size, count // world_size)
        self._epoch = 0
        self._start = 0

    def set_position(self, epoch: int, start: int = 0) -> None:
        """Let the next iteration give the batches of `epoch` from batch `start` on."""
        self._epoch, self._start = epoch, start
        if self._follow is not None:
            self._follow(epoch)

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch."""
        return self._count // (self.batch_size * self._world_size)

    def __iter__(self) -> Iterator[list[Any]]:
        order = self._order(self._epoch)
        whole = self.batch_size * self._world_size
        for number in range(self._start, len(self)):
            first = number * whole + self._rank * self.batch_size
            yield list(order[first : first + self.batch_size])


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of the random generators for one optimiser step of one process.

    Deriving it from the step makes dropout the same after a resume without saving any
    generator's state, in every process.
    """
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
