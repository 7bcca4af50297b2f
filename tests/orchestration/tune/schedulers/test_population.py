"""Population-based training without Ray: who goes on from whom, with what, and after a restart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import ParameterSpace
from smil_ray.errors import CheckpointError, ConfigError
from smil_ray.orchestration.tune.checks import check_sweep
from smil_ray.orchestration.tune.driver import SweepDriver
from smil_ray.orchestration.tune.schedulers.population import perturbed
from smil_ray.orchestration.tune.search.space import base_config
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.run_dir import RunDir
from tests.orchestration.tune.test_driver import METRIC, make_driver
from tests.orchestration.tune.toy_checkpoints import load_toy, save_toy

pytestmark = pytest.mark.usefixtures("quick_folders")

PBT = {
    "search": "pbt",
    "trials": 4,
    "pbt": {"interval_epochs": 2},
    "base": {"train": {"epochs": 5}},
    "space": {
        "optim.learning_rate": {"loguniform": [1e-4, 1e-2]},
        "optim.clip_norm": {"choice": [0.5, 1.0, 2.0, 4.0]},
    },
}


def train(driver: SweepDriver, name: str, value: float | None) -> TrialRecord:
    """Train a member to the end of its generation; None fails it."""
    folder = driver.trial_folder(name)
    run = RunDir.open(folder)
    spec = driver.running[name].spec
    epoch, weight = load_toy(folder)
    while value is not None and epoch < spec.last_epoch:
        epoch, weight = epoch + 1, weight + 1.0 + spec.index / 1000
        run.append_metrics(epoch, {METRIC: value}, epoch=float(epoch))
        driver.result(name, float(epoch), value, "")
    if value is not None:
        save_toy(folder, epoch, weight, value)
    return driver.end(name, None if value is not None else "out of memory")


def generation(driver: SweepDriver) -> list[str]:
    """Start every trial of a generation; the queue then waits."""
    names = []
    while (spec := driver.next_trial()) is not None:
        driver.start(spec)
        names.append(spec.name)
    return names


def run_generation(driver: SweepDriver, *values: float | None) -> list[TrialRecord]:
    names = generation(driver)
    return [train(driver, name, value) for name, value in zip(names, values, strict=True)]


def starts(folder: Path) -> dict[str, dict[str, Any]]:
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return {event["trial"]: event for event in events if event["event"] == "start"}


def test_worst_member_goes_on_from_the_best_one_with_changed_settings(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **PBT)
    run_generation(driver, 3.0, 1.0, 9.0, 4.0)
    second = generation(driver)
    assert second == [f"trial_{member:03d}_g01" for member in range(4)]
    events = starts(tmp_path)
    parents = [events[name]["parent"] for name in second]
    assert parents == ["trial_000_g00", "trial_001_g00", "trial_001_g00", "trial_003_g00"]
    old, new = events["trial_001_g00"]["point"], events["trial_002_g01"]["point"]
    ratio = new["optim.learning_rate"] / old["optim.learning_rate"]
    assert ratio == pytest.approx(0.8) or ratio == pytest.approx(1.25)
    for member in (0, 1, 3):
        first = events[f"trial_{member:03d}_g00"]["point"]
        assert events[f"trial_{member:03d}_g01"]["point"] == first
    # The checkpoint is the parent's: two epochs of member 1.
    assert load_toy(driver.trial_folder("trial_002_g01")) == (2, pytest.approx(2.002))
    assert load_toy(driver.trial_folder("trial_000_g01")) == (2, pytest.approx(2.0))


def test_generations_follow_each_other_to_the_last_epoch(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **PBT)
    for number, last in enumerate((2, 4, 5)):
        assert not driver.is_finished
        records = run_generation(driver, 4.0 - number, 5.0, 6.0, 7.0)
        assert [record.epochs for record in records] == [float(last)] * 4
        assert {record.generation for record in records} == {number}
    assert generation(driver) == []
    assert driver.is_finished
    board = driver.leaderboard()
    assert board.best is not None
    assert (board.best.name, board.best.parent) == ("trial_000_g02", "trial_000_g01")
    assert len({record.index for record in board.trials}) == 12
    stored = json.loads((tmp_path / "leaderboard.json").read_text())
    assert {trial["parent"] for trial in stored["trials"] if trial["generation"] == 0} == {None}


def test_queue_waits_for_the_last_member(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **PBT)
    names = generation(driver)
    for name in names[:-1]:
        train(driver, name, 1.0)
        assert driver.next_trial() is None
        assert not driver.is_over
    train(driver, names[-1], 2.0)
    assert driver.next_trial() is not None


def test_failed_member_is_replaced_and_a_population_that_failed_ends(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **PBT)
    run_generation(driver, None, 2.0, 3.0, 4.0)
    names = generation(driver)
    events = starts(tmp_path)
    assert [events[name]["parent"][:9] for name in names] == [
        *("trial_001", "trial_001", "trial_002", "trial_001")
    ]
    for name in names:
        train(driver, name, None)
    assert generation(driver) == []
    assert driver.is_finished


def test_nobody_is_replaced_before_the_last_curriculum_stage(tmp_path: Path) -> None:
    stages = [{"epoch": 3, "weights": {"betas": 0.0}}]
    base = {"train": {"epochs": 5}, "loss": {"stages": stages}}
    driver = make_driver(tmp_path, **{**PBT, "base": base})
    run_generation(driver, 1.0, 2.0, 3.0, 4.0)
    names = run_generation(driver, 1.0, 2.0, 3.0, 4.0)
    assert [record.parent for record in names] == [f"trial_{m:03d}_g00" for m in range(4)]
    generation(driver)
    assert starts(tmp_path)["trial_003_g02"]["parent"] == "trial_000_g01"


def test_interrupted_population_goes_on_as_an_undisturbed_one(tmp_path: Path) -> None:
    values = [(3.0, 1.0, 9.0, 4.0), (2.0, 1.5, 1.0, 8.0), (1.0, 2.0, 3.0, 4.0)]
    whole = make_driver(tmp_path / "whole", **PBT)
    for row in values:
        run_generation(whole, *row)
    driver = make_driver(tmp_path / "cut", **PBT)
    run_generation(driver, *values[0])
    names = generation(driver)
    train(driver, names[0], values[1][0])
    # The driver is killed here, twice.
    make_driver(tmp_path / "cut", **PBT)
    driver = make_driver(tmp_path / "cut", **PBT)
    assert generation(driver) == names[1:]
    for name, value in zip(names[1:], values[1][1:], strict=True):
        train(driver, name, value)
    run_generation(driver, *values[2])
    assert driver.next_trial() is None
    assert driver.is_finished
    for key in ("point", "parent", "digest", "generation"):
        found = {name: event[key] for name, event in starts(tmp_path / "cut").items()}
        assert found == {name: event[key] for name, event in starts(tmp_path / "whole").items()}
    last = [load_toy(tmp_path / place / "trials" / "trial_002_g02") for place in ("cut", "whole")]
    assert last[0] == last[1]


def test_member_without_its_parents_checkpoint_is_an_error(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, **PBT)
    names = generation(driver)
    for name in names:
        RunDir.open(driver.trial_folder(name)).append_metrics(1, {METRIC: 1.0}, epoch=1.0)
        driver.end(name)
    with pytest.raises(CheckpointError, match="no checkpoint to go on from"):
        driver.next_trial()


@pytest.mark.parametrize(
    ("space", "drawn", "allowed"),
    [
        ({"uniform": (0.0, 1.0)}, 0.4, {0.32, 0.5}),
        ({"uniform": (0.35, 0.45)}, 0.4, {0.35, 0.45}),
        ({"loguniform": (1e-5, 1.0)}, 1e-2, {8e-3, 1.25e-2}),
    ],
)
def test_number_is_scaled_within_its_range(
    space: dict[str, Any], drawn: float, allowed: set[float]
) -> None:
    random = np.random.default_rng(0)
    found = {round(perturbed(ParameterSpace(**space), drawn, random), 9) for _ in range(40)}
    assert found == allowed


def test_choice_moves_to_a_neighbour_and_now_and_then_anywhere() -> None:
    random = np.random.default_rng(0)
    space = ParameterSpace(choice=tuple("abcdefgh"))
    found = [perturbed(space, 4, random) for _ in range(400)]
    assert set(found) == set(range(8))
    assert sum(value in (3, 5) for value in found) > 280
    assert {perturbed(ParameterSpace(choice=("a",)), 0, random) for _ in range(9)} == {0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"model.head.type": {"choice": ["mlp"]}}}, "model.head.type cannot change"),
        ({"space": {"optim.ema_decay": {"choice": [0.9]}}}, "optim.ema_decay cannot change"),
        ({"space": {"data.batch_size": {"choice": [4]}}}, "data.batch_size cannot change"),
        ({"scheduler": {"type": "asha"}}, "scheduler.type does not go with"),
        ({"repeats": 2}, "repeats does not go with"),
        ({"final_epochs": 9}, "final_epochs does not go with"),
        ({"trials": 1}, "population of at least 2"),
        ({"pbt": {"interval_epochs": 5}}, "less than train.epochs"),
    ],
)
def test_what_a_population_cannot_do_is_refused(changes: dict[str, Any], message: str) -> None:
    sweep = sweep_from_dict({**PBT, **changes})
    with pytest.raises(ConfigError, match=message):
        check_sweep(sweep, base_config(sweep))


def test_population_over_loss_weights_is_accepted() -> None:
    space = {"loss.base_weights.betas": {"uniform": [0.0, 1.0]}}
    sweep = sweep_from_dict({**PBT, "space": space})
    check_sweep(sweep, base_config(sweep))
