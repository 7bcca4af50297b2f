"""Runs of any kind beside each other, by any validation metric."""

import json
from pathlib import Path
from typing import Any

import pytest

from smil_ray.config.reading import config_from_dict, merge
from smil_ray.errors import ConfigError
from smil_ray.results.ranking.comparison import (
    ComparedRun,
    board_of,
    by_metric,
    find_metric,
    mode_of,
)
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.cost import write_cost
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import MetricRow

PA, PCK = "val/pa_mpjpe_pct_bl", "val/pck@0.10_bbox"


def add_run(
    folder: Path, name: str, *epochs: tuple[float, float], facts: Any = None, **sections: Any
) -> Path:
    """Write a run with a PA-MPJPE and a PCK for each epoch."""
    base = {"data": {"path": "/gone.h5"}, "train": {"select_metric": PA}}
    config = config_from_dict(merge(base, sections))
    known = {"data_hash": "d" * 64, "git_commit": "c" * 40, **(facts or {})}
    run = RunDir.create_at(folder / name, config, "train", facts=known)
    for epoch, (pa, pck) in enumerate(epochs, start=1):
        run.append_metrics(
            10 * epoch, {PA: pa, PCK: pck, "val/loss/betas": 0.1}, epoch=float(epoch)
        )
    run.write_json("splits.json", {"val": ["a", "b"]})
    run.set_status("finished")
    return run.path


def compared(*folders: Path) -> list[ComparedRun]:
    return [ComparedRun(folder.name, folder, "finished") for folder in folders]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two trials; by PA-MPJPE the first is better, by PCK at the kept epoch the second."""
    add_run(tmp_path / "trials", "trial_000", (5.0, 0.3), (4.0, 0.4), (6.0, 0.9))
    add_run(tmp_path / "trials", "trial_001", (9.0, 0.2), (8.0, 0.5), (8.5, 0.1))
    trials = tuple(
        TrialRecord(
            name=name, index=number, status="finished", metric=metric, folder=f"trials/{name}"
        )
        for number, (name, metric) in enumerate((("trial_000", 4.0), ("trial_001", 8.0)))
    )
    final = {"folder": "final", "trial": "trial_000", "metric": 3.0, "metrics": {}}
    Leaderboard("s", PA, "min", trials, final).save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["pck@0.10_bbox", PCK, "val/pck_at_0.10_bbox"])
def test_sweep_by_another_metric_takes_it_at_the_epoch_that_was_kept(
    sweep: Path, name: str
) -> None:
    board = by_metric(Leaderboard.load(sweep), sweep, name)
    assert (board.metric, board.mode) == (PCK, "max")
    # Not 0.9, which trial_000 had at an epoch that nobody kept.
    assert [(config.index, config.metric) for config in board.ranked] == [(1, 0.5), (0, 0.4)]
    assert board.final == {
        "folder": "trials/trial_001",
        "trial": "trial_001",
        "metric": 0.5,
        "metrics": {},
    }


def test_sweep_by_its_own_metric_is_as_it_was(sweep: Path) -> None:
    board = Leaderboard.load(sweep)
    assert by_metric(board, sweep, "pa_mpjpe_pct_bl") == board


def test_trial_without_the_metric_is_not_ranked_and_says_so(sweep: Path) -> None:
    path = sweep / "trials" / "trial_001" / "metrics.jsonl"
    path.write_text(path.read_text().replace("pck@0.10_bbox", "other"))
    board = by_metric(Leaderboard.load(sweep), sweep, PCK)
    assert [config.index for config in board.ranked] == [0]
    assert [record.reason for record in board.failed] == [f"it never reported {PCK}"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("val/loss/betas", "does not depend on loss weights"),
        ("pck@0.1_bbox", "the nearest is val/pck@0.10_bbox"),
    ],
)
def test_loss_and_unknown_metric_are_refused(sweep: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        by_metric(Leaderboard.load(sweep), sweep, name)


def test_metric_of_runs_that_never_validated_is_refused() -> None:
    with pytest.raises(ConfigError, match="validated once"):
        find_metric(PA, [MetricRow(1, 0.1, 0.0, {"train/loss/total": 1.0})])


@pytest.mark.parametrize(("name", "mode"), [(PA, "min"), (PCK, "max"), ("auc", "max")])
def test_mode_follows_the_metric(name: str, mode: str) -> None:
    assert mode_of(name) == mode


def test_runs_that_differ_in_the_seed_alone_are_repeats(tmp_path: Path) -> None:
    runs = compared(
        add_run(tmp_path, "a", (5.0, 0.1), train={"seed": 1}),
        add_run(tmp_path, "b", (7.0, 0.1), train={"seed": 2}),
        add_run(tmp_path, "c", (5.5, 0.1), optim={"learning_rate": 1e-4}),
    )
    write_cost(RunDir.open(runs[2].folder), 12.0, 0.5)
    board = board_of("some", runs)
    assert [config.metric for config in board.ranked] == [5.5, 6.0]
    assert [len(config.records) for config in board.ranked] == [1, 2]
    assert board.ranked[0].labels == {"optim.learning_rate": 1e-4}
    assert (board.ranked[0].seconds, board.ranked[0].device_hours) == (12.0, 0.5)
    assert board.final is not None
    assert board.final["folder"] == str(tmp_path / "c")
    assert board.notes == ()


def test_other_data_split_or_code_is_warned_of(tmp_path: Path) -> None:
    first = add_run(tmp_path, "a", (5.0, 0.1))
    other = add_run(tmp_path, "b", (6.0, 0.1), facts={"data_hash": "e" * 64})
    board = board_of("some", compared(first, other))
    assert any("different data sets" in note for note in board.notes)
    assert board.ranked[0].labels == {"data": "dddddddd"}
    split = add_run(tmp_path, "c", (6.0, 0.1), facts={"git_commit": "f" * 40})
    (split / "splits.json").write_text(json.dumps({"val": ["a", "c"]}))
    notes = " ".join(board_of("some", compared(first, split)).notes)
    assert "validated on different samples" in notes
    assert "different versions of the code" in notes


def test_runs_selected_by_different_metrics_need_a_metric(tmp_path: Path) -> None:
    one = add_run(tmp_path, "a", (5.0, 0.4), (6.0, 0.9))
    other = add_run(
        tmp_path,
        "b",
        (5.0, 0.4),
        (6.0, 0.9),
        train={"select_metric": PCK, "select_mode": "max"},
    )
    with pytest.raises(ConfigError, match="--metric"):
        board_of("some", compared(one, other))
    board = board_of("some", compared(one, other), PCK)
    assert [record.metric for record in board.trials] == [0.4, 0.9]
    assert any("by different metrics" in note for note in board.notes)


def test_failed_and_running_runs_are_listed_and_never_win(tmp_path: Path) -> None:
    runs = [
        ComparedRun("a", add_run(tmp_path, "a", (9.0, 0.1)), "finished"),
        ComparedRun("b", add_run(tmp_path, "b", (1.0, 0.1)), "failed", "out of memory"),
        ComparedRun("c", add_run(tmp_path, "c", (1.0, 0.1)), "running"),
    ]
    board = board_of("some", runs)
    assert board.best is not None
    assert board.best.name == "a"
    assert [record.reason for record in board.failed] == ["out of memory", None]


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(ConfigError, match="no run to compare"):
        board_of("some", [])
