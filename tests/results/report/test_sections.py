"""Each part of the report of a large search: what it draws, and what it says when it cannot."""

import re
from pathlib import Path
from typing import Any

import pytest

from smil_ray.results.ranking.importance import fewest_configs, importances
from smil_ray.results.ranking.leaderboard import Leaderboard, RankedConfig
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.results.ranking.sample_errors import SampleErrors, mean_of_repeats, mean_per_joint
from smil_ray.results.report._bars import joints_plot, seeds_plot
from smil_ray.results.report._evaluation import winner_figures
from smil_ray.results.report._plots import Curve, cost_plot
from smil_ray.results.report.page import write_report
from tests.results.sweep_folder import METRIC, write_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("sweep"), configs=8)


@pytest.fixture(scope="module")
def page(sweep: Path) -> str:
    return write_report(sweep).read_text()


def section(page: str, heading: str) -> str:
    (found,) = [part for part in page.split("<section>") if f"<h2>{heading}</h2>" in part]
    return found.partition("</section>")[0]


def test_page_of_a_large_search_has_every_part_and_needs_no_network(page: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Leaderboard",
        "Trials without a result",
        "The winner beside baselines",
        "Predictions of the winner",
        "Learning curves",
        "Spread between seeds",
        "Settings and result",
        "Cost against accuracy",
        "Error of every joint",
        "Use it",
    ]
    links = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^"\s>)]+)', page)
    assert all(link.startswith("data:image/") for link in links)
    assert not re.search(r"https?://|//cdn|@import|<script|<link|<iframe", page)


def test_every_ranked_configuration_has_its_interval_but_the_first(page: str) -> None:
    rows = re.findall(r'<tr class="main.*?</tr>', section(page, "Leaderboard"), re.DOTALL)
    assert len(rows) == 8
    shown = r"[+-][\d.]+<br><span class=\"tag\">\[[+-][\d.]+, [+-][\d.]+\]"
    intervals = [re.findall(shown, row) for row in rows]
    assert [len(found) for found in intervals] == [0] + 7 * [1]


def test_front_of_the_objectives_is_starred_and_each_cost_is_drawn(page: str) -> None:
    board = section(page, "Leaderboard")
    assert "* 1" in board
    assert "cost/latency_ms (min)" in board
    costs = section(page, "Cost against accuracy")
    assert costs.count("<svg") == 2
    assert "time of one prediction [ms]" in costs
    assert "seconds per trial" in costs


def test_seeds_have_a_dot_each(page: str) -> None:
    assert section(page, "Spread between seeds").count("<circle") == 8 * 3


def test_joints_of_the_five_best_have_a_dot_each(page: str) -> None:
    drawn = section(page, "Error of every joint")
    assert drawn.count("<circle") == 55 * 5
    assert "b_t" in drawn


def test_failed_trials_come_with_their_reason(page: str) -> None:
    failed = section(page, "Trials without a result")
    assert "CUDA out of &lt;memory&gt;" in failed
    assert "loss is nan" in failed


def test_too_few_trials_for_importance_are_said(page: str) -> None:
    text = " ".join(section(page, "Settings and result").split())
    assert "Too few trials to say: 8 ranked configurations, 20 are needed for 5" in text


def test_one_seed_each_is_said(tmp_path: Path) -> None:
    page = write_report(write_sweep(tmp_path, configs=3, repeats=1)).read_text()
    assert "how far seeds spread is unknown" in section(page, "Spread between seeds")


@pytest.mark.slow
def test_importance_is_in_the_page_where_there_are_enough_trials(tmp_path: Path) -> None:
    page = write_report(write_sweep(tmp_path, configs=24, repeats=1)).read_text()
    drawn = section(page, "Settings and result")
    assert "Too few trials" not in drawn
    assert re.search(r"<title>backbone.name: 9\d % \(\d+ to \d+ %\)", drawn)


def configs(*values: tuple[float, dict[str, Any]]) -> list[RankedConfig]:
    return [
        RankedConfig(
            index,
            metric,
            None,
            (TrialRecord(name=f"t{index}", index=index, labels=dict(labels), metric=metric),),
        )
        for index, (metric, labels) in enumerate(values)
    ]


