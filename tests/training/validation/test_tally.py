"""Sums and counts by figure, joint, group and sample agree with each other."""

import numpy as np
import pytest
import torch

from smil_ray.training.validation.tally import Tally

VALUES = torch.tensor([[1.0, 2.0, 3.0], [4.0, torch.nan, 6.0]])
VALID = torch.tensor([[True, True, False], [True, False, True]])


def filled(*, keeps_samples: bool = True) -> Tally:
    tally = Tally(keeps_samples=keeps_samples)
    for row in range(2):
        tally.add("error", VALUES[row : row + 1], VALID[row : row + 1])
        tally.add("whole", VALUES[row : row + 1, 0], VALID[row : row + 1, 1])
    tally.add("never", torch.ones(1), torch.zeros(1, dtype=torch.bool))
    return tally


def test_means_are_over_what_is_valid() -> None:
    tally = filled()
    assert tally.means() == {"error": 13.0 / 4, "whole": 1.0}
    assert (tally.count("error"), tally.count("absent")) == (4.0, 0.0)
    assert tally.mean("never") is None


def test_joints_and_groups_are_means_over_their_places() -> None:
    tally = filled()
    assert tally.by_joint("error", ["a", "b", "c"]) == {"a": 2.5, "b": 2.0, "c": 6.0}
    groups = {"first": (0, 1), "last": (2,), "none": ()}
    assert tally.by_group("error", groups) == {
        "first": (pytest.approx(7 / 3), 3),
        "last": (6.0, 1),
    }


def test_samples_weighted_by_counts_give_the_figure() -> None:
    tally = filled()
    found = tally.by_sample()["error"]
    np.testing.assert_allclose(found.values, [1.5, 5.0])
    assert np.average(found.values, weights=found.counts) == pytest.approx(tally.mean("error"))
    whole = tally.by_sample()["whole"]
    np.testing.assert_array_equal(whole.values, [1.0, np.nan])
    assert filled(keeps_samples=False).by_sample() == {}


def test_reduce_hands_over_sums_and_counts() -> None:
    tally = filled()
    tally.reduce(lambda tensor: tensor.mul_(2.0))
    assert tally.mean("error") == pytest.approx(13.0 / 4)
    assert tally.count("error") == 8.0
