"""Which samples an epoch has, and in what order: functions of seed and epoch alone."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from smil_ray.data.draws import Draw
from smil_ray.errors import ConfigError


@runtime_checkable
class EpochOrder(Protocol):
    """The samples of each epoch."""

    @property
    def count(self) -> int:
        """Samples of an epoch, the same in all of them."""
        ...

    def __call__(self, epoch: int) -> Sequence[int] | Sequence[Draw]:
        """Return the samples of an epoch, as a data set is asked for them."""
        ...


class ShuffledOrder:
    """Every sample once an epoch.

    Args:
        count: Number of training samples.
        seed: Seed of the order.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self._seed = seed

    def __call__(self, epoch: int) -> list[int]:
        """Return the positions of all samples."""
        return np.random.default_rng([self._seed, epoch]).permutation(self.count).tolist()


class WeightedOrder:
    """So many samples of each source an epoch as its weight says.

    A source's samples all come once before one of them comes again, over the ends of epochs: a
    small source is repeated within an epoch, and a large one takes several to be seen whole.

    Args:
        names: Names of the sources.
        sizes: Training samples of each; those of a source lie behind those of the one before.
        weights: Shares of the draws, up to a common factor.
        draws: Samples of an epoch.
        seed: Seed of the order.

    Raises:
        ConfigError: A source would not be drawn at all.
    """

    def __init__(
        self,
        names: Sequence[str],
        sizes: Sequence[int],
        weights: Sequence[float],
        draws: int,
        seed: int,
    ) -> None:
        self.count = draws
        self._sizes = list(sizes)
        self._seed = seed
        self.quotas = quotas(weights, draws)
        for name, quota, size in zip(names, self.quotas, sizes, strict=True):
            if quota == 0 or size == 0:
                raise ConfigError(
                    f"data.sources: {name}",
                    expected="at least one training sample and one draw an epoch",
                    found=f"{size} samples and {quota} of {draws} draws",
                    remedy="raise its weight or data.samples_per_epoch, or leave the source out",
                )

    def __call__(self, epoch: int) -> list[Draw]:
        """Return the draws of an epoch."""
        firsts = np.cumsum([0, *self._sizes[:-1]]).tolist()
        draws = [
            Draw(first + position, number)
            for source, first in enumerate(firsts)
            for position, number in self._of_source(source, epoch)
        ]
        order = np.random.default_rng([self._seed, epoch]).permutation(self.count)
        return [draws[at] for at in order.tolist()]

    def _of_source(self, source: int, epoch: int) -> list[tuple[int, int]]:
        """Return positions within a source, and how often it was gone through before each."""
        size, quota = self._sizes[source], self.quotas[source]
        first, end = epoch * quota, (epoch + 1) * quota
        found = []
        for number in range(first // size, -(-end // size)):
            rng = np.random.default_rng([self._seed, source, number])
            low, high = max(first - number * size, 0), min(end - number * size, size)
            found += [(place, number) for place in rng.permutation(size)[low:high].tolist()]
        return found


def quotas(weights: Sequence[float], draws: int) -> list[int]:
    """Return whole numbers in the proportion of the weights; what is left goes to the nearest."""
    exact = np.array(weights, dtype=np.float64) * draws / sum(weights)
    whole = np.floor(exact + 1e-9).astype(int)
    nearest = np.argsort(whole - exact, kind="stable")[: draws - int(whole.sum())]
    whole[nearest] += 1
    return whole.tolist()
