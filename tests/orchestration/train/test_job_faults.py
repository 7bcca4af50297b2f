"""What goes wrong in a run is said in one sentence, and the run goes on from where it was."""

import errno
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from smil_ray.config import Config
from smil_ray.errors import CheckpointError, ConfigError, SmilRayError
from smil_ray.orchestration.train.job import TrainOptions, TrainOutcome, run_training
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.checkpoint import files as checkpoint_files
from smil_ray.training.checkpoint.files import WEIGHTS, load_checkpoint
from smil_ray.training.reports import EpochReport
from smil_ray.training.step import NonFiniteLossError
from tests.memory_data import open_memory_data, tiny_config


def small(folder: Path, **sections: Any) -> Config:
    return tiny_config(
        **{
            "run": {"output_dir": str(folder), "use_gpu": "no"},
            "train": {"epochs": 3, "overlay_samples": 0},
            **sections,
        }
    )


def train(config: Config | None, resume: Path | None = None) -> TrainOutcome:
    options = TrainOptions(open_data=open_memory_data)
    return run_training(config, execution="inline", resume=resume, options=options)


def only_run(folder: Path) -> RunDir:
    (path,) = folder.glob("train-*")
    return RunDir.open(path)


def assert_same(outcome: TrainOutcome, whole: TrainOutcome) -> None:
    found, expected = (
        load_checkpoint(each.run_dir.checkpoints / "epoch_0003").weights
        for each in (outcome, whole)
    )
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    lines = [(row["step"], tuple(row["metrics"])) for row in outcome.run_dir.read_metrics()]
    assert lines == [(row["step"], tuple(row["metrics"])) for row in whole.run_dir.read_metrics()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainOutcome:
    return train(small(tmp_path_factory.mktemp("whole")))


def test_disk_full_at_a_checkpoint_ends_the_run_and_the_resumed_one_equals_uninterrupted(
    whole: TrainOutcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = checkpoint_files.save_file, []

    def full_at_the_second(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(checkpoint_files, "save_file", full_at_the_second)
    with pytest.raises(CheckpointError, match=r"epoch_0002.*No space left.*resume"):
        train(small(tmp_path))
    run = only_run(tmp_path)
    assert run.status()["state"] == "failed"
    assert "No space left" in run.status()["reason"]
    assert_same(train(None, resume=run.path), whole)


def test_disk_that_is_really_full_ends_the_run_and_the_resumed_one_equals_uninterrupted(
    whole: TrainOutcome, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(30_000)
    filler = disk / "somebody_elses.bin"

    def fill(report: EpochReport) -> None:
        """Leave room for figures and status, not for a checkpoint."""
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 200_000))

    options = TrainOptions(open_data=open_memory_data, report=fill)
    with pytest.raises(CheckpointError, match=r"epoch_0002.*No space left.*resume"):
        run_training(small(disk), execution="inline", options=options)
    filler.unlink()
    run = only_run(disk)
    assert run.status()["state"] == "failed"
    assert [path.name for path in run.checkpoints.glob("[!.]*/")] == ["epoch_0001"]
    assert_same(train(None, resume=run.path), whole)


def test_newest_checkpoint_truncated_resumes_from_the_one_before_and_equals_uninterrupted(
    whole: TrainOutcome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(small(tmp_path)).run_dir
    file = run.checkpoints / "epoch_0003" / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        outcome = train(None, resume=run.path)
    assert f"{file} is damaged" in caplog.text
    assert "Using the one before, epoch_0002" in caplog.text
    assert_same(outcome, whole)


def test_non_finite_loss_ends_the_run_with_the_batch_kept(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="at step 2"):
        train(small(tmp_path, optim={"learning_rate": 1e30, "clip_norm": None}))
    run = only_run(tmp_path)
    assert run.status()["state"] == "failed"
    assert (run.path / "non_finite_step_2.pt").is_file()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"base_weights": {"keypoint_2D": 1.0}}, "unknown loss term 'keypoint_2D'"),
        ({"stages": [[1, {"beauty": 1.0}]]}, "unknown loss term 'beauty'"),
        ({"ignored_joints": ["b_a_9"]}, "b_a_9"),
        ({"joint_importance": {"b_x": 2.0}}, "b_x"),
        ({"base_weights": {"silhouette": 1.0}}, "'mask'"),
        ({"stages": [[1, {"silhouette": 1.0}]]}, "'mask'"),
        ({"base_weights": {"betas": 0.0}}, "positive weight"),
    ],
)
def test_mistake_in_the_loss_is_one_sentence_before_the_first_batch(
    tmp_path: Path, loss: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        train(small(tmp_path, loss=loss))
    assert "\n" not in str(caught.value)
    for path in tmp_path.glob("train-*"):
        assert RunDir.open(path).read_metrics() == []


def test_run_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SmilRayError, match=r"cannot be made.*run\.output_dir"):
        train(small(tmp_path, run={"output_dir": str(tmp_path / "file" / "runs")}))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_disk_full_at_the_metrics_is_one_sentence(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "train", Config(), "train")
    run.metrics_file = Path("/dev/full")
    with pytest.raises(SmilRayError, match=r"/dev/full cannot be written.*No space left"):
        run.append_metrics(1, {"a": 1.0})
