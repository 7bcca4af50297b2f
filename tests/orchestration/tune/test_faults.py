"""Trials that go wrong in every way: the search goes on, and its report says what happened."""

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import escape
from ray import cloudpickle

from smil_ray.config import Config
from smil_ray.errors import SmilRayError
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.tune import driver as tune_driver
from smil_ray.orchestration.tune import job as tune_job
from smil_ray.orchestration.tune.folder import load_sweep
from smil_ray.orchestration.tune.job import SLOTS, SweepHooks, SweepOutcome, run_sweep
from smil_ray.orchestration.tune.journal import BUDGET, Journal
from smil_ray.orchestration.tune.trials import trial as tune_trial
from smil_ray.orchestration.tune.trials.resources import TRIAL_SLOT
from smil_ray.orchestration.tune.trials.trial import ReportEpoch, TrialJob, run_trial
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.report.page import write_report
from smil_ray.tracking.run_dir import RunDir
from tests.insect_data import write_insects
from tests.orchestration.tune.sweep_kills import METRIC, as_sweep, ends, kill_trials, tiny_search
from tests.orchestration.tune.test_driver import make_driver, start_next, train
from tests.orchestration.tune.toy_checkpoints import save_toy

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PETABYTE = 10**15


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_insects(tmp_path_factory.mktemp("data") / "insects.h5")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # Workers cannot import a test module; what is needed of it travels to them.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMIL_RAY_CACHE", str(tmp_path_factory.mktemp("caches")))
        with start_ray("local", num_cpus=2, resources={TRIAL_SLOT: SLOTS}):
            yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def toy(config: Config, folder: Path, report: ReportEpoch) -> None:
    """Train nothing; the name of the backbone's weights says what goes wrong at epoch 2."""
    run, trouble = RunDir.open(folder), Path(config.model.backbone.weights).name
    for epoch in range(1, config.train.epochs + 1):
        value = 1.0 / epoch
        if epoch == 2:
            value = {"nan": float("nan"), "infinite": float("-inf")}.get(trouble, value)
            if trouble == "memory":
                bytearray(PETABYTE)
            elif trouble == "tensor":
                torch.empty(PETABYTE)
            elif trouble == "raise":
                raise ValueError("the head has no <tail>")
            elif trouble == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        run.append_metrics(epoch, {METRIC: value}, epoch=float(epoch))
        report(float(epoch), {METRIC: value})
    run.set_status("finished")


REASONS = {
    "memory": "MemoryError",
    "tensor": "RuntimeError: .*can't allocate memory: you tried to allocate 4000000000000000",
    "raise": "ValueError: the head has no <tail>",
    "nan": f"{METRIC} is nan after epoch 2",
    "infinite": f"{METRIC} is -inf after epoch 2",
    "killed": "its process died: .*",
}


