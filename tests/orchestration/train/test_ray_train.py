"""Training on a real local Ray: equal to inline, and going on after every kind of death."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.errors import ConfigError
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.train._ray_train import TrainingFailedError
from smil_ray.orchestration.train.job import TrainOptions, TrainOutcome, run_training
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.checkpoint.files import load_checkpoint
from tests.memory_data import SIZE, DeadlyData, MemoryData, open_memory_data, tiny_config

pytestmark = [
    pytest.mark.ray,
    # Ray Train reads deprecated settings of Ray Data.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ROOT = Path(__file__).parents[3]
LONG = {
    "data": {"batch_size": 2, "limit": 6, "augment": {"enabled": True}},
    "optim": {"ema_decay": 0.9},
    "loss": {"stages": [(2, {"keypoint_2d": 0.5})]},
    "train": {"epochs": 4, "overlay_samples": 0},
}


@pytest.fixture(scope="module")
def _ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # The workers import the data set of these tests.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with start_ray("local", num_cpus=2):
            yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainOutcome:
    """The run of LONG, inline and undisturbed."""
    config = tiny_config(**LONG, run={"output_dir": str(tmp_path_factory.mktemp("whole"))})
    options = TrainOptions(open_data=open_memory_data)
    return run_training(config, execution="inline", options=options)


def long_config(folder: Path, **run: Any) -> Config:
    return tiny_config(**LONG, run={"output_dir": str(folder), **run})


def assert_same(outcome: TrainOutcome, whole: TrainOutcome) -> None:
    """Weights equal to the bit, each step in the metrics once, with equal figures."""
    assert outcome.last_checkpoint is not None
    assert whole.last_checkpoint is not None
    found = load_checkpoint(outcome.last_checkpoint).weights
    for name, weight in load_checkpoint(whole.last_checkpoint).weights.items():
        assert found[name].equal(weight), name
    assert steps(outcome.run_dir) == steps(whole.run_dir)


def steps(run: RunDir) -> list[tuple[int, float]]:
    key = "train/loss/total"
    return [(x["step"], x["metrics"][key]) for x in run.read_metrics() if key in x["metrics"]]


@pytest.mark.usefixtures("_ray")
def test_ray_train_equals_inline_to_the_bit(whole: TrainOutcome, tmp_path: Path) -> None:
    options = TrainOptions(open_data=open_memory_data)
    assert_same(run_training(long_config(tmp_path), options=options), whole)


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_worker_that_computes_features_says_so_first(tmp_path: Path) -> None:
    said: list[str] = []
    config = tiny_config(
        data={"feature_cache": "fp32", "feature_cache_dir": str(tmp_path / "caches")},
        model={"backbone": {"name": "test_vit", "input_size": SIZE, "freeze": True}},
        train={"epochs": 1, "overlay_samples": 0},
        run={"output_dir": str(tmp_path / "runs")},
    )
    options = TrainOptions(open_data=open_memory_data, announce=said.append)
    run_training(config, options=options)
    assert said[0].startswith("caching features of test_vit: ")
    assert "parameters" in said[1]
    assert len(said) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
@pytest.mark.parametrize("raises", [False, True])
def test_killed_or_raising_worker_goes_on_and_equals_uninterrupted(
    whole: TrainOutcome, tmp_path: Path, raises: bool
) -> None:
    mark = tmp_path / "died"

    def deadly(config: Config, model: SmilModel) -> MemoryData:
        return DeadlyData(open_memory_data(config, model), mark, fatal=8, raises=raises)

    outcome = run_training(long_config(tmp_path), options=TrainOptions(open_data=deadly))
    assert mark.exists()
    assert_same(outcome, whole)


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_mistake_in_a_worker_is_raised_as_it_is_and_not_repeated(tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def refuse(config: Config, model: SmilModel) -> MemoryData:
        with calls.open("a") as file:
            file.write("x")
        raise ConfigError("data.path", found="nothing")

    with pytest.raises(ConfigError, match=r"data\.path; found nothing"):
        run_training(long_config(tmp_path), options=TrainOptions(open_data=refuse))
    assert calls.read_text() == "x"


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_worker_that_raises_too_often_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    def deadly(config: Config, model: SmilModel) -> MemoryData:
        return DeadlyData(open_memory_data(config, model), tmp_path / "died", 1, raises=True)

    config = long_config(tmp_path, max_failures=0)
    with pytest.raises(TrainingFailedError, match=r"the disk burns.*--resume"):
        run_training(config, options=TrainOptions(open_data=deadly))


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_two_workers_train_together(tmp_path: Path) -> None:
    options = TrainOptions(open_data=open_memory_data)
    config = long_config(tmp_path, num_workers=2, cpus_per_worker=1.0)
    outcome = run_training(config, address="local", options=options)
    assert outcome.status == "finished"
    assert outcome.metrics["val/n_samples"] == 4


@pytest.mark.usefixtures("_ray")
def test_more_workers_than_the_machine_holds_are_refused_at_once(tmp_path: Path) -> None:
    options = TrainOptions(open_data=open_memory_data)
    with pytest.raises(ConfigError, match="num_workers"):
        run_training(long_config(tmp_path, num_workers=64), address="local", options=options)


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.memory_data import open_memory_data
from smil_ray.config.reading import load_config
from smil_ray.orchestration.train.job import TrainOptions, run_training
config = load_config({config!r})
run_training(config, address={address!r}, options=TrainOptions(open_data=open_memory_data))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_driver_resumed_equals_uninterrupted(
    whole: TrainOutcome, tmp_path: Path, number: int
) -> None:
    """The Ray of the one that is killed dies with it, the other's lives on."""
    address = "local" if number == signal.SIGKILL else ray.get_runtime_context().gcs_address
    file = tmp_path / "config.yaml"
    config = long_config(tmp_path / "runs")
    file.write_text(json.dumps(config.model_dump(mode="json")))
    script = SCRIPT.format(root=str(ROOT), config=str(file), address=address)
    driver = subprocess.Popen([sys.executable, "-c", script])
    run = _wait_for_step(driver, tmp_path / "runs", 2)
    os.kill(driver.pid, number)
    driver.wait()
    options = TrainOptions(open_data=open_memory_data)
    outcome = run_training(None, execution="inline", resume=run.path, options=options)
    assert_same(outcome, whole)


def _wait_for_step(driver: "subprocess.Popen[bytes]", root: Path, step: int) -> RunDir:
    while driver.poll() is None:
        for path in root.glob("*/run.json"):
            run = RunDir.open(path.parent)
            if any(number >= step for number, _ in steps(run)):
                return run
        time.sleep(0.02)
    raise AssertionError(f"the driver ended before its run reached step {step}")
