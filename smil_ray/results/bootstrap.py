"""How sure a difference is: bootstrap intervals of means and of paired differences.

The samples of a data set are drawn again with replacement (percentile bootstrap, Efron and
Tibshirani 1993, chapter 13). Paired means that both networks saw the same samples, which removes
the part of the spread that comes from easy and difficult pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DRAWS = 2000
BLOCK = 200
"""Draws that are made at once, which bounds the memory."""


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds between which it lies with `level` confidence.

    Attributes:
        n: Number of samples.
    """

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside, so that a difference is more than chance."""
        return self.low > 0.0 or self.high < 0.0


def bootstrap_mean(
    values: Sequence[float] | Float[np.ndarray, " n"],
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Return the mean of `values` and its interval; None if fewer than two are numbers."""
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if len(array) < 2:
        return None
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            array[
                generator.integers(len(array), size=(min(BLOCK, draws - start), len(array)))
            ].mean(axis=1)
            for start in range(0, draws, BLOCK)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(low), float(high), len(array), level)


def paired_difference(
    ours: Mapping[str, float], theirs: Mapping[str, float], **options: int | float
) -> Interval | None:
    """Return the mean of `ours - theirs` over the samples that both have, and its interval.

    Args:
        ours: Sample name -> error of one network.
        theirs: Sample name -> error of the other one.
        options: `draws`, `level`, `seed` of `bootstrap_mean`.
    """
    names = sorted(set(ours) & set(theirs))
    return bootstrap_mean([ours[name] - theirs[name] for name in names], **options)  # pyright: ignore[reportArgumentType]
