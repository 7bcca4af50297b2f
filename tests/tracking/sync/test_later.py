"""`smil-ray sync`: runs on the disk reach MLflow later, completely, and nothing twice."""

import json
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from smil_ray.cli.main import main
from smil_ray.config.reading import config_from_dict
from smil_ray.errors import ConfigError
from smil_ray.tracking.cost import write_cost
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.later import send_later
from smil_ray.tracking.sync.metrics import TrackingError
from smil_ray.tracking.tracker import PARENT_TAG

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of two trials that was never tracked; one was stopped early."""
    config = config_from_dict({"tracking": {"enabled": False, "experiment": tmp_path.name}})
    facts = {"data_hash": "d" * 64, "features": "vit-0123", "sweep": "s"}
    parent = RunDir.create_at(tmp_path / "s", config, "sweep")
    parent.append_metrics(1, {"sweep/ended": 1.0}, epoch=1.0)
    for name in ("leaderboard.json", "report.html"):
        (parent.path / name).write_text("{}")
    for name, state, reason in (
        ("trial_000", "finished", None),
        ("trial_001", "stopped", "stopped early after epoch 1"),
    ):
        run = RunDir.create_at(parent.path / "trials" / name, config, "trial", facts=facts)
        run.append_metrics(5, {"val/x": 0.5}, epoch=1.0)
        write_cost(run, 12.0, 0.25)
        run.set_status(state, reason)
    parent.set_status("finished")
    return parent.path


def history(uri: str, experiment: str) -> Counter[tuple[str, str, int]]:
    """Return how often each run has each metric at each step."""
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return Counter(
        (run.info.run_name or "", point.key, point.step)
        for run in client.search_runs([found.experiment_id])
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)
    )


def test_sweep_that_was_never_tracked_is_sent_whole_and_once(uri: str, sweep: Path) -> None:
    report = send_later([sweep], uri=uri)
    assert [path.name for path in report.sent] == ["s", "trial_000", "trial_001"]
    assert report.servers == [uri]
    experiment = sweep.parent.name
    first = history(uri, experiment)
    assert set(first.values()) == {1}
    assert first["trial_000", "cost/device_hours", 5] == 1
    # Sent again, from nothing that says it was sent already, and with one more line.
    RunDir.open(sweep / "trials" / "trial_000").append_metrics(6, {"val/x": 0.4}, epoch=2.0)
    send_later([sweep / "trials" / "trial_000", sweep], uri=uri)
    again = history(uri, experiment)
    assert again == first + Counter({("trial_000", "val/x", 6): 1})

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    place = client.get_experiment_by_name(experiment)
    assert place is not None
    runs = {run.info.run_name: run for run in client.search_runs([place.experiment_id])}
    parent, trial = runs["s"], runs["trial_001"]
    assert trial.data.tags[PARENT_TAG] == parent.info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for tag, value in {
        "smil_ray.data_hash": "d" * 64,
        "smil_ray.feature_cache": "vit-0123",
        "smil_ray.sweep": "s",
        "smil_ray.kind": "trial",
        "smil_ray.folder": str((sweep / "trials" / "trial_001").resolve()),
        "mlflow.source.git.commit": trial.data.tags["smil_ray.git_commit"],
    }.items():
        assert trial.data.tags[tag] == value
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "leaderboard.json"} <= files


def test_run_that_is_sent_later_keeps_its_times(uri: str, sweep: Path) -> None:
    run = RunDir.open(sweep / "trials" / "trial_000")
    run.update_facts({"created": "2026-01-02T03:04:05+00:00"})
    (run.path / "status.json").write_text('{"state": "finished", "time": 1767323105.5}')
    for _ in range(2):
        send_later([run.path], uri=uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        state = json.loads((run.path / "mlflow_sync.json").read_text())
        info = client.get_run(state["run_id"]).info
        assert (info.start_time, info.end_time) == (1767323045000, 1767323105500)


def test_report_that_was_written_again_replaces_the_first_one(uri: str, sweep: Path) -> None:
    send_later([sweep], uri=uri)
    (sweep / "report.html").write_text("a newer page")
    send_later([sweep], uri=uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    state = json.loads((sweep / "mlflow_sync.json").read_text())
    paths = [file.path for file in client.list_artifacts(state["run_id"])]
    assert paths.count("report.html") == 1
    fetched = client.download_artifacts(state["run_id"], "report.html", str(sweep.parent))
    assert Path(fetched).read_text() == "a newer page"


def test_run_that_is_being_trained_is_left_to_its_driver(uri: str, sweep: Path) -> None:
    with RunDir.open(sweep / "trials" / "trial_000").lock():
        report = send_later([sweep], uri=uri)
    assert report.sent == []
    assert len(report.in_use) == 3


def test_server_that_is_away_is_said(sweep: Path) -> None:
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9"):
        send_later([sweep], uri="http://127.0.0.1:9")


def test_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        send_later([tmp_path])


def test_command_says_what_it_sent(
    uri: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sync", str(sweep), "--uri", uri]) == 0
    assert f"3 runs are complete at {uri}" in capsys.readouterr().out
    assert main(["sync", str(sweep / "trials" / "trial_000" / "plots")]) == 2