def page(outcome: SweepOutcome) -> str:
    return (outcome.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_report_names_the_reason_of_every_trial_that_failed(tmp_path: Path) -> None:
    troubles = [*REASONS, "none"]
    search = tiny_search(tmp_path / "none.h5", pack=1, scheduler={"type": "none"})
    search["max_concurrent_trials"] = 2
    search["base"]["run"] = {"max_failures": 1}
    search["space"] = {"model.backbone.weights": {"choice": troubles}}
    hooks = SweepHooks(train=toy, report=write_report)
    outcome = run_sweep(as_sweep(search), output_dir=tmp_path, hooks=hooks)
    records = {record.labels["model.backbone.weights"]: record for record in outcome.trials}
    assert list(records) == troubles
    assert outcome.best == records["none"]
    assert records["none"].status == "finished"
    board = Leaderboard.load(outcome.folder)
    assert [config.records[0].name for config in board.ranked] == [records["none"].name]
    text = page(outcome)
    for trouble, pattern in REASONS.items():
        record = records[trouble]
        assert record.status == "failed"
        assert record.reason is not None
        assert re.match(pattern, record.reason), record.reason
        assert escape(record.reason) in text
    assert RunDir.open(outcome.folder).status()["state"] == "finished"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_head_too_large_for_the_memory_fails_alone(data: Path, tmp_path: Path) -> None:
    """A real network that nothing can hold, in the middle of a pack."""
    search = tiny_search(data, pack=3, scheduler={"type": "none"})
    search["base"]["train"]["epochs"] = 2
    search["space"] = {"model.head.hidden_dim": {"choice": [16, PETABYTE // 1000, 24]}}
    hooks = SweepHooks(report=write_report)
    outcome = run_sweep(as_sweep(search), output_dir=tmp_path, hooks=hooks)
    assert [record.status for record in outcome.trials] == ["finished", "failed", "finished"]
    reason = outcome.trials[1].reason or ""
    assert "memory" in reason
    assert escape(reason) in page(outcome)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_trial_that_kills_its_pack_fails_alone(data: Path, tmp_path: Path) -> None:
    """As Ray ends a process that takes too much memory: in the pack, and then alone."""
    over = threading.Event()
    deaths: list[int] = []

    def kill_whoever_trains_it() -> None:
        while not over.wait(0.05):
            for folder in tmp_path.glob("*/trials/trial_001"):
                if (folder / ".lock").is_file() and RunDir(folder).is_in_use():
                    deaths.extend(kill_trials())

    thread = threading.Thread(target=kill_whoever_trains_it)
    thread.start()
    search = tiny_search(data, pack=3, scheduler={"type": "none"})
    search["base"]["run"] = {"max_failures": 0}
    search["space"] = {"optim.learning_rate": {"choice": [1e-4, 1e-3, 1e-5]}}
    said: list[str] = []
    hooks = SweepHooks(report=write_report, notify=said.append)
    try:
        outcome = run_sweep(as_sweep(search), output_dir=tmp_path, hooks=hooks)
    finally:
        over.set()
        thread.join()
    assert [record.status for record in outcome.trials] == ["finished", "failed", "finished"]
    assert all(len(results) == 1 for results in ends(outcome.folder).values())
    reason = outcome.trials[1].reason or ""
    assert reason.startswith("its process died: ")
    assert escape(reason) in page(outcome)
    assert any("in one of its own" in line for line in said)
    assert len(set(deaths)) == 2


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_second_driver_of_a_search_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_job, "DRIVER_LOCK_WAIT_S", 0.1)
    search = tiny_search(tmp_path / "none.h5", pack=1)
    search["space"] = {"model.backbone.weights": {"choice": ["none"]}}
    outcome = run_sweep(as_sweep(search), output_dir=tmp_path, hooks=SweepHooks(train=toy))
    before = outcome.folder.joinpath("journal.jsonl").read_text()
    with RunDir(outcome.folder).lock(), pytest.raises(SmilRayError, match="in use"):
        run_sweep(as_sweep(search), resume=outcome.folder, hooks=SweepHooks(train=toy))
    assert outcome.folder.joinpath("journal.jsonl").read_text() == before


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("moment", ["start", "rung", "end"])
def test_search_whose_journal_cannot_be_written_ends_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Tune would take a full disk for the trial's own error, start it again or wait for ever."""
    append = Journal.append

    def full(self: Journal, event: str, **values: Any) -> None:
        if (event, values.get("trial")) == (moment, "trial_001"):
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, event, **values)

    search = tiny_search(tmp_path / "none.h5", pack=1)
    search["base"]["train"]["epochs"] = 2
    hooks = SweepHooks(train=toy)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", full)
        with pytest.raises(SmilRayError, match=r"No space left on device.*--resume"):
            run_sweep(as_sweep(search), output_dir=tmp_path, hooks=hooks)
    (folder,) = [path.parent for path in tmp_path.glob("*/journal.jsonl")]
    assert {"trial_000"} <= ends(folder).keys() <= {"trial_000", "trial_001"}
    outcome = run_sweep(load_sweep(folder), resume=folder, hooks=hooks)
    assert [record.status for record in outcome.trials] == ["finished"] * 8
    assert all(len(results) == 1 for results in ends(folder).values())


ASHA = {"type": "asha", "grace_epochs": 2, "reduction_factor": 2, "allow_early_grace": True}


def test_decision_to_stop_outlives_the_driver(tmp_path: Path) -> None:
    """It dies between the decision and the end that it would have noted."""
    driver = make_driver(tmp_path, scheduler=ASHA)
    train(driver, start_next(driver), 3.0, 2.0)
    assert not train(driver, start_next(driver), 6.0, 5.0)
    again = make_driver(tmp_path, scheduler=ASHA)
    first, second = start_next(again), start_next(again)
    assert again.result(first, 1.0, 3.0, "")
    assert not again.result(second, 1.0, 6.0, "")
    record = again.end(second)
    assert record.status == "stopped"
    assert (record.reason or "").startswith("stopped early after epoch 2: ")
    assert [event["rung"] for event in again.journal.rungs()] == [2, 2]


def test_end_that_a_dead_driver_left_half_done_is_completed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make_driver(tmp_path)
    name = start_next(driver)
    train(driver, name, 3.0)
    driver.result(name, 2.0, None, "the cable burns")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tune_driver, "close_trial", die)
        with pytest.raises(KeyboardInterrupt):
            driver.end(name)
    trial = RunDir.open(driver.trial_folder(name))
    assert trial.status()["state"] == "created"
    for _ in range(2):
        make_driver(tmp_path).recover()
        assert (trial.status()["state"], trial.status()["reason"]) == ("failed", "the cable burns")
        assert sum("cost/seconds" in row["metrics"] for row in trial.read_metrics()) == 1
        assert [row["step"] for row in RunDir.open(tmp_path).read_metrics()] == [1]


def test_trial_folder_that_a_dead_driver_left_half_made_is_made_whole(tmp_path: Path) -> None:
    name = start_next(make_driver(tmp_path))
    (tmp_path / "trials" / name / "status.json").unlink()
    again = make_driver(tmp_path)
    assert start_next(again) == name
    assert RunDir.open(again.trial_folder(name)).status()["state"] == "created"


def test_pack_taken_apart_without_budget_left_ends_and_can_go_on(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, max_hours=1.0)
    names = [start_next(driver) for _ in range(3)]
    for name in names:
        train(driver, name, 3.0)
    driver.split_pack(names[:2])
    driver.budget.tick(0.0)
    driver.budget._spent[0] += 3600.0
    assert driver.next_pack() == []
    assert list(driver.running) == names[2:]
    driver.end(names[2])
    assert driver.is_finished
    assert driver.is_over_budget
    reasons = [record.reason for record in driver.journal.records().values()]
    assert reasons == [BUDGET, BUDGET, None]


def test_epochs_that_are_saved_are_reported_again_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process died in its third epoch, or at its end: early stopping must see all the same."""
    reports: list[Mapping[str, Any]] = []
    monkeypatch.setattr(tune_trial.tune, "report", reports.append)
    run = RunDir.create_at(tmp_path / "run", Config(), "trial")
    for epoch in (1, 2, 3):
        run.append_metrics(epoch, {METRIC: 4.0 - epoch}, epoch=float(epoch))
    save_toy(run.path, 2, 1.0)

    def train_nothing(config: Config, folder: Path, report: ReportEpoch) -> None:
        """Find that all epochs are done."""

    run_trial(TrialJob("trial_000", str(run.path), METRIC, {}).as_config(), train_nothing)
    assert [(each["epoch"], each["value"]) for each in reports] == [(1.0, 3.0), (2.0, 2.0)]
    assert {each["failure"] for each in reports} == {""}