@pytest.mark.slow
def test_importance_finds_the_setting_that_decides() -> None:
    found = importances(
        configs(
            *(
                (
                    (number % 4) ** 2 + 0.01 * number,
                    {"a": number % 4, "b": "xyz"[number % 3], "c": 7, "d": 1 + number % 5},
                )
                for number in range(24)
            )
        ),
        ["a", "b", "c", "d"],
    )
    assert found[0].key == "a"
    assert found[0].share > 0.9
    assert found[0].low <= found[0].high
    assert {entry.key for entry in found} == {"a", "b", "d"}
    assert all(entry.share < 0.05 for entry in found[1:])


@pytest.mark.slow
def test_importance_takes_settings_that_only_some_trials_have() -> None:
    rows = [
        (float(number % 2), {"head": "decoder", "depth": 1 + number % 3})
        if number % 2
        else (float(number % 2), {"head": "mlp"})
        for number in range(12)
    ]
    assert importances(configs(*rows), ["head", "depth"])[0].key == "head"


def test_importance_of_too_few_or_equal_trials_is_not_said() -> None:
    few = configs(*((float(number), {"a": number}) for number in range(9)))
    assert importances(few, ["a"]) == []
    assert importances(few, ["gone"]) == []
    assert (fewest_configs(1), fewest_configs(6)) == (10, 24)


def test_plots_of_nothing_are_empty() -> None:
    assert joints_plot({}, "error") == ""
    assert seeds_plot(configs((1.0, {}), (2.0, {})), "error") == ""
    assert cost_plot([Curve("a", 0, 1.0, 2.0)], "error", "min", cost="cost/unknown") == ""


def test_cost_plot_shows_bounds_of_error_and_range_of_cost() -> None:
    plain = Curve("a", 0, 5.0, 10.0, costs={"c": (10.0, 10.0, 10.0)})
    sure = Curve("b", 1, 4.0, 20.0, bounds=(3.0, 6.0), costs={"c": (20.0, 18.0, 23.0)})
    bars = [
        cost_plot([curve], "error", "min", cost="c").count('opacity="0.6"')
        for curve in (plain, sure)
    ]
    assert bars == [0, 2]


def test_errors_of_samples_come_back_from_their_file(tmp_path: Path) -> None:
    saved = SampleErrors({METRIC: {"a": 1.0}}, {"a": "g"}, {"mpjpe": {"b_t": 2.0}})
    saved.save(tmp_path)
    assert SampleErrors.load(tmp_path) == saved
    (tmp_path / "sample_errors.json").write_text('{"metric": "m", "errors": {"a": 1.0}}')
    assert SampleErrors.load(tmp_path) == SampleErrors({"m": {"a": 1.0}})
    (tmp_path / "sample_errors.json").write_text("[]")
    assert SampleErrors.load(tmp_path) == SampleErrors()


def test_repeats_are_averaged_sample_by_sample_and_joint_by_joint() -> None:
    runs = [
        SampleErrors({METRIC: {"a": 1.0, "b": 2.0}}, {}, {"mpjpe": {"b_t": 1.0}}),
        SampleErrors({METRIC: {"a": 3.0, "b": 2.0}}, {}, {"mpjpe": {"b_t": 2.0}}),
    ]
    assert mean_of_repeats(runs, METRIC) == {"a": 2.0, "b": 2.0}
    assert mean_of_repeats(runs, "other") == {}
    assert mean_per_joint(runs, "mpjpe") == {"b_t": 1.5}


def test_board_of_the_large_search_is_read_back(sweep: Path) -> None:
    board = Leaderboard.load(sweep)
    assert len(board.ranked) == 8
    assert len(board.failed) == 2


def test_winner_that_is_better_by_chance_alone_is_said_to_be(sweep: Path) -> None:
    board = Leaderboard.load(sweep)
    assert board.final is not None
    board.final["metrics"]["differences"] = {"mean pose": {"pa_mpjpe_pct_bl": [-0.1, -0.4, 0.2]}}
    found = winner_figures(board)
    assert found is not None
    assert "beats the mean pose in PCK@0.10 of the box, but not in all" in found["warning"]
    assert "2.00 against 7.00, which may be chance" in found["warning"]
    assert "cannot be told apart" in found["verdict"]
