"""Bootstrap confidence intervals of means and of paired differences.

Groups of near-duplicates (cameras of one frame, several animals in one picture) are drawn again
with replacement, each sample its own group where nothing is said. The interval is the studentised
one, "bootstrap-t" (Efron and Tibshirani 1993, chapter 12; Hall 1992): each drawn mean is measured
in its own standard error. Percentiles of the drawn means alone are too narrow for few or skewed
samples; `tests/results/test_bootstrap_coverage.py` holds both against known truths.

Paired means that both networks saw the same samples, which removes the part of the spread that
comes from easy and difficult pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import stats

DRAWS = 2000
BLOCK = 200
"""Draws that are made at once, which bounds the memory."""
FEWEST_GROUPS = 10
"""With fewer groups Student's t takes the bootstrap's place: draws repeat each other too often."""


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds between which it lies with `level` confidence.

    Attributes:
        n: Number of samples.
        groups: Number of groups that they are of.
    """

    mean: float
    low: float
    high: float
    n: int
    level: float = 0.95
    groups: int = 0

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside, so that a difference is more than chance."""
        return self.low > 0.0 or self.high < 0.0


def bootstrap_mean(
    values: Sequence[float] | Float[np.ndarray, " n"],
    *,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | Float[np.ndarray, " n"] | None = None,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Return the mean of `values` and its interval; None if fewer than two groups have a number.

    Args:
        values: One number a sample; what is not finite is left out.
        groups: The group of each sample; None makes each its own.
        weights: How much each sample counts, such as its number of joints; None: all alike.
        draws: How often the groups are drawn.
        level: Confidence.
        seed: Of the draws.
    """
    array = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(array)
    names = np.arange(len(array)) if groups is None else np.asarray(groups)
    weight = np.ones(len(array)) if weights is None else np.asarray(weights, dtype=np.float64)
    finite &= weight > 0
    array, names, weight = array[finite], names[finite], weight[finite]
    _, member = np.unique(names, return_inverse=True)
    sums = np.bincount(member, weights=array * weight)
    counts = np.bincount(member, weights=weight)
    if len(sums) < 2:
        return None
    mean, error = _mean_and_error(np.ones((1, len(sums))), sums, counts)
    low, high = _quantiles(sums, counts, draws=draws, level=level, seed=seed)
    # A draw that is too low by t errors tells that the truth may lie that far above.
    return Interval(
        float(mean[0]),
        float(mean[0] - high * error[0]),
        float(mean[0] - low * error[0]),
        len(array),
        level,
        len(sums),
    )


def paired_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    groups: Mapping[str, str] | None = None,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Interval | None:
    """Return the mean of `ours - theirs` over the samples that both have, and its interval.

    Args:
        ours: Sample name -> error of one network.
        theirs: Sample name -> error of the other one.
        groups: Sample name -> group; a sample that is not in it is its own.
        draws: How often the groups are drawn.
        level: Confidence.
    """
    names = sorted(set(ours) & set(theirs))
    return bootstrap_mean(
        [ours[name] - theirs[name] for name in names],
        groups=[(groups or {}).get(name, name) for name in names],
        draws=draws,
        level=level,
    )


def _quantiles(
    sums: Float[np.ndarray, " g"],
    counts: Float[np.ndarray, " g"],
    *,
    draws: int,
    level: float,
    seed: int,
) -> tuple[float, float]:
    """Return the quantiles of (drawn mean - mean) / error of the drawn mean."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    size = len(sums)
    if size < FEWEST_GROUPS:
        low, high = stats.t.ppf(tails, size - 1)
        return float(low), float(high)
    mean = sums.sum() / counts.sum()
    found = []
    for times in _drawn(size, draws, seed):
        drawn, error = _mean_and_error(times.astype(np.float64), sums, counts)
        # Draws of equal values only have no error of their own.
        usable = error > 1e-12 * max(abs(mean), 1e-300)
        found.append((drawn[usable] - mean) / error[usable])
    ratios = np.concatenate(found)
    if not len(ratios):
        return 0.0, 0.0
    low, high = np.quantile(ratios, tails)
    return float(low), float(high)


@lru_cache(maxsize=2)
def _drawn(size: int, draws: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return how often each group is drawn, in blocks; the figures of one table share them."""
    generator = np.random.default_rng(seed)
    shares = np.full(size, 1 / size)
    return tuple(
        generator.multinomial(size, shares, min(BLOCK, draws - start)).astype(np.uint16)
        for start in range(0, draws, BLOCK)
    )


def _mean_and_error(
    times: Float[np.ndarray, "draws g"],
    sums: Float[np.ndarray, " g"],
    counts: Float[np.ndarray, " g"],
) -> tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]:
    """Return mean over samples and its standard error, each group counted `times` often.

    The error is that of a ratio of sums over groups (Cochran 1977, section 6.3).
    """
    size = times.shape[1]
    total = times @ counts
    mean = times @ sums / total
    squares = (
        times @ sums**2 - 2 * mean * (times @ (sums * counts)) + mean**2 * (times @ counts**2)
    )
    error = np.sqrt(np.clip(squares, 0.0, None) * size / (size - 1)) / total
    return mean, error
