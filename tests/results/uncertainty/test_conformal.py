"""Split conformal intervals: the rank, coverage on simulated errors, few labels, files."""

import math
from pathlib import Path

import numpy as np
import pytest

from smil_ray.errors import DataError
from smil_ray.results.uncertainty.conformal import (
    FEWEST,
    INTERVALS_FILE,
    JointErrors,
    JointIntervals,
    conformal_radius,
    spread_of,
)

NAMES = ("b_t", "b_h", "l_1_co_l", "l_1_ti_l", "l_1_pt_l", "an_1_l", "an_2_l", "ma_l")


def errors(rng: np.random.Generator, n: int, *, spread: bool = True) -> JointErrors:
    """Errors whose size differs by joint and by sample, which the network half knows."""
    size = np.exp(rng.normal(-3.0, 0.6, (n, len(NAMES)))) * np.linspace(1, 3, len(NAMES))
    away = np.linalg.norm(rng.normal(size=(2, n, len(NAMES))), axis=0)
    guess = size * np.exp(rng.normal(0.0, 0.2, size.shape))
    return JointErrors(size * away, 100.0 * size * away[::-1], guess if spread else None)


@pytest.mark.parametrize(
    ("n", "rank"), [(9, 9), (10, 10), (18, 18), (19, 18), (99, 90), (100, 91)]
)
def test_radius_is_the_right_one_of_the_sorted_scores(n: int, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1.0))
    assert conformal_radius(scores, 0.9) == rank


def test_too_few_scores_have_no_radius() -> None:
    assert conformal_radius(np.arange(8.0), 0.9) == math.inf
    assert conformal_radius(np.zeros(0), 0.9) == math.inf


@pytest.mark.parametrize("spread", [True, False])
def test_coverage_on_simulated_errors_is_nominal(spread: bool) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(20):
        intervals = JointIntervals.of(errors(rng, 600, spread=spread), NAMES)
        found.append(intervals.coverage(errors(rng, 1000, spread=spread)))
    mean = np.mean([each.overall for each in found], axis=0)
    np.testing.assert_allclose(mean, 0.9, atol=0.008)
    for each in found:
        assert all(0.88 <= value <= 0.92 for value in each.overall)
        assert all(0.84 <= value <= 0.96 for pair in each.groups.values() for value in pair)
    assert set(found[0].groups) == {"legs", "antennae", "mouthparts", "body"}


def test_spread_makes_intervals_narrower_where_the_network_is_sure() -> None:
    rng = np.random.default_rng(2)
    known, others = errors(rng, 500), errors(rng, 500)
    blind = [JointErrors(each.in_2d, each.in_3d, None) for each in (known, others)]
    scaled = JointIntervals.of(known, NAMES).coverage(others).mean_radius
    plain = JointIntervals.of(blind[0], NAMES).coverage(blind[1]).mean_radius
    assert scaled[0] < 0.95 * plain[0]
    radii, _ = JointIntervals.of(known, NAMES).radii(others.spread, 500)
    assert others.spread is not None
    assert radii[:, 2].argmin() == others.spread[:, 2].argmin()


def test_joints_with_few_labels_take_the_radius_of_their_group() -> None:
    given = errors(np.random.default_rng(3), 400, spread=False)
    in_2d = given.in_2d.copy()
    in_2d[FEWEST - 1 :, 3] = np.nan
    in_2d[:, 7] = np.nan
    found = JointIntervals.of(JointErrors(in_2d, given.in_3d, None), NAMES)
    legs = in_2d[:, 2:5]
    assert found.radius_2d[3] == conformal_radius(legs[np.isfinite(legs)], 0.9)
    assert found.radius_2d[7] == conformal_radius(in_2d[np.isfinite(in_2d)], 0.9)
    assert math.isnan(found.radius_3d[0])
    assert np.isfinite(found.radius_3d[1:]).all()


def test_data_without_3d_labels_have_intervals_in_2d_only() -> None:
    given = errors(np.random.default_rng(4), 100)
    nothing = np.full_like(given.in_3d, np.nan)
    found = JointIntervals.of(JointErrors(given.in_2d, nothing, given.spread), NAMES)
    assert np.isnan(found.radius_3d).all()
    coverage = found.coverage(given)
    assert coverage.overall[0] > 0.85
    assert math.isnan(coverage.overall[1])


def test_too_few_samples_are_one_sentence() -> None:
    given = errors(np.random.default_rng(5), 1)
    one = JointErrors(given.in_2d[:, :1], given.in_3d[:, :1], None)
    with pytest.raises(DataError, match=r"at least 9 labelled samples; found 1; hold more"):
        JointIntervals.of(one, NAMES[:1])


def test_intervals_survive_their_file(tmp_path: Path) -> None:
    assert JointIntervals.load(tmp_path) is None
    found = JointIntervals.of(
        errors(np.random.default_rng(6), 90), NAMES, weights="abc", split="val"
    )
    found.save(tmp_path)
    again = JointIntervals.load(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.radius_2d, found.radius_2d)
    np.testing.assert_array_equal(again.radius_3d, found.radius_3d)
    assert (again.weights, again.n_samples, again.is_scaled) == ("abc", 90, True)
    assert again.split == "val"
    (tmp_path / INTERVALS_FILE).write_text("{}")
    with pytest.raises(DataError, match=r"intervals\.json: damaged.*smil-ray calibrate RUN"):
        JointIntervals.load(tmp_path)


def test_spread_is_the_heads_scale_and_how_far_the_body_misses_what_was_seen() -> None:
    scale = np.array([[0.01, 0.02]])
    seen, body = np.zeros((1, 2, 2)), np.array([[[0.03, 0.04], [0.0, 0.0]]])
    np.testing.assert_allclose(spread_of(scale, seen, body), [[0.06, 0.02]])
