"""The order of trials, and the table that shows it."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from smil_ray.errors import DataError
from smil_ray.results.ranking import (
    Leaderboard,
    TrialRecord,
    duration,
    rank,
    ranking_table,
    short_names,
    show,
)


def record(index: int, metric: float | None, **settings: Any) -> TrialRecord:
    values = {"status": "finished", "labels": {"optim.learning_rate": 1e-3}, **settings}
    return TrialRecord(name=f"trial_{index:03d}", index=index, metric=metric, **values)


def board(*trials: TrialRecord, **settings: Any) -> Leaderboard:
    return Leaderboard("s", "val/pa_mpjpe_pct_bl", "min", trials, **settings)


@pytest.mark.parametrize(("mode", "order"), [("min", [1, 0, 2]), ("max", [2, 0, 1])])
def test_rank_follows_the_mode(mode: Any, order: list[int]) -> None:
    trials = [record(0, 2.0), record(1, 1.0), record(2, 3.0)]
    assert [config.index for config in rank(trials, mode)] == order


@pytest.mark.parametrize(
    "loser",
    [
        record(0, 0.1, status="failed", reason="out of memory"),
        record(0, math.nan),
        record(0, -math.inf),
        record(0, None),
        record(0, 0.1, status="running"),
    ],
)
def test_failed_unfinished_and_non_finite_trials_never_win(loser: TrialRecord) -> None:
    found = board(loser, record(1, 5.0))
    assert found.best is not None
    assert found.best.index == 1
    assert found.failed == [loser]


def test_stopped_trial_is_ranked() -> None:
    found = board(record(0, 4.0, status="stopped"), record(1, 5.0))
    assert [config.index for config in found.ranked] == [0, 1]


def test_leaderboard_comes_back_from_its_file(tmp_path: Path) -> None:
    saved = board(record(0, 2.0), record(1, None, status="failed", reason="why"), final={"a": 1})
    saved.save(tmp_path)
    assert Leaderboard.load(tmp_path) == saved


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"trials": 3}', "no json"])
def test_damaged_leaderboard_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "leaderboard.json").write_text(text)
    with pytest.raises(DataError, match=r"leaderboard\.json"):
        Leaderboard.load(tmp_path)


@pytest.mark.parametrize("width", [80, 200])
def test_table_shows_winner_settings_and_reasons(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    failed = record(1, None, status="failed", reason="CUDA out of memory")
    console.print(ranking_table(board(record(0, 2.5, seconds=61.0), failed), width=width))
    text = console.export_text()
    for part in ("trial_000", "2.5", "0.001", "61 s", "trial_001", "CUDA", "memory"):
        assert part in text


def test_table_of_a_sweep_without_trials_is_empty() -> None:
    assert ranking_table(board()).row_count == 0


def test_short_names_tell_keys_apart() -> None:
    keys = ["model.backbone.name", "model.head.type", "optim.learning_rate", "a.b.x", "a.c.x"]
    assert list(short_names(keys).values()) == [
        *("backbone.name", "head.type", "learning_rate", "b.x", "c.x")
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.2, "3 s"), (99.0, "99 s"), (125.0, "2 min 05 s"), (7500.0, "2 h 05 min")],
)
def test_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.00012345, "0.0001234"), ("a", "a"), (3, "3")]
)
def test_show_writes_values_for_tables(value: Any, text: str) -> None:
    assert show(value) == text
