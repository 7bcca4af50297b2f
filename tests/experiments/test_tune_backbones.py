"""`experiments/tune_backbones.py`, small: what MLflow shows, and the same on a cluster."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.tune.job import SLOTS
from smil_ray.orchestration.tune.trials.resources import TRIAL_SLOT
from smil_ray.results.ranking.leaderboard import Leaderboard
from tests.experiments.script import EXPERIMENTS, run_script
from tests.memory_data import SIZE

METRIC = "val/pose_score"
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search over two heads and two learning rates, two epochs a trial."""
    search = {
        "name": "tiny",
        "search": "grid",
        "trials": 4,
        "execution": "inline",
        "base": {
            "data": {"batch_size": 8, "val_fraction": 0.25, "test_fraction": 0.25},
            "model": {
                "backbone": {"name": "test_vit", "input_size": SIZE},
                "head": {"hidden_dim": 16, "depth": 1, "iterations": 1, "num_heads": 2},
            },
            "train": {
                "epochs": 2,
                "overlay_every_epochs": 2,
                "overlay_samples": 2,
                "plots": False,
            },
        },
        "space": {
            "model.head.type": {"choice": ["mlp", "transformer_decoder"]},
            "optim.learning_rate": {"choice": [1e-3, 1e-4]},
        },
    }
    path = tmp_path_factory.mktemp("search") / "space.yaml"
    path.write_text(yaml.safe_dump(search))
    return path


def only_sweep(folder: Path) -> Path:
    (sweep,) = folder.glob("tiny-*/sweep.yaml")
    return sweep.parent


def metrics_of(sweep: Path) -> dict[str, float | None]:
    return {record.name: record.metric for record in Leaderboard.load(sweep).trials}


def artifacts(client: mlflow.MlflowClient, run: str) -> set[str]:
    """Return the paths of a run's files."""
    found, folders = set(), [""]
    while folders:
        for file in client.list_artifacts(run, folders.pop()):
            if file.is_dir:
                folders.append(file.path)
            else:
                found.add(file.path)
    return found


@pytest.fixture(scope="module")
def folder(space: Path, insect_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search on this machine, with `mlflow.db` and `runs/` in it."""
    place = tmp_path_factory.mktemp("alone")
    arguments = ("--data", insect_file, "--config", space, "--output", place / "runs")
    uri = f"tracking.uri=sqlite:///{place / 'mlflow.db'}"
    with start_ray("local", num_cpus=2, resources={TRIAL_SLOT: SLOTS}):
        assert run_script("tune_backbones", *arguments, "--set", uri) == 0
    return place


def test_mlflow_shows_a_parent_and_four_children_with_everything(folder: Path) -> None:
    sweep, uri = only_sweep(folder / "runs"), f"sqlite:///{folder / 'mlflow.db'}"
    assert (sweep / "report.html").is_file()
    mlflow.set_tracking_uri(uri)
    runs: Any = mlflow.search_runs(search_all_experiments=True)
    children = runs[runs["tags.mlflow.parentRunId"].notna()]
    (parent,) = runs[runs["tags.mlflow.parentRunId"].isna()]["run_id"]
    assert len(children) == 4
    assert set(children["tags.mlflow.parentRunId"]) == {parent}
    assert set(children["status"]) == {"FINISHED"}
    chosen = zip(
        children["params.model.head.type"], children["params.optim.learning_rate"], strict=True
    )
    heads = ("mlp", "transformer_decoder")
    assert set(chosen) == {(head, rate) for head in heads for rate in ("0.001", "0.0001")}
    client = mlflow.MlflowClient(uri)
    for _, child in children.iterrows():
        history = client.get_metric_history(child["run_id"], METRIC)
        assert len({point.step for point in history}) == len(history) == 2
        record = Leaderboard.load(sweep).trials[int(child["tags.mlflow.runName"][-3:])]
        assert min(point.value for point in history) == pytest.approx(record.metric)
        files = artifacts(client, child["run_id"])
        assert "config.yaml" in files
        assert any(path.endswith(".safetensors") for path in files)
        assert any(path.startswith("overlays/") for path in files)


def test_mlflow_has_costs_tags_and_the_report_once_after_a_resume(
    folder: Path, space: Path, insect_file: Path
) -> None:
    sweep, uri = only_sweep(folder / "runs"), f"sqlite:///{folder / 'mlflow.db'}"
    before = everything(uri)
    arguments = ("--data", insect_file, "--config", space, "--resume", sweep)
    with start_ray("local", num_cpus=2, resources={TRIAL_SLOT: SLOTS}):
        assert run_script("tune_backbones", *arguments, "--set", f"tracking.uri={uri}") == 0
    after = everything(uri)
    assert set(after.values()) == {1}
    assert {key for key in after if not key[1].startswith("sweep/")} == {
        key for key in before if not key[1].startswith("sweep/")
    }
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs(["1"])
    trials = [run for run in runs if run.data.tags["smil_ray.kind"] == "trial"]
    assert len(trials) == 4
    for run in trials:
        assert {"cost/seconds", "cost/device_hours", "cost/images_per_s"} <= set(run.data.metrics)
        assert run.data.tags["smil_ray.sweep"] == sweep.name
        tags = {"git_commit", "data_hash", "model_hash", "feature_cache"}
        assert {f"smil_ray.{tag}" for tag in tags} <= set(run.data.tags)
        record = Leaderboard.load(sweep).trials[int((run.info.run_name or "")[-3:])]
        assert run.data.metrics["cost/seconds"] == pytest.approx(record.seconds)
        assert run.data.metrics[f"best/{METRIC[4:]}"] == pytest.approx(record.metric)
    (parent,) = [run for run in runs if run.data.tags["smil_ray.kind"] == "sweep"]
    files = artifacts(client, parent.info.run_id)
    assert {"report.html", "leaderboard.json", "sweep.yaml", "journal.jsonl"} <= files
    assert parent.info.status == "FINISHED"


def everything(uri: str) -> Counter[tuple[str, str, int]]:
    """Return how often each run has each metric at each step."""
    client = mlflow.MlflowClient(uri)
    return Counter(
        (run.info.run_id, key, point.step)
        for run in client.search_runs(["1"])
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)
    )


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a Ray that `ray start --head` started, with folders and ports of its own."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as place:
        port = free_port()
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block"]
        command += [f"--port={port}", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
        command += [f"--temp-dir={place}", "--include-dashboard=false"]
        with Path(place, "out").open("w") as out:
            head = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                wait_for(port, head)
                yield f"127.0.0.1:{port}"
            finally:
                head.send_signal(signal.SIGTERM)
                try:
                    head.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(head.pid, signal.SIGKILL)
                    head.wait(20)


def wait_for(port: int, head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and head.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"`ray start` ended with {head.poll()} or does not listen")


def test_cluster_gives_the_same_answer_as_this_machine(
    cluster: str, space: Path, folder: Path, insect_file: Path, tmp_path: Path
) -> None:
    command = [sys.executable, EXPERIMENTS / "tune_backbones.py", "--data", insect_file]
    command += ["--config", space, "--trials", "2", "--output", tmp_path, "--address", cluster]
    command += ["--set", "tracking.enabled=false"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = metrics_of(only_sweep(tmp_path))
    alone = metrics_of(only_sweep(folder / "runs"))
    assert len(found) == 2
    assert found == {name: alone[name] for name in found}
