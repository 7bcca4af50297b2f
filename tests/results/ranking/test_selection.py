"""A metric that orders networks as held-out figures do is found to choose better."""

import pytest

from smil_ray.errors import DataError
from smil_ray.results.ranking.selection import TrialFigures, compare_metrics

SCORE, RA, PA = "val/pose_score", "val/mpjpe_ra_pct_bl", "val/pa_mpjpe_pct_bl"


def trial(config: int, seed: int, ra: float, pa: float, rot: float) -> TrialFigures:
    validation = {SCORE: (ra / 40 + pa / 6) / 2, RA: ra, PA: pa}
    return TrialFigures(config, seed, validation, {"rot_deg_joint": rot, "iou": 1 - rot / 100})


def folded_and_untrained(seed: int) -> list[TrialFigures]:
    """Root-aligned MPJPE prefers a folded animal, PA-MPJPE an untrained network."""
    return [
        trial(0, seed, ra=20.0, pa=30.0, rot=60.0),
        trial(1, seed, ra=60.0, pa=4.9, rot=35.0),
        trial(2, seed, ra=25.0, pa=5.0, rot=20.0),
        trial(3, seed, ra=35.0, pa=5.5, rot=30.0),
    ]


def test_metric_that_is_not_fooled_comes_first() -> None:
    choices = compare_metrics([t for seed in range(3) for t in folded_and_untrained(seed)])
    found = {choice.metric: choice for choice in choices}
    assert choices[0].metric == SCORE
    assert found[SCORE].place == 0.0
    assert found[SCORE].picks == 3
    assert found[RA].places == {"rot_deg_joint": 1.0, "iou": 1.0}
    assert found[PA].places["rot_deg_joint"] == pytest.approx(2 / 3)
    assert found[SCORE].agreement["iou"] == 1.0


def test_choice_of_one_seed_is_judged_by_the_others() -> None:
    lucky = [trial(0, 0, 10.0, 1.0, rot=1.0), trial(0, 1, 50.0, 8.0, rot=50.0)]
    steady = [trial(c, s, 20.0 + c, 4.0, rot=20.0 + c) for c in (1, 2) for s in (0, 1)]
    (first, *_) = compare_metrics([*lucky, *steady], candidates=[SCORE])
    # Seed 0 chooses configuration 0, the worst of seed 1; seed 1 chooses 1, second of seed 0.
    assert first.places["rot_deg_joint"] == pytest.approx((1.0 + 0.5) / 2)


def test_configurations_that_a_seed_lacks_are_left_out() -> None:
    trials = [t for seed in range(2) for t in folded_and_untrained(seed)][:-1]
    found = compare_metrics(trials, candidates=[SCORE])
    assert found[0].place == 0.0
    with pytest.raises(DataError, match="3 configurations"):
        compare_metrics([t for t in trials if t.config < 2])
    with pytest.raises(DataError, match="held-out figures: none"):
        compare_metrics(trials, judges=["pck_auc_bbox"])
