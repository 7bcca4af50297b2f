"""Successive halving without Ray: who rises, with what settings, and what is ranked."""

from pathlib import Path
from typing import Any

import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune._final import final_config
from smil_ray.orchestration.tune.checks import check_sweep
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.search.space import base_config
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.run_dir import RunDir
from tests.orchestration.tune.test_driver import METRIC, make_driver

pytestmark = pytest.mark.usefixtures("quick_folders")

LEVELS = [
    {"data_fraction": 0.25, "input_size": 96, "epochs": 2},
    {"data_fraction": 0.5, "epochs": 3, "input_size": 128},
    {"epochs": 4, "input_size": 160},
]
HALVING = {
    "scheduler": {"type": "halving", "levels": LEVELS, "reduction_factor": 2},
    "trials": 5,
}


def train(driver: SweepDriver, name: str, value: float | None) -> TrialRecord:
    if value is None:
        return driver.end(name, "out of memory")
    epoch = driver.running[name].spec.last_epoch
    RunDir.open(driver.trial_folder(name)).append_metrics(1, {METRIC: value}, epoch=float(epoch))
    driver.result(name, float(epoch), value, "")
    return driver.end(name)


def run_level(driver: SweepDriver, values: dict[int, float | None]) -> list[str]:
    """Run the trials of one level; values by index of the configuration."""
    started = []
    while (spec := driver.next_trial()) is not None:
        driver.start(spec)
        started.append(spec)
    for spec in started:
        train(driver, spec.name, values[spec.index])
    return [spec.name for spec in started]


def test_best_share_rises_from_level_to_level(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **HALVING)
    first = run_level(driver, {0: 5.0, 1: 1.0, 2: 4.0, 3: 2.0, 4: None})
    assert first == [f"trial_{index:03d}_l0" for index in range(5)]
    assert run_level(driver, {1: 3.0, 2: 1.0, 3: 2.0}) == [
        *("trial_001_l1", "trial_002_l1", "trial_003_l1")
    ]
    assert run_level(driver, {2: 9.0, 3: 8.0}) == ["trial_002_l2", "trial_003_l2"]
    assert driver.next_trial() is None
    assert driver.is_finished
    board = driver.leaderboard()
    assert [config.records[0].name for config in board.ranked] == ["trial_003_l2", "trial_002_l2"]
    assert len(board.lower_levels) == 7
    (agreement, second) = board.agreements
    assert (agreement.pairs, agreement.correlation) == (3, pytest.approx(-1.0))
    assert (second.pairs, second.correlation) == (2, None)
    assert [record.name for record in board.failed] == ["trial_004_l0"]


def test_levels_set_data_resolution_and_epochs_and_keep_the_point(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **HALVING)
    for row in ({0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0}, {0: 1.0, 1: 2.0, 2: 3.0}):
        run_level(driver, dict(row))
    run_level(driver, {0: 1.0, 1: 2.0})
    configs = [
        RunDir.open(driver.trial_folder(f"trial_000_l{level}")).load_config() for level in range(3)
    ]
    assert [config.train.epochs for config in configs] == [2, 3, 4]
    assert [config.data.train_fraction for config in configs] == [0.25, 0.5, 1.0]
    assert [config.model.backbone.input_size for config in configs] == [96, 128, 160]
    assert len({config.optim.learning_rate for config in configs}) == 1


def test_repeats_rise_together_by_their_mean(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **{**HALVING, "trials": 2, "repeats": 2})
    names = []
    while (spec := driver.next_trial()) is not None:
        driver.start(spec)
        names.append(spec.name)
    assert names[:2] == ["trial_000_r0_l0", "trial_000_r1_l0"]
    for name, value in zip(names, (1.0, 9.0, 4.0, 4.0), strict=True):
        train(driver, name, value)
    specs = [driver.next_trial(), driver.next_trial()]
    assert [spec and spec.name for spec in specs] == ["trial_001_r0_l1", "trial_001_r1_l1"]


def test_interrupted_levels_go_on(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **HALVING)
    run_level(driver, {0: 5.0, 1: 1.0, 2: 4.0, 3: 2.0, 4: 9.0})
    spec = driver.next_trial()
    assert spec is not None
    driver.start(spec)
    train(driver, spec.name, 3.0)
    # The driver is killed here.
    again = make_driver(tmp_path, **HALVING)
    assert run_level(again, {2: 1.0, 3: 2.0}) == ["trial_002_l1", "trial_003_l1"]
    assert run_level(again, {2: 1.0, 3: 2.0}) == ["trial_002_l2", "trial_003_l2"]
    assert again.next_trial() is None
    assert again.is_finished


def test_level_at_which_all_failed_ends_the_search_and_the_one_below_is_ranked(
    tmp_path: Path,
) -> None:
    driver = make_driver(tmp_path, **HALVING)
    run_level(driver, {0: 5.0, 1: 1.0, 2: 4.0, 3: 2.0, 4: 9.0})
    run_level(driver, {1: None, 2: None, 3: None})
    assert driver.next_trial() is None
    assert driver.is_finished
    best = driver.leaderboard().best
    assert best is not None
    assert best.name == "trial_001_l0"


def test_winner_is_trained_with_what_the_highest_level_has(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **HALVING, final_epochs=30)
    run_level(driver, {0: 5.0, 1: 1.0, 2: 4.0, 3: 2.0, 4: 9.0})
    config = final_config(driver, driver.trial_folder("trial_001_l0"))
    assert config.train.epochs == 30
    assert (config.data.train_fraction, config.model.backbone.input_size) == (1.0, 160)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": "optuna"}, "search random or grid"),
        ({"space": {"train.epochs": {"choice": [2, 3]}}}, "set by scheduler.levels"),
        (
            {"base": {"loss": {"stages": [{"epoch": 3, "weights": {"betas": 0}}]}}},
            "at least 3 epochs",
        ),
        ({"scheduler": {"type": "halving"}}, "levels belong to type halving"),
        ({"scheduler": {"type": "asha", "levels": LEVELS}}, "levels belong to type halving"),
        ({"scheduler": {"type": "halving", "levels": LEVELS[::-1]}}, "must not fall"),
    ],
)
def test_wrong_levels_are_refused(changes: dict[str, Any], message: str) -> None:
    space = {"optim.learning_rate": {"loguniform": [1e-4, 1e-2]}}

    def check() -> None:
        sweep = sweep_from_dict({"space": space, **HALVING, **changes})
        check_sweep(sweep, base_config(sweep))

    with pytest.raises(ConfigError, match=message):
        check()
