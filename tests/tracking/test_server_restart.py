"""A real MLflow server that goes away while a run trains, and comes back."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from smil_ray.config import TrackingConfig
from smil_ray.orchestration.train.job import TrainOptions, run_training
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.live import track_run
from smil_ray.tracking.sync.metrics import entity_name
from smil_ray.training.reports import EpochReport
from tests.memory_data import open_memory_data, tiny_config

START_S = 200.0


class Server:
    """`mlflow server` on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"),
            *("--artifacts-destination", str(self._folder / "artifacts")),
        ]
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | settings, stdout=log, stderr=log, cwd=self._folder
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError((self._folder / "server.log").read_text()[-2000:])
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    found = Server(folder)
    found.start()
    yield found
    found.stop()


@pytest.mark.slow
def test_server_stopped_and_started_again_has_each_metric_once(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = TrackingConfig(uri=server.uri, experiment="restart")
    config = tiny_config(
        run={"output_dir": str(tmp_path / "runs"), "use_gpu": "no"},
        train={"epochs": 6, "overlay_samples": 0},
    )
    run = RunDir.create(config.run.output_dir, "train", config, "train")

    def disturb(report: EpochReport) -> None:
        if report.epoch in (1, 3):
            time.sleep(1.0)  # Some lines are sent, others are tried and refused.
        if report.epoch == 2:
            server.stop()
        if report.epoch == 5:
            server.start()

    options = TrainOptions(report=disturb, open_data=open_memory_data)
    with track_run(run.path, tracking, interval_s=0.1):
        outcome = run_training(config, execution="inline", run_dir=run, options=options)
    assert outcome.status == "finished"
    assert "paused" in caplog.text
    assert sent_to(server.uri, "restart") == written(run)


def written(run: RunDir) -> Counter[tuple[str, int]]:
    return Counter(
        (entity_name(name), row["step"]) for row in run.read_metrics() for name in row["metrics"]
    )


def sent_to(uri: str, experiment: str) -> Counter[tuple[str, int]]:
    """Return how often the only run of an experiment has each metric at each step."""
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (sent,) = client.search_runs([found.experiment_id])
    assert sent.info.status == "FINISHED"
    assert json.loads(sent.data.params["data.batch_size"]) == 4
    return Counter(
        (point.key, point.step)
        for name in sent.data.metrics
        for point in client.get_metric_history(sent.info.run_id, name)
    )
