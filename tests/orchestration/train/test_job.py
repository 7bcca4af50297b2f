import os
import signal
import threading
from pathlib import Path

import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.errors import CheckpointError, ConfigError, SmilRayError
from smil_ray.orchestration.train.job import TrainOptions, TrainOutcome, run_training
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.reports import EpochReport
from tests.memory_data import MemoryData, open_memory_data, tiny_config

TIMES = ("seconds", "per_s", "wait_share", "cores", "load_1min", "memory_gib")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return tiny_config(run={"output_dir": str(tmp_path), "use_gpu": "no"})


def train(config: Config | None, **settings: object) -> TrainOutcome:
    options = settings.pop("options", TrainOptions(open_data=open_memory_data))
    return run_training(config, execution="inline", options=options, **settings)  # pyright: ignore


def with_section(config: Config, section: str, **changes: object) -> Config:
    changed = getattr(config, section).model_copy(update=changes)
    return config.model_copy(update={section: changed})


def test_run_leaves_a_folder_that_explains_itself(config: Config) -> None:
    outcome = train(config)
    run = outcome.run_dir
    assert outcome.status == run.status()["state"] == "finished"
    assert run.facts()["data_hash"] == "memory-24"
    assert run.facts()["network"]["parameters"] > run.facts()["network"]["head_parameters"] > 0
    assert run.facts()["network"]["gflops"] > 0
    assert (run.path / "splits.json").is_file()
    assert (run.overlays / "epoch_0002.png").is_file()
    assert run.load_config() == config
    assert outcome.last_checkpoint == run.checkpoints / "epoch_0002"
    assert outcome.best_checkpoint is not None
    assert outcome.metrics["val/pa_mpjpe_pct_bl"] > 0
    steps = [x["step"] for x in run.read_metrics() if "train/loss/total" in x["metrics"]]
    assert steps == [1, 2, 3, 4]


def test_run_twice_never_shares_a_folder(config: Config) -> None:
    config = with_section(config, "train", epochs=1, overlay_samples=0)
    first, second = train(config), train(config)
    assert first.run_dir.path != second.run_dir.path
    assert len(second.run_dir.read_metrics()) == len(first.run_dir.read_metrics())


def test_run_resumed_with_more_epochs_goes_on(config: Config) -> None:
    config = with_section(config, "train", epochs=1, overlay_samples=0)
    first = train(config)
    longer = train(with_section(config, "train", epochs=2), resume=first.run_dir.path)
    assert longer.run_dir.path == first.run_dir.path
    epochs = [x["epoch"] for x in longer.run_dir.read_metrics() if "val/mpjpe" in x["metrics"]]
    assert epochs == [1.0, 2.0]
    assert longer.run_dir.load_config().train.epochs == 2


def test_run_resumed_with_another_rate_is_refused(config: Config) -> None:
    config = with_section(config, "train", epochs=1, overlay_samples=0)
    first = train(config)
    with pytest.raises(CheckpointError, match=r"optim\.learning_rate"):
        train(with_section(config, "optim", learning_rate=1.0), resume=first.run_dir.path)


def test_run_resumed_with_other_data_is_refused(config: Config) -> None:
    config = with_section(config, "train", epochs=1, overlay_samples=0)
    first = train(config)

    def other(config: Config, model: SmilModel) -> MemoryData:
        data = open_memory_data(config, model)
        data.content_hash = "other"
        return data

    with pytest.raises(CheckpointError, match="data_hash"):
        train(None, resume=first.run_dir.path, options=TrainOptions(open_data=other))


def test_resume_of_a_folder_that_is_no_run_is_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(SmilRayError, match="not a run folder"):
        train(config, resume=tmp_path)


def test_new_run_in_a_folder_with_checkpoints_is_refused(config: Config) -> None:
    outcome = train(with_section(config, "train", epochs=1, overlay_samples=0))
    with pytest.raises(ConfigError, match="resume"):
        train(config, run_dir=RunDir.open(outcome.run_dir.path))


def test_failing_run_says_why_in_its_status(config: Config) -> None:
    config = with_section(config, "train", select_metric="val/beauty")
    with pytest.raises(ConfigError, match="beauty"):
        train(config)
    (folder,) = (path for path in Path(config.run.output_dir).iterdir() if path.is_dir())
    status = RunDir.open(folder).status()
    assert status["state"] == "failed"
    assert "beauty" in status["reason"]


def test_sigterm_saves_and_the_resumed_run_ends_as_if_it_had_not_come(config: Config) -> None:
    config = with_section(config, "train", overlay_samples=0)
    whole = train(config)
    sent: list[EpochReport] = []

    def interrupt(report: EpochReport) -> None:
        if not sent:
            os.kill(os.getpid(), signal.SIGTERM)
        sent.append(report)

    options = TrainOptions(report=interrupt, open_data=open_memory_data)
    stopped = train(config, options=options)
    assert stopped.status == stopped.run_dir.status()["state"] == "stopped"
    resumed = train(None, resume=stopped.run_dir.path)
    assert resumed.status == "finished"
    for name, value in whole.metrics.items():
        if not name.endswith(TIMES):
            assert resumed.metrics[name] == value, name
    lines = [(x["step"], tuple(x["metrics"])) for x in resumed.run_dir.read_metrics()]
    assert len(set(lines)) == len(lines) == len(whole.run_dir.read_metrics())


def test_run_outside_the_main_thread_works(config: Config) -> None:
    config = with_section(config, "train", epochs=1, overlay_samples=0)
    found: list[TrainOutcome] = []
    thread = threading.Thread(target=lambda: found.append(train(config)))
    thread.start()
    thread.join()
    assert found[0].status == "finished"


def test_run_draws_its_curves_and_joints(config: Config) -> None:
    said: list[str] = []
    options = TrainOptions(open_data=open_memory_data, announce=said.append)
    outcome = train(with_section(config, "train", plots=True, epochs=1), options=options)
    names = sorted(path.name for path in outcome.run_dir.plots.iterdir())
    assert names == ["alignment.png", "losses.png", "optimisation.png", "validation.png"]
    assert "parameters" in said[0]
    assert "GFLOP" in said[0]


def test_run_says_at_its_start_what_is_measured_and_which_joints_are_ignored(
    config: Config,
) -> None:
    said: list[str] = []
    options = TrainOptions(open_data=open_memory_data, announce=said.append)
    config = with_section(config, "loss", ignored_joints=("b_a_5",))
    config = with_section(config, "train", epochs=1, overlay_samples=0)
    train(config, options=options)
    size, chain, ignored = said[0].splitlines()
    assert "parameters" in size
    assert chain.startswith("100 % of body length: b_a_5 - b_a_4 - ")
    assert ignored == "ignored joints: b_a_5; 54 of 55 joints are supervised"
