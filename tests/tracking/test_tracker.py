"""The MLflow tracker on a real sqlite database."""

import contextlib
import shlex
import sqlite3
from pathlib import Path

import pytest

from smil_ray.config import TrackingConfig
from smil_ray.tracking.sync.later import send_later
from smil_ray.tracking.sync.live import track_run
from smil_ray.tracking.sync.metrics import MetricPoint, RejectedError, TrackingError, entity_name
from smil_ray.tracking.sync.tags import DataInput
from smil_ray.tracking.tracker import KIND_OF_EXPERIMENT, PARENT_TAG, Tracker, resolve_uri

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    found = Tracker(f"sqlite:///{folder / 'mlflow.db'}", "tests")
    assert found.experiment_id
    return found


def test_resolve_uri_prefers_setting_then_environment_then_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert resolve_uri(TrackingConfig(uri="http://mine")) == "http://mine"
    assert resolve_uri(TrackingConfig()) == "http://server"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert resolve_uri(TrackingConfig(), tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_run_is_found_again_by_its_key(tracker: Tracker) -> None:
    run = tracker.find_or_create_run("key-1", "name")
    assert tracker.find_or_create_run("key-1", "other name") == run
    assert tracker.find_or_create_run("key-2", "name") != run


def test_child_run_has_the_parent_tag(tracker: Tracker) -> None:
    parent = tracker.find_or_create_run("parent", "sweep")
    child = tracker.find_or_create_run("child", "trial", parent=parent)
    assert tracker._connect().get_run(child).data.tags[PARENT_TAG] == parent


def test_metrics_come_back_with_their_last_step(tracker: Tracker) -> None:
    run = tracker.find_or_create_run("metrics", "run")
    points = [
        MetricPoint("val/pck@0.05_bbox", step / 10, step, 1000 + step) for step in range(1200)
    ]
    tracker.log_metrics(run, [*points, MetricPoint("nan", float("nan"), 3, 1)])
    assert tracker.last_steps(run) == {"val/pck_at_0.05_bbox": 1199, "nan": 3}


def test_long_parameters_are_cut_and_may_be_sent_twice(tracker: Tracker) -> None:
    run = tracker.find_or_create_run("params", "run")
    params = {"a.b": 1, "long": "x" * 9000, **{f"p{index}": index for index in range(150)}}
    tracker.log_params(run, params)
    tracker.log_params(run, params)
    stored = tracker._connect().get_run(run).data.params
    assert stored["a.b"] == "1"
    assert len(stored["long"]) == 6000
    assert len(stored) == 152


def test_changed_parameter_is_rejected(tracker: Tracker) -> None:
    run = tracker.find_or_create_run("changed", "run")
    tracker.log_params(run, {"a": 1})
    with pytest.raises(RejectedError):
        tracker.log_params(run, {"a": 2})


def test_finish_keeps_status_and_reason(tracker: Tracker) -> None:
    run = tracker.find_or_create_run("finish", "run")
    tracker.finish(run, "FAILED", "out of memory")
    found = tracker._connect().get_run(run)
    assert found.info.status == "FAILED"
    assert found.data.tags["smil_ray.reason"] == "out of memory"


def test_run_names_its_data_with_the_hash_of_their_content(tracker: Tracker) -> None:
    run = tracker.find_or_create_run("data", "run")
    tracker.log_data(run, DataInput("ants.h5", "/data/ants.h5", "a1" * 32, {"train": 9}))
    inputs = tracker._connect().get_run(run).inputs
    assert inputs is not None
    (used,) = inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("ants.h5", "a1" * 18)
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]


def test_experiment_opens_as_model_training_unless_a_person_chose_otherwise(
    tracker: Tracker,
) -> None:
    client, kind = tracker._connect(), KIND_OF_EXPERIMENT[0]
    client.create_experiment("older")
    client.create_experiment("chosen", tags={kind: "genai_development"})
    for name, expected in (
        (tracker.experiment, KIND_OF_EXPERIMENT[1]),
        ("older", KIND_OF_EXPERIMENT[1]),
        ("chosen", "genai_development"),
    ):
        found = client.get_experiment(Tracker(tracker.uri, name).experiment_id)
        assert found.tags[kind] == expected


def test_database_uses_write_ahead_log_and_artifacts_lie_beside_it(tracker: Tracker) -> None:
    run = tracker.find_or_create_run("artifact", "run")
    folder = Path(tracker.uri.removeprefix("sqlite:///")).parent
    (folder / "file.txt").write_text("x")
    tracker.log_file(run, folder / "file.txt", "sub")
    assert len(list((folder / "mlartifacts").rglob("sub/file.txt"))) == 1
    assert (folder / "mlflow.db-wal").exists()


def test_unreachable_server_is_an_error_within_seconds() -> None:
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9"):
        Tracker("http://127.0.0.1:9", "tests").find_or_create_run("key", "name")


def test_command_that_opens_the_ui_is_quoted_for_the_shell(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/my runs/mlflow.db"
    assert shlex.split(Tracker(uri, "tests").ui_command())[-1] == uri


def test_command_names_the_page_of_the_runs_once_it_is_known(tracker: Tracker) -> None:
    page = f"/#/experiments/{tracker.experiment_id}/runs?workflowType=machine_learning"
    assert tracker.ui_command().endswith(page)
    assert shlex.split(tracker.ui_command(), comments=True)[-1] == tracker.uri


@pytest.mark.parametrize(
    ("name", "accepted"), [("val/pck@0.05_bbox", "val/pck_at_0.05_bbox"), ("a[0]", "a_0_")]
)
def test_names_keep_only_characters_that_mlflow_accepts(name: str, accepted: str) -> None:
    assert entity_name(name) == accepted


def test_track_run_marks_an_error_as_failed_and_a_later_sync_changes_nothing(
    tracker: Tracker, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("a: 1\n")
    line = '{"step": 1, "epoch": 1, "time": 2.0, "metrics": {"val/x": 0.5}}\n'
    (run / "metrics.jsonl").write_text(line)
    tracking = TrackingConfig(uri=tracker.uri, experiment="tests")
    with pytest.raises(ZeroDivisionError), track_run(run, tracking) as sync:
        _ = 1 / 0
    assert sync is not None
    client = tracker._connect()
    assert client.get_run(sync.run_id()).info.status in ("FAILED", "RUNNING")
    (run / "status.json").write_text('{"state": "failed", "reason": "division"}')
    (run / "config.yaml").write_text("tracking: {experiment: tests}\n")
    assert send_later([run], uri=tracker.uri).sent == [run]
    found = client.get_run(sync.run_id())
    assert found.info.status == "FAILED"
    assert len(client.get_metric_history(sync.run_id(), "val/x")) == 1


def test_process_that_dies_while_tables_are_made_leaves_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow makes its tables in many steps and cannot go on in the middle of them."""
    database = tmp_path / "mlflow.db"

    def die(engine: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.store.db.utils._upgrade_db", die)
        with pytest.raises(KeyboardInterrupt):
            Tracker(f"sqlite:///{database}", "tests").find_or_create_run("key", "name")
    assert not database.exists()
    tracker = Tracker(f"sqlite:///{database}", "tests")
    assert tracker.find_or_create_run("key", "name")
    assert not list(tmp_path.glob(".*"))


def test_database_that_is_damaged_pauses_tracking_and_nothing_else(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE secrets (secret_id VARCHAR(36) NOT NULL)")
    with pytest.raises(TrackingError, match=r"mlflow\.db"):
        Tracker(f"sqlite:///{database}", "tests").find_or_create_run("key", "name")
