"""The winner is held against the other trials and the mean pose, in words with reasons."""

from pathlib import Path

from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.results.ranking.remarks import winner_remarks
from smil_ray.results.ranking.sample_errors import SampleErrors

SCORE, PA, RA = "val/pose_score", "val/pa_mpjpe_pct_bl", "val/mpjpe_ra_pct_bl"
ROT, RATIO = "val/rot_deg_joint", "val/pa_mpjpe_of_mean_pose"


def trial(index: int, score: float, pa: float, ra: float, rot: float) -> TrialRecord:
    metrics = {SCORE: score, PA: pa, RA: ra, ROT: rot, RATIO: pa / 6.0}
    return TrialRecord(
        name=f"trial_{index:03d}",
        index=index,
        status="finished",
        metric=score,
        metrics=metrics,
        folder=f"trials/trial_{index:03d}",
    )


def board(*trials: TrialRecord) -> Leaderboard:
    return Leaderboard("s", SCORE, "min", trials)


def test_winner_that_leads_everywhere_is_said_to() -> None:
    found = winner_remarks(board(trial(0, 0.6, 4.0, 20.0, 30.0), trial(1, 0.8, 5.0, 25.0, 33.0)))
    assert found == [
        "The winner trial_000 is the best of its trials by PA-MPJPE and by joint rotation."
    ]


def test_trial_that_is_better_in_one_figure_is_named_with_the_reason() -> None:
    found = winner_remarks(board(trial(0, 0.6, 4.2, 15.0, 30.0), trial(1, 0.8, 4.0, 35.0, 33.0)))
    assert found[0] == "The winner trial_000 is the best of its trials by joint rotation."
    assert "trial_000 but trial_001 is best: 4.00 against 4.20 % body length" in found[1]
    assert "ahead in MPJPE, root-aligned, 15.0 against 35.0" in found[1]


def test_samples_tell_whether_the_difference_may_be_chance(tmp_path: Path) -> None:
    trials = (trial(0, 0.6, 4.2, 15.0, 30.0), trial(1, 0.8, 4.0, 35.0, 33.0))
    for entry, errors in zip(trials, ([4.0, 4.4] * 20, [4.8, 3.2] * 20), strict=True):
        run = tmp_path / entry.folder
        run.mkdir(parents=True)
        values = {f"s{number}": error for number, error in enumerate(errors)}
        SampleErrors({PA: values}).save(run)
    found = winner_remarks(board(*trials), tmp_path)
    assert "on 40 validation samples, which may be chance" in found[1]


def test_sweep_in_which_nobody_beats_the_mean_pose_says_so() -> None:
    found = winner_remarks(board(trial(0, 0.6, 6.5, 15.0, 30.0), trial(1, 0.8, 6.0, 35.0, 33.0)))
    assert found[0].startswith("No trial beats the mean pose in PA-MPJPE")
    assert "trial_001, is 1.00 times" in found[0]


def test_winner_that_does_not_beat_the_mean_pose_is_told_apart_from_one_that_does() -> None:
    found = winner_remarks(board(trial(0, 0.6, 6.6, 15.0, 30.0), trial(1, 0.8, 5.4, 35.0, 33.0)))
    assert found[0] == (
        "The winner trial_000 does not beat the mean pose in PA-MPJPE (1.10 times its error); "
        "trial_001 does (0.900)."
    )


def test_trials_without_these_figures_and_empty_boards_say_nothing() -> None:
    bare = [TrialRecord(name=f"t{i}", index=i, status="finished", metric=1.0 + i) for i in (0, 1)]
    assert winner_remarks(board(*bare)) == []
    assert winner_remarks(board()) == []
