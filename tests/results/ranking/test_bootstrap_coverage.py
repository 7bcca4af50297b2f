"""Intervals of paired differences against known truths: 95 % of them hold it, as they say.

Pairs of networks are simulated on samples of common difficulty, with differences of known mean
from distributions that errors of networks have: skewed, with heavy tails, with a few outliers, in
groups of near-duplicates.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from smil_ray.results.ranking.bootstrap import paired_difference

pytestmark = pytest.mark.slow
TRUTH = 0.4
SIZES = ((30, 1000), (100, 400))
Draw = Callable[[np.random.Generator, int], np.ndarray]


def skewed(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.lognormal(0.0, 1.0, count) - math.exp(0.5)


def ratio_of_errors(generator: np.random.Generator, count: int) -> np.ndarray:
    """One network fails badly on some samples, the other one on others, not as often."""
    ours = generator.gamma(0.8, 2.0, count)
    return ours - generator.gamma(2.0, 0.8, count)


def outliers(generator: np.random.Generator, count: int) -> np.ndarray:
    wild = generator.random(count) < 0.1
    return np.where(wild, generator.normal(0.0, 5.0, count), generator.normal(0.0, 1.0, count))


DIFFERENCES: dict[str, Draw] = {
    "normal": lambda generator, count: generator.normal(0.0, 1.0, count),
    "exponential": lambda generator, count: generator.exponential(1.0, count) - 1.0,
    "skewed": skewed,
    "heavy tails": lambda generator, count: generator.standard_t(3, count),
    "outliers": outliers,
    "two gammas": ratio_of_errors,
}


def coverage(
    draw: Draw, count: int, repeats: int, groups: Callable[[int], str] | None = None
) -> float:
    """Return how often the interval of the difference holds the truth."""
    hits = 0
    for repeat in range(repeats):
        generator = np.random.default_rng([count, repeat])
        difficulty = generator.lognormal(1.0, 1.0, count)
        difference = TRUTH + draw(generator, count)
        names = [f"s{number}" for number in range(count)]
        found = paired_difference(
            dict(zip(names, (difficulty + difference).tolist(), strict=True)),
            dict(zip(names, difficulty.tolist(), strict=True)),
            groups=groups and {name: groups(int(name[1:])) for name in names},
            draws=400,
        )
        assert found is not None
        hits += found.low <= TRUTH <= found.high
    return hits / repeats


@pytest.mark.parametrize(
    ("name", "count", "repeats"),
    [
        *((name, count, repeats) for name in DIFFERENCES for count, repeats in SIZES),
        *((name, 500, 200) for name in ("normal", "skewed")),
    ],
)
def test_interval_of_a_difference_holds_the_truth(name: str, count: int, repeats: int) -> None:
    assert 0.90 <= coverage(DIFFERENCES[name], count, repeats) <= 0.98


def in_groups(size: int) -> Draw:
    """Return differences that near-duplicates share for the most part; groups are unequal."""

    def draw(generator: np.random.Generator, count: int) -> np.ndarray:
        shared = generator.gamma(1.0, 1.0, count) - 1.0
        member = np.array([group_number(number, size) for number in range(count)])
        return shared[member] + generator.normal(0.0, 0.3, count)

    return draw


def group_number(number: int, size: int) -> int:
    """Every other group has a single sample, the others `size` of them."""
    pair, place = divmod(number, size + 1)
    return 2 * pair + (place > 0)


@pytest.mark.parametrize(("count", "size", "repeats"), [(75, 4, 600)])
def test_groups_are_drawn_together(count: int, size: int, repeats: int) -> None:
    draw = in_groups(size)
    together = coverage(draw, count, repeats, lambda number: f"g{group_number(number, size)}")
    assert 0.90 <= together <= 0.98
    # Near-duplicates that count as samples of their own pretend to know more.
    assert coverage(draw, count, repeats) < 0.85


def test_percentiles_of_the_means_alone_would_be_too_narrow() -> None:
    hits = 0
    for repeat in range(1000):
        generator = np.random.default_rng([30, repeat])
        values = skewed(generator, 30)
        means = values[generator.integers(30, size=(400, 30))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        hits += low <= 0.0 <= high
    assert hits / 1000 < 0.89
