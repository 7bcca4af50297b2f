"""The network of a sweep's winner goes to the server, whether it was trained longer or not."""

from pathlib import Path

import pytest

from smil_ray.orchestration.tune._tracking import TrackedRuns
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.sync.live import Syncer
from smil_ray.tracking.sync.run import RunSync
from tests.tracking.sync.fake_server import FakeServer, write_network


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


def make_run(folder: Path, kind: str, log_model: str = "true") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"tracking: {{log_model: {log_model}}}")
    (folder / "status.json").write_text('{"state": "finished"}')
    write_network(folder, kind)
    return folder


@pytest.mark.parametrize(("log_model", "models"), [("true", 1), ("false", 0)])
def test_trial_that_won_is_sent_again_with_its_network(
    server: FakeServer, tmp_path: Path, log_model: str, models: int
) -> None:
    trials = [
        make_run(tmp_path / "sweep" / "trials" / name, "trial", log_model) for name in ("a", "b")
    ]
    tracked = TrackedRuns()
    with Syncer() as syncer:
        tracked.begin(syncer, RunSync(tmp_path / "sweep", server))
        for trial in trials:
            tracked.follow_trial(trial, trial.name, "", None)
            tracked.end(trial, record(trial))
        syncer.push_all()
        tracked.end_winner(trials[1])
    sent = {run["name"]: run for run in server.runs.values()}
    assert [len(sent[name].get("models", ())) for name in ("a", "b")] == [0, models]
    assert {sent[name]["status"] for name in ("a", "b")} == {"FINISHED"}


def test_final_training_is_sent_with_what_its_evaluation_left(
    server: FakeServer, tmp_path: Path
) -> None:
    final = make_run(tmp_path / "sweep" / "final", "train")
    tracked = TrackedRuns()
    with Syncer() as syncer:
        tracked.begin(syncer, RunSync(tmp_path / "sweep", server))
        tracked.follow(final, "final", {})
        (final / "intervals.json").write_text("{}")
        tracked.end_winner(final)
    (sent,) = [run for run in server.runs.values() if run["name"] == "final"]
    (model,) = sent["models"]
    assert "intervals.json" in model.files


def test_nothing_is_tracked_before_it_has_begun(tmp_path: Path) -> None:
    TrackedRuns().end_winner(make_run(tmp_path / "final", "train"))
    assert not (tmp_path / "final" / "mlflow_sync.json").exists()


def record(trial: Path) -> TrialRecord:
    return TrialRecord(trial.name, 0, folder=str(trial), status="finished")
