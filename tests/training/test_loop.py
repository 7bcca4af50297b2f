import hashlib
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config, CropConfig
from smil_ray.errors import ConfigError
from smil_ray.training.assemble import assemble
from smil_ray.training.checkpoint.files import load_checkpoint
from smil_ray.training.checkpoint.folder import last_entry, load_newest
from smil_ray.training.checkpoint.loading import load_regressor
from smil_ray.training.loop import fit
from smil_ray.training.reports import EpochReport, FitResult, Hooks, Predictions
from smil_ray.training.step import NonFiniteLossError
from tests.memory_data import SIZE, MemoryData, tiny_config

FULL = {
    "optim": {"ema_decay": 0.9, "accumulate": 2, "warmup_epochs": 1.0},
    "loss": {"stages": [(1, {"keypoint_2d": 0.5, "joint_rot": 0.1})], "transition": "linear"},
    "model": {"head": {"dropout": 0.3}},
    "data": {"batch_size": 2, "limit": 6, "augment": {"enabled": True}},
    "train": {"epochs": 2},
}
"""Everything that could make a resumed run differ: running mean, augmentation, curriculum ..."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the run is told."""


class Log:
    """Hooks that remember; `die_at` kills the run once that step has been logged."""

    def __init__(self, die_at: int = -1, stop_at: int = -1) -> None:
        self.lines: list[tuple[int, float, dict[str, float]]] = []
        self.reports: list[EpochReport] = []
        self.drawn: list[Predictions | None] = []
        self._die_at, self._stop_at = die_at, stop_at

    def log(self, step: int, epoch: float, metrics: dict[str, float]) -> None:
        if step == self._die_at:
            raise Killed
        self.lines.append((step, epoch, metrics))

    def hooks(self) -> Hooks:
        return Hooks(
            report=self.reports.append,
            log=self.log,
            draw=self.drawn.append,
            stop=lambda: bool(self.lines) and self.lines[-1][0] >= self._stop_at > 0,
        )

    def steps(self) -> dict[int, dict[str, float]]:
        return {step: found for step, _, found in self.lines if "train/loss/total" in found}


Train = Callable[..., FitResult]


@pytest.fixture(scope="module")
def run_in(insect: SmilModel, data: MemoryData) -> Train:
    def run(folder: Path, config: Config, log: Log | None = None, source: Any = data) -> FitResult:
        parts = assemble(config, source, insect)
        folder.mkdir(exist_ok=True)
        resume = load_newest(folder / "checkpoints")
        return fit(parts, config, folder=folder, hooks=(log or Log()).hooks(), resume=resume)

    return run


@pytest.fixture
def train(run_in: Train, tmp_path: Path) -> Train:
    def run(config: Config, log: Log | None = None, folder: str = "run", **changes: Any):
        return run_in(tmp_path / folder, config, log, **changes)

    return run


@pytest.fixture(scope="module")
def whole(run_in: Train, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Log]:
    """The run of FULL without interruption: hash of its end, and its log."""
    folder, log = tmp_path_factory.mktemp("whole"), Log()
    run_in(folder, tiny_config(**FULL), log)
    return digest(folder), log


def digest(folder: Path) -> str:
    """Return a hash of the last checkpoint's weights, moments and position."""
    entry = last_entry(folder / "checkpoints")
    assert entry is not None
    found = load_checkpoint(entry.path)
    tensors = dict(found.weights) | {
        f"{i}/{name}": value
        for i, moments in found.state["optimizer"]["state"].items()
        for name, value in moments.items()
    }
    text = hashlib.sha256()
    for name in sorted(tensors):
        text.update(name.encode() + tensors[name].numpy().tobytes())
    return text.hexdigest() + str(found.state["position"]["step"])


def at_any_step(first: int, *others: int) -> list[Any]:
    return [first, *(pytest.param(step, marks=pytest.mark.slow) for step in others)]


def test_fit_again_is_the_same_to_the_bit(
    train: Train, whole: tuple[str, Log], tmp_path: Path
) -> None:
    train(tiny_config(**FULL))
    assert digest(tmp_path / "run") == whole[0]


@pytest.mark.parametrize("die_at", at_any_step(3, 1, 2, 4))
def test_fit_killed_and_resumed_equals_uninterrupted(
    train: Train, whole: tuple[str, Log], tmp_path: Path, die_at: int
) -> None:
    config = tiny_config(**FULL)
    first, second = Log(die_at=die_at), Log()
    with pytest.raises(Killed):
        train(config, first)
    assert train(config, second).status == "finished"
    assert digest(tmp_path / "run") == whole[0]
    assert first.steps() | second.steps() == whole[1].steps()


def test_fit_of_the_head_that_looks_at_joints_killed_and_resumed_equals_uninterrupted(
    train: Train, tmp_path: Path
) -> None:
    backbone = {"name": "test_resnet", "input_size": SIZE}
    head = {"type": "joint_tokens", "hidden_dim": 32, "num_heads": 4, "depth": 1, "dropout": 0.2}
    head["prompt_share"] = 0.5
    config = tiny_config(model={"backbone": backbone, "head": head})
    train(config, folder="whole")
    with pytest.raises(Killed):
        train(config, Log(die_at=3))
    train(config)
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")


