"""The samples of an epoch where several sources are drawn by weight."""

from collections import Counter

import pytest

from smil_ray.errors import ConfigError
from smil_ray.training.batches.order import WeightedOrder, quotas


def order(
    draws: int = 12, seed: int = 1, weights: tuple[float, ...] = (1.0, 2.0)
) -> WeightedOrder:
    return WeightedOrder(["a", "b"], [30, 5], list(weights), draws, seed)


@pytest.mark.parametrize(
    ("weights", "draws", "expected"),
    [
        ([1.0, 1.0], 10, [5, 5]),
        ([1.0, 3.0], 8, [2, 6]),
        ([0.5, 1.0, 1.0], 10, [2, 4, 4]),
        ([1.0, 1.0, 1.0], 10, [4, 3, 3]),
        ([0.1, 0.2], 3, [1, 2]),
    ],
)
def test_quotas_are_in_the_proportion_of_the_weights(
    weights: list[float], draws: int, expected: list[int]
) -> None:
    assert quotas(weights, draws) == expected


def test_epoch_has_its_share_of_each_source() -> None:
    for epoch in range(4):
        found = order()(epoch)
        assert len(found) == 12
        assert sum(draw.position < 30 for draw in found) == 4
        assert all(30 <= d.position < 35 for d in found if d.position >= 30)


def test_source_comes_round_once_before_a_sample_comes_again() -> None:
    draws = [draw for epoch in range(15) for draw in order()(epoch)]
    large = Counter(draw.position for draw in draws if draw.position < 30)
    assert set(large.values()) == {2}  # 15 epochs of 4 are 60 draws of 30 samples.
    for number in range(24):
        small = [d.position for d in draws if d.position >= 30 and d.round == number]
        assert sorted(small) == [30, 31, 32, 33, 34]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    assert order()(7) == order()(7)
    assert order()(7) != order()(8)
    assert order()(7) != order(seed=2)(7)


def test_source_that_would_never_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.sources: a; expected at least one"):
        order(weights=(0.001, 1.0))
