"""Runs that end early by plan, and runs that begin where another one stood."""

from pathlib import Path

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.errors import CheckpointError
from smil_ray.training.assemble import assemble
from smil_ray.training.checkpoint.copy import copy_newest_checkpoint
from smil_ray.training.checkpoint.files import Checkpoint, load_checkpoint, read_meta
from smil_ray.training.checkpoint.folder import best_entry, last_entry, load_newest
from smil_ray.training.loop import fit
from smil_ray.training.reports import FitResult
from smil_ray.training.state import TrainingState
from smil_ray.training.world import World
from tests.memory_data import MemoryData, tiny_config

SETTINGS = {"optim": {"ema_decay": 0.9, "schedule": "cosine"}, "data": {"limit": 6}}


def config(epochs: int = 3, stop_epoch: int | None = None, **optim: float) -> Config:
    train = {"epochs": epochs, "stop_epoch": stop_epoch}
    return tiny_config(**{**SETTINGS, "optim": {**SETTINGS["optim"], **optim}}, train=train)


@pytest.fixture
def run(insect: SmilModel, data: MemoryData, tmp_path: Path):
    def train(name: str, settings: Config) -> FitResult:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        resume = load_newest(folder / "checkpoints")
        return fit(assemble(settings, data, insect), settings, folder=folder, resume=resume)

    return train


def newest(folder: Path) -> Checkpoint:
    entry = last_entry(folder / "checkpoints")
    assert entry is not None
    return load_checkpoint(entry.path)


def test_run_ends_at_its_stop_epoch_and_goes_on_as_an_uninterrupted_one(
    run, tmp_path: Path
) -> None:
    first = run("whole", config())
    early = run("parts", config(stop_epoch=2))
    assert (early.status, early.epoch, first.epoch) == ("finished", 2, 3)
    assert run("parts", config()).epoch == 3
    whole, parts = newest(tmp_path / "whole").weights, newest(tmp_path / "parts").weights
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_run_that_begins_from_another_goes_on_as_that_one(run, tmp_path: Path) -> None:
    run("parent", config(stop_epoch=2))
    copy_newest_checkpoint(tmp_path / "parent" / "checkpoints", tmp_path / "child" / "checkpoints")
    assert run("child", config()).epoch == 3
    run("parent", config())
    parent, child = newest(tmp_path / "parent").weights, newest(tmp_path / "child").weights
    assert all(torch.equal(parent[name], child[name]) for name in parent)


def test_copied_checkpoint_is_never_the_best_of_the_new_run(run, tmp_path: Path) -> None:
    run("parent", config(stop_epoch=1))
    parent, child = tmp_path / "parent" / "checkpoints", tmp_path / "child" / "checkpoints"
    copied = copy_newest_checkpoint(parent, child)
    assert best_entry(parent, "min") is not None
    assert best_entry(child, "min") is None
    source = last_entry(parent)
    assert source is not None
    assert read_meta(copied)["copied_from"] == str(source.path)
    assert load_checkpoint(copied).meta["epoch"] == 1


def test_run_with_checkpoints_of_its_own_stays_as_it_is(run, tmp_path: Path) -> None:
    run("parent", config(stop_epoch=2))
    run("child", config(stop_epoch=1))
    checkpoints = tmp_path / "child" / "checkpoints"
    own = copy_newest_checkpoint(tmp_path / "parent" / "checkpoints", checkpoints)
    assert own.name == "epoch_0001"
    assert [path.name for path in checkpoints.glob("epoch_*")] == ["epoch_0001"]


def test_parent_without_checkpoints_and_an_unwritable_place_are_named(run, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint to go on from"):
        copy_newest_checkpoint(tmp_path / "nobody", tmp_path / "child")
    run("parent", config(stop_epoch=1))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match="cannot be written"):
        copy_newest_checkpoint(tmp_path / "parent" / "checkpoints", tmp_path / "file")


def test_weight_decay_of_the_configuration_holds_after_a_restart(
    run, insect: SmilModel, data: MemoryData, tmp_path: Path
) -> None:
    run("parent", config(stop_epoch=1, weight_decay=0.25))
    settings = config(weight_decay=0.5)
    state = TrainingState(assemble(settings, data, insect).regressor, settings, World())
    state.restore(newest(tmp_path / "parent"))
    assert {group["weight_decay"] for group in state.optimizer.param_groups} == {0.0, 0.5}
