"""The driver of a sweep without Ray: journal, ranking, resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from smil_ray.config.reading import read_yaml, sweep_from_dict
from smil_ray.errors import ConfigError
from smil_ray.orchestration.train.build_notes import write_build_note
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.search.space import base_config
from smil_ray.orchestration.tune.search.spec import config_digest
from smil_ray.orchestration.tune.trials.resources import TrialPlan
from smil_ray.tracking.run_dir import RunDir

METRIC = "val/pose_score"
PLAN = TrialPlan("inline", {"CPU": 1.0}, 2, {"use_gpu": "no"}, 1.0)


def make_driver(
    folder: Path, *overrides: str, lines: list[str] | None = None, **settings: Any
) -> SweepDriver:
    values = {
        "space": {"optim.learning_rate": {"loguniform": [1e-4, 1e-2]}},
        "base": {"train": {"epochs": 9}},
        "trials": 3,
    }
    sweep = sweep_from_dict({**values, **settings})
    base = base_config(sweep, overrides)
    is_old = (folder / "run.json").is_file()
    run = RunDir.open(folder) if is_old else RunDir.create_at(folder, base, "sweep")
    said = [] if lines is None else lines
    return SweepDriver(sweep, base, run, PLAN, said.append)


def start_next(driver: SweepDriver) -> str:
    spec = driver.next_trial()
    assert spec is not None
    driver.start(spec)
    return spec.name


def train(driver: SweepDriver, name: str, *values: float) -> bool:
    """Write and report epochs; return whether the trial may go on."""
    run = RunDir.open(driver.trial_folder(name))
    done = int(max((row["epoch"] for row in run.read_metrics()), default=0))
    goes_on = True
    for epoch, value in enumerate(values, start=done + 1):
        run.append_metrics(epoch, {METRIC: value}, epoch=float(epoch))
        goes_on = driver.result(name, float(epoch), value, "")
    return goes_on


def test_best_epoch_counts_and_the_best_trial_wins(tmp_path: Path) -> None:
    said: list[str] = []
    driver = make_driver(tmp_path, lines=said)
    for values in ((5.0, 3.0, 4.0), (9.0, 2.5, 8.0)):
        name = start_next(driver)
        train(driver, name, *values)
        driver.end(name)
    board = driver.leaderboard()
    assert [config.metric for config in board.ranked] == [2.5, 3.0]
    assert board.best is not None
    assert (board.best.name, board.best.epoch, board.best.epochs) == ("trial_001", 2.0, 3.0)
    assert "best so far trial_001 2.5" in said[-1]


def test_features_that_trials_compute_together_are_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    driver = make_driver(tmp_path, lines=said)
    names = [start_next(driver) for _ in range(2)]
    for name in names:
        write_build_note(RunDir(driver.trial_folder(name)), "caching features")
        driver.say_notes()
    assert said == ["caching features"]
    again = make_driver(tmp_path, lines=said)
    start_next(again)
    again.say_notes()
    assert said == ["caching features"]


def test_failed_trial_never_wins_even_with_a_good_metric(tmp_path: Path) -> None:
    driver = make_driver(tmp_path)
    first, second = start_next(driver), start_next(driver)
    train(driver, first, 0.1)
    driver.result(first, 1.0, None, "the loss is not finite")
    assert driver.end(first).reason == "the loss is not finite"
    train(driver, second, 7.0)
    driver.end(second)
    board = driver.leaderboard()
    assert board.best is not None
    assert board.best.name == second
    assert [record.name for record in board.failed] == [first]
    assert RunDir.open(driver.trial_folder(first)).status()["state"] == "failed"


def test_trial_that_never_reported_has_failed(tmp_path: Path) -> None:
    driver = make_driver(tmp_path)
    record = driver.end(start_next(driver))
    assert record.status == "failed"
    assert METRIC in (record.reason or "")


def test_dead_process_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    driver = make_driver(tmp_path)
    name = start_next(driver)
    train(driver, name, 3.0)
    assert driver.end(name, "its process died: killed").reason == "its process died: killed"


def test_search_is_finished_when_all_trials_have_ended(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, trials=1)
    name = start_next(driver)
    assert driver.next_trial() is None
    assert not driver.is_finished
    train(driver, name, 1.0)
    driver.end(name)
    assert driver.is_finished


def test_resume_keeps_ended_trials_and_gives_the_others_again(tmp_path: Path) -> None:
    first = make_driver(tmp_path)
    names = [start_next(first) for _ in range(2)]
    train(first, names[0], 3.0)
    first.end(names[0])
    train(first, names[1], 5.0)
    specs = first.journal.points()
    # The driver is killed here; trial_001 was running.
    again = make_driver(tmp_path)
    given = []
    while (spec := again.next_trial()) is not None:
        given.append(spec)
    assert [spec.name for spec in given] == ["trial_001", "trial_002"]
    assert given[0].point == specs["trial_001"]
    assert RunDir.open(again.trial_folder("trial_001")).read_metrics()


def test_resume_with_optuna_asks_for_the_same_running_trial(tmp_path: Path) -> None:
    first = make_driver(tmp_path, search="optuna")
    names = [start_next(first) for _ in range(2)]
    train(first, names[0], 3.0)
    first.end(names[0])
    again = make_driver(tmp_path, search="optuna")
    spec = again.next_trial()
    assert spec is not None
    assert (spec.name, spec.point) == ("trial_001", first.journal.points()["trial_001"])


def test_resume_with_other_settings_is_refused(tmp_path: Path) -> None:
    start_next(make_driver(tmp_path))
    with pytest.raises(ConfigError, match="trial_000 was run with other settings"):
        make_driver(tmp_path, "optim.weight_decay=0.5").next_trial()


def test_sweep_from_before_a_setting_existed_goes_on(tmp_path: Path) -> None:
    driver = make_driver(tmp_path)
    name = start_next(driver)
    file, journal = driver.trial_folder(name) / "config.yaml", tmp_path / "journal.jsonl"
    values = read_yaml(file)
    was = config_digest(values)
    del values["data"]["feature_views"]
    file.write_text(json.dumps(values))
    journal.write_text(journal.read_text().replace(was, config_digest(values)))
    again = make_driver(tmp_path).next_trial()
    assert again is not None
    assert again.name == name
    with pytest.raises(ConfigError, match="was run with other settings"):
        make_driver(tmp_path, "data.feature_views=3").next_trial()


def test_asha_decides_alike_after_a_restart(tmp_path: Path) -> None:
    asha = {"type": "asha", "grace_epochs": 2, "reduction_factor": 2}
    driver = make_driver(tmp_path, scheduler=asha)
    good, bad = start_next(driver), start_next(driver)
    assert train(driver, good, 5.0, 3.0)
    assert not train(driver, bad, 5.0, 4.0)
    assert driver.end(bad).status == "stopped"
    again = make_driver(tmp_path, scheduler=asha)
    assert again.scheduler is not None
    assert again.scheduler.recorded(2) == {good: 3.0, bad: 4.0}
    assert again.leaderboard().best is not None


def test_repeats_are_ranked_by_their_mean(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, trials=2, repeats=2)
    for value in (1.0, 9.0, 4.0, 4.5):
        name = start_next(driver)
        train(driver, name, value)
        driver.end(name)
    ranked = driver.leaderboard().ranked
    assert [(config.index, config.metric) for config in ranked] == [(1, 4.25), (0, 5.0)]
    assert ranked[0].spread == pytest.approx(0.3536, abs=1e-4)


def test_median_rule_stops_alike_after_a_restart(tmp_path: Path) -> None:
    median = {"type": "median", "grace_epochs": 2, "min_trials": 2}
    driver = make_driver(tmp_path, trials=4, scheduler=median)
    names = [start_next(driver) for _ in range(3)]
    for name, value in zip(names, (2.0, 3.0, 9.0), strict=True):
        assert train(driver, name, 10.0, value) is (value != 9.0)
    record = driver.end(names[2])
    assert (record.status, record.metric) == ("stopped", 9.0)
    assert record.reason == (
        "stopped early after epoch 2: worse than the median of the others up to there"
    )
    again = make_driver(tmp_path, trials=4, scheduler=median)
    assert again.scheduler is not None
    assert again.scheduler.recorded(2) == {names[0]: 2.0, names[1]: 3.0, names[2]: 9.0}
    spec = [again.next_trial() for _ in range(3)][-1]
    assert spec is not None
    again.start(spec)
    assert not train(again, spec.name, 10.0, 4.0)
