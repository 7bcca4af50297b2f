"""Intervals are of the figures themselves, weighted by joints, and pair the same samples."""

import numpy as np
import pytest

from smil_ray.results.evaluation.uncertainty import differences, intervals, with_pose_score
from smil_ray.training.validation.tally import SampleValues

N = 60
GROUPS = [f"g{number // 2}" for number in range(N)]


def samples(seed: int, shift: float = 0.0) -> dict[str, SampleValues]:
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 50, N).astype(float)
    hardness = np.random.default_rng(9).gamma(3.0, 2.0, N)
    return {
        name: SampleValues(hardness + shift + generator.normal(0, 0.1, N), counts)
        for name in ("mpjpe_ra_pct_bl", "pa_mpjpe_pct_bl")
    }


def test_mean_of_an_interval_is_the_figure_over_all_joints() -> None:
    given = samples(0)["pa_mpjpe_pct_bl"]
    found = intervals({"pa_mpjpe_pct_bl": given}, GROUPS)["pa_mpjpe_pct_bl"]
    assert found.mean == pytest.approx(np.average(given.values, weights=given.counts))
    assert found.low < found.mean < found.high
    assert found.groups == N // 2


def test_samples_without_a_value_are_left_out_and_too_few_give_none() -> None:
    values, counts = np.full(N, np.nan), np.zeros(N)
    values[:2], counts[:2] = 1.0, 3.0
    assert intervals({"iou": SampleValues(values, counts)}, GROUPS) == {}
    values[2:4], counts[2:4] = 3.0, 3.0
    assert intervals({"iou": SampleValues(values, counts)}, GROUPS)["iou"].mean == 2.0


def test_difference_on_the_same_samples_is_surer_than_the_figures() -> None:
    ours, theirs = samples(1, shift=-0.3), samples(1)
    ours = {k: SampleValues(v.values, theirs[k].counts) for k, v in ours.items()}
    found = differences(ours, theirs, GROUPS)["pa_mpjpe_pct_bl"]
    assert found.mean == pytest.approx(-0.3, abs=0.1)
    assert found.excludes_zero
    own = intervals(ours, GROUPS)["pa_mpjpe_pct_bl"]
    assert found.high - found.low < 0.1 * (own.high - own.low)


def test_pose_score_of_samples_averages_to_the_score() -> None:
    given = samples(2)
    even = {name: SampleValues(found.values, np.ones(N)) for name, found in given.items()}
    mean_pose = {"mpjpe_ra_pct_bl": 12.0, "pa_mpjpe_pct_bl": 4.0}
    score = with_pose_score(even, mean_pose)["pose_score"]
    expected = np.mean([even[name].values.mean() / mean for name, mean in mean_pose.items()])
    assert np.average(score.values, weights=score.counts) == pytest.approx(expected)
    assert "pose_score" not in with_pose_score(even, {})
