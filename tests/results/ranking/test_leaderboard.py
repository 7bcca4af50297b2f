"""The order of trials, and the table that shows it."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from smil_ray.errors import DataError
from smil_ray.results.ranking.leaderboard import (
    Leaderboard,
    format_duration,
    format_value,
    rank,
    short_names,
)
from smil_ray.results.ranking.pareto import Objective
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.results.ranking.table import ranking_table


def record(index: int, metric: float | None, **settings: Any) -> TrialRecord:
    values = {
        "name": f"trial_{index:03d}",
        "status": "finished",
        "labels": {"optim.learning_rate": 1e-3},
        **settings,
    }
    return TrialRecord(index=index, metric=metric, **values)


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
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.00012345, "0.0001234"), ("a", "a"), (3, "3")]
)
def test_show_writes_values_for_tables(value: Any, text: str) -> None:
    assert format_value(value) == text


def test_only_the_highest_level_is_ranked_and_the_lower_ones_follow(tmp_path: Path) -> None:
    trials = [record(index, float(index), name=f"low_{index}") for index in range(3)]
    high = [record(2, 9.0, level=1, name="high_2"), record(1, 8.0, level=1, name="high_1")]
    found = board(*trials, *high)
    assert [config.records[0].name for config in found.ranked] == ["high_1", "high_2"]
    assert found.best is not None
    assert found.best.name == "high_1"
    assert [config.records[0].name for config in found.lower_levels] == ["low_0", "low_1", "low_2"]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(ranking_table(found, width=200))
    text = console.export_text()
    assert text.index("high_2") < text.index("low_0")
    assert "Rank correlation of levels 0 and 1 (2 in both): too few to say." in text
    found.save(tmp_path)
    stored = json.loads((tmp_path / "leaderboard.json").read_text())
    assert stored["levels"] == [{"level": 0, "pairs": 2, "correlation": None}]
    assert Leaderboard.load(tmp_path) == found


def test_table_names_the_trial_that_another_one_went_on_from() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    child = record(1, 2.0, generation=1, parent="trial_000")
    failed = record(2, None, status="failed", parent="trial_000", name="late")
    console.print(ranking_table(board(record(0, 3.0), child, failed), width=200))
    names = [line.split("│")[2].strip() for line in console.export_text().splitlines()[4:9]]
    assert names == ["trial_001", "from trial_000", "trial_000", "late", "from trial_000"]


def test_table_marks_the_pareto_front_and_shows_every_objective(tmp_path: Path) -> None:
    goals = (Objective("val/pa_mpjpe_pct_bl"), Objective("cost/parameters"))
    trials = [
        record(index, error, metrics={goals[0].metric: error}, costs={goals[1].metric: size})
        for index, (error, size) in enumerate([(1.0, 5000.0), (2.0, 7000.0), (3.0, 1000.0)])
    ]
    found = board(*trials, objectives=goals, notes=("The budget is spent.",))
    assert [entry.name for entry in found.front] == ["trial_000", "trial_002"]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(ranking_table(found, width=200))
    lines = console.export_text().splitlines()
    marked = {
        name: "*" in line
        for line in lines
        for name in ("_000", "_001", "_002")
        if name in line and "│" in line
    }
    assert marked == {"_000": True, "_001": False, "_002": True}
    assert any("7000" in line for line in lines)
    assert any("The budget is spent." in line for line in lines)
    assert any("trial_000 is the best of its trials by PA-MPJPE." in line for line in lines)
    found.save(tmp_path)
    assert Leaderboard.load(tmp_path) == found
    stored = json.loads((tmp_path / "leaderboard.json").read_text())
    assert stored["pareto_front"] == ["trial_000", "trial_002"]
