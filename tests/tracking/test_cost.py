"""What a run has cost reaches its metrics, and grows when the run goes on."""

from pathlib import Path

import pytest

from smil_ray.config import Config
from smil_ray.tracking.cost import (
    cost_of,
    devices_of,
    images_per_second,
    recorded_cost,
    write_cost,
)
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import read_metrics


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = RunDir.create_at(tmp_path / "run", Config(), "train")
    for epoch, (seconds, rate) in enumerate(((10.0, 20.0), (30.0, 40.0)), start=1):
        speed = {"train/epoch/seconds": seconds, "train/epoch/samples_per_s": rate}
        found.append_metrics(5 * epoch, speed, epoch=float(epoch))
    return found


def test_cost_is_a_line_at_the_last_step(run: RunDir) -> None:
    write_cost(run, 60.0, 0.5, {"cost/parameters": 7.0})
    line = run.read_metrics()[-1]
    assert (line["step"], line["epoch"]) == (10, 2.0)
    assert line["metrics"] == {
        "cost/parameters": 7.0,
        "cost/seconds": 60.0,
        "cost/device_hours": 0.5,
        # (10 s x 20/s + 30 s x 40/s) / 40 s
        "cost/images_per_s": 35.0,
    }


def test_best_value_of_the_selection_metric_has_a_name_of_its_own(run: RunDir) -> None:
    for step, value in ((11, 7.0), (12, 3.0), (13, float("nan")), (14, 5.0)):
        run.append_metrics(step, {Config().train.select_metric: value}, epoch=float(step))
    write_cost(run, 1.0, 0.1)
    name = Config().train.select_metric.removeprefix("val/")
    assert run.read_metrics()[-1]["metrics"][f"best/{name}"] == 3.0


def test_cost_of_a_run_that_never_began_has_no_speed(tmp_path: Path) -> None:
    run = RunDir.create_at(tmp_path / "run", Config(), "train")
    write_cost(run, 1.0, 0.1)
    assert run.read_metrics()[-1]["metrics"] == {"cost/seconds": 1.0, "cost/device_hours": 0.1}
    assert images_per_second([]) is None


def test_cost_of_a_run_that_goes_on_is_added(run: RunDir) -> None:
    write_cost(run, 100.0, 2.0)
    with pytest.raises(ZeroDivisionError), recorded_cost(run, Config()):
        _ = 1 / 0
    found = cost_of(read_metrics(run.path))
    assert 100.0 < found["cost/seconds"] < 110.0
    assert found["cost/device_hours"] > 2.0


@pytest.mark.parametrize(("device", "devices"), [("cpu", 6.0), ("cuda:0", 2.0)])
def test_devices_are_gpus_or_cores(run: RunDir, device: str, devices: float) -> None:
    run.update_facts({"device": device})
    plan = Config().run.model_copy(update={"num_workers": 2, "cpus_per_worker": 3.0})
    assert devices_of(run, Config().model_copy(update={"run": plan})) == devices