@pytest.mark.parametrize("stop_at", at_any_step(1, 2, 3))
def test_fit_stopped_and_resumed_equals_uninterrupted(
    train: Train, whole: tuple[str, Log], tmp_path: Path, stop_at: int
) -> None:
    config = tiny_config(**FULL)
    first, second = Log(stop_at=stop_at), Log()
    assert train(config, first).status == "stopped"
    assert train(config, second).status == "finished"
    assert digest(tmp_path / "run") == whole[0]
    # Nothing is lost and nothing is done twice.
    assert not first.steps().keys() & second.steps().keys()
    assert first.steps() | second.steps() == whole[1].steps()
    validated = [found for _, _, found in first.lines + second.lines if "val/mpjpe" in found]
    assert len(validated) == config.train.epochs
    # The means of an epoch in two pieces are those of the whole epoch.
    name = "train/epoch/loss/total"
    assert validated[0][name] == whole[1].reports[0].metrics[name]


def test_fit_checkpoints_by_minutes_in_mid_epoch(train: Train, tmp_path: Path) -> None:
    config = tiny_config(train={"epochs": 1, "checkpoint_every_minutes": 1e-9})
    train(config)
    names = {path.name for path in (tmp_path / "run" / "checkpoints").glob("*_0*")}
    assert any(name.startswith("step_") for name in names)
    assert "epoch_0001" in names


def test_fit_finished_run_resumed_does_nothing(train: Train) -> None:
    config = tiny_config()
    first = train(config)
    log = Log()
    again = train(config, log)
    assert log.lines == []
    assert again.metrics == first.metrics
    assert again.status == "finished"


def test_fit_reports_each_epoch_with_its_checkpoint(train: Train) -> None:
    log = Log()
    train(tiny_config(train={"epochs": 3, "checkpoint_every_epochs": 2}), log)
    assert [report.epoch for report in log.reports] == [1, 2, 3]
    assert [report.checkpoint is not None for report in log.reports] == [False, True, True]
    assert log.reports[0].is_best
    assert {"val/pa_mpjpe_pct_bl", "val/loss/keypoint_2d", "train/epoch/loss/total"} <= set(
        log.reports[0].metrics
    )


def test_fit_early_stopping_ends_the_run_and_stays_ended(train: Train) -> None:
    config = tiny_config(
        data={"limit": 4},
        train={"epochs": 50, "early_stopping_patience": 1, "select_metric": "val/n_samples"},
    )
    result = train(config)
    assert result.epoch == 2
    assert result.status == "finished"
    assert "no better val/n_samples" in str(result.reason)
    assert train(config).epoch == 2


def test_fit_unknown_select_metric_is_refused(train: Train) -> None:
    with pytest.raises(ConfigError, match=r"select_metric.*val/pa_mpjpe_pct_bl"):
        train(tiny_config(train={"select_metric": "val/beauty"}))


def test_fit_draws_fixed_samples_at_the_end(train: Train) -> None:
    log = Log()
    train(tiny_config(train={"overlay_samples": 2}), log)
    (drawn,) = log.drawn
    assert drawn is not None
    assert (drawn.epoch, drawn.xy.shape[0]) == (2, 2)


def test_fit_non_finite_loss_stops_with_the_batch_saved(train: Train, tmp_path: Path) -> None:
    config = tiny_config(optim={"learning_rate": 1e30, "clip_norm": None})
    with pytest.raises(NonFiniteLossError, match=r"at step 2 .*fake_.*non_finite_step_2\.pt"):
        train(config)
    found = torch.load(tmp_path / "run" / "non_finite_step_2.pt", weights_only=True)
    assert found["step"] == 2
    assert found["batches"][0]["image"].shape[0] == len(found["batches"][0]["names"]) == 4
    assert last_entry(tmp_path / "run" / "checkpoints") is None


def test_fit_loader_processes_do_not_change_the_result(train: Train, tmp_path: Path) -> None:
    for workers in (0, 1):
        config = tiny_config(data={"loader_workers": workers}, train={"epochs": 1})
        train(config, folder=f"workers{workers}")
    assert digest(tmp_path / "workers0") == digest(tmp_path / "workers1")


def test_fit_bf16_learns_finite_numbers(train: Train) -> None:
    log = Log()
    train(tiny_config(optim={"precision": "bf16"}, train={"epochs": 1}), log)
    assert all(found["train/loss/total"] < 100 for found in log.steps().values())


def test_loaded_regressor_predicts_what_the_run_validated(
    train: Train, data: MemoryData, tmp_path: Path
) -> None:
    train(tiny_config(optim={"ema_decay": 0.5}))
    loaded = load_regressor(tmp_path / "run" / "checkpoints" / "epoch_0002")
    assert not loaded.regressor.training
    assert loaded.meta["joint_names"][0]
    again = load_regressor(tmp_path / "run" / "checkpoints" / "epoch_0002")
    image = torch.from_numpy(data.samples([0])[0].image).permute(2, 0, 1)[None]
    torch.testing.assert_close(loaded.regressor(image).betas, again.regressor(image).betas)


def test_loaded_regressor_says_how_its_pictures_were_cut(
    train: Train, data: MemoryData, tmp_path: Path
) -> None:
    cropped = copy(data)
    cropped.crop = CropConfig(mode="bbox", margin=(0.1, 0.3))
    train(tiny_config(train={"epochs": 1}), source=cropped)
    loaded = load_regressor(tmp_path / "run" / "checkpoints" / "epoch_0001")
    assert loaded.crop == cropped.crop
    assert replace(loaded, meta={}).crop == CropConfig()
