"""Runs that begin with the network of another run."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict
from smil_ray.errors import CheckpointError, ConfigError
from smil_ray.orchestration.rerun import find_original, rerun_config
from smil_ray.orchestration.train.job import TrainOutcome, run_training
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.state import SyncState
from smil_ray.tracking.sync.tags import run_tags
from smil_ray.training.assemble import assemble
from smil_ray.training.checkpoint.files import Checkpoint, load_checkpoint, read_meta
from smil_ray.training.checkpoint.loading import find_checkpoint
from smil_ray.training.packing.compatibility import stream_key
from smil_ray.training.warm_start import with_network_of_parent
from tests.insect_data import train_insects, write_insects
from tests.memory_data import MemoryData, make_samples, tiny_config

FROZEN = {
    "backbone": {"name": "test_vit", "input_size": 32, "freeze": True},
    "head": {"type": "mlp", "hidden_dim": 16},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("warm_start")


@pytest.fixture(scope="module")
def insect_file(place: Path) -> Path:
    return write_insects(place / "insects.h5")


@pytest.fixture(scope="module")
def parent(place: Path, insect_file: Path) -> Path:
    return train_insects(
        insect_file, place, model=FROZEN, optim={"ema_decay": 0.9, "warmup_epochs": 0.0}
    )


def child_config(parent: Path, file: Path, output: Path, **sections: dict) -> Config:
    """Return the configuration of a child that names nothing of the network."""
    values = {
        "data": {"path": str(file), "val_fraction": 0.25, "test_fraction": 0.25, "batch_size": 4},
        "optim": {"learning_rate": 1e-4, "warmup_epochs": 0.0},
        "run": {"output_dir": str(output), "name": "child"},
        **sections,
    }
    train = {"epochs": 2, "overlay_samples": 0, "plots": False, "init_from": str(parent)}
    return config_from_dict({**values, "train": {**train, **sections.get("train", {})}})


def train(config: Config, **settings: object) -> TrainOutcome:
    return run_training(config, execution="inline", **settings)  # pyright: ignore


def newest(outcome: TrainOutcome) -> Checkpoint:
    assert outcome.last_checkpoint is not None
    return load_checkpoint(outcome.last_checkpoint)


def validations(run: RunDir) -> dict[float, dict[str, float]]:
    rows = {row["epoch"]: row["metrics"] for row in run.read_metrics()}
    return {
        epoch: {name: value for name, value in metrics.items() if name.startswith("val/")}
        for epoch, metrics in rows.items()
        if "val/pose_score" in metrics
    }


@pytest.mark.parametrize("cache", ["off", "fp16"])
def test_first_validation_equals_the_parents(
    parent: Path, insect_file: Path, tmp_path: Path, cache: str
) -> None:
    data = {"path": str(insect_file), "val_fraction": 0.25, "test_fraction": 0.25}
    cached = {**data, "feature_cache": cache, "feature_cache_dir": str(tmp_path / "cache")}
    train_settings = {"train": {"epochs": 1, "overlay_samples": 0, "plots": False}}
    places = {"run": {"output_dir": str(tmp_path), "name": "parent"}}
    settings = tiny_config(
        data={**cached, "limit": None}, model=FROZEN, **train_settings, **places
    )
    before = train(settings).run_dir.path
    expected = read_meta(find_checkpoint(before))["metrics"]
    outcome = train(child_config(before, insect_file, tmp_path, data={**cached, "batch_size": 3}))
    found = validations(outcome.run_dir)
    assert sorted(found) == [0.0, 1.0, 2.0]
    names = [name for name in expected if name.startswith("val/") and "loss" not in name]
    assert len(names) > 10
    for name in names:
        assert found[0.0][name] == pytest.approx(expected[name], abs=1e-6, rel=1e-6), name
    assert found[2.0]["val/pose_score"] != expected["val/pose_score"]


def test_network_and_body_come_from_the_parent_unless_written(
    parent: Path, insect_file: Path, tmp_path: Path
) -> None:
    freeze = {"backbone": {"freeze": {"unfreeze_at_epoch": 1, "last_blocks": 1}}}
    config = with_network_of_parent(child_config(parent, insect_file, tmp_path, model=freeze))
    assert config.model.head.type == "mlp"
    assert config.model.backbone.name == "test_vit"
    assert config.model.backbone.freeze != read_parent(parent).model.backbone.freeze
    assert config.train.init_from == str(find_checkpoint(parent))
    assert config.optim.learning_rate == 1e-4
    assert "loss" not in config.model_fields_set
    assert with_network_of_parent(config) == config


def read_parent(parent: Path) -> Config:
    return RunDir.open(parent).load_config()


def test_head_of_another_kind_is_refused_in_one_sentence(
    parent: Path, insect_file: Path, tmp_path: Path
) -> None:
    config = child_config(parent, insect_file, tmp_path, model={"head": {"type": "joint_tokens"}})
    with pytest.raises(ConfigError, match=r"model\.head\.type.*expected mlp; found joint_tokens"):
        train(config)


def test_body_model_of_another_kind_is_refused_in_one_sentence(
    parent: Path, insect: SmilModel, data: MemoryData, insect_file: Path, tmp_path: Path
) -> None:
    config = with_network_of_parent(child_config(parent, insect_file, tmp_path))
    other = tmp_path / "other.npz"
    changed(insect).save(other)
    with pytest.raises(ConfigError, match="predicts another body model"):
        assemble(config, data, SmilModel.open(other))


def test_data_of_another_body_model_are_refused_in_one_sentence(
    parent: Path, insect: SmilModel, tmp_path: Path
) -> None:
    other = changed(insect)
    other.save(tmp_path / "other.npz")
    file = write_insects(
        tmp_path / "o.h5",
        make_samples(other, 16),
        model=other,
        place=str(tmp_path / "other.npz"),
    )
    with pytest.raises(ConfigError, match=r"o\.h5 was made with another body model"):
        train(child_config(parent, file, tmp_path))


def changed(insect: SmilModel) -> SmilModel:
    """Return an insect with longer joints and the same names."""
    source = insect.source
    return SmilModel.from_arrays(replace(source, v_template=source.v_template * 1.1))


def test_parent_is_recorded_and_kept(parent: Path, insect_file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(parent, moved)
    SyncState(run_id="abc").save(moved)
    run = train(child_config(moved, insect_file, tmp_path)).run_dir
    facts = run.facts()["init_from"]
    assert facts["run"] == str(moved)
    assert facts["step"] == read_meta(find_checkpoint(moved))["step"]
    assert facts["metrics"]["val/pose_score"] > 0
    assert run_tags(run.path)["smil_ray.init_from"] == str(moved)
    assert run_tags(run.path)["smil_ray.init_from_run_id"] == "abc"
    shutil.rmtree(moved)
    again = rerun_config(find_original(str(run.path), tmp_path), [], tmp_path / "again")
    second = train(again)
    assert validations(second.run_dir) == validations(run)


def test_child_resumes_without_its_parent_as_if_it_had_not_stopped(
    parent: Path, insect_file: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(parent, moved)
    whole = train(child_config(moved, insect_file, tmp_path))
    short = child_config(moved, insect_file, tmp_path, train={"stop_epoch": 1})
    early = train(short)
    resolved = early.run_dir.load_config()
    shutil.rmtree(moved)
    longer = resolved.model_copy(
        update={"train": resolved.train.model_copy(update={"stop_epoch": None})}
    )
    late = train(longer, resume=early.run_dir.path)
    first, second = (newest(end) for end in (whole, late))
    assert all(torch.equal(first.weights[k], second.weights[k]) for k in first.weights)
    assert first.meta["statistics"] == second.meta["statistics"]
    assert [row["step"] for row in late.run_dir.read_metrics()] == [
        row["step"] for row in whole.run_dir.read_metrics()
    ]


def test_training_that_harms_leaves_the_parent_as_the_best(
    parent: Path, insect_file: Path, tmp_path: Path
) -> None:
    optim = {"learning_rate": 10.0, "clip_norm": None, "warmup_epochs": 0.0}
    outcome = train(child_config(parent, insect_file, tmp_path, optim=optim))
    assert outcome.best_checkpoint == outcome.run_dir.checkpoints / "epoch_0000"


def test_parent_without_checkpoints_is_named(insect_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a checkpoint nor a run folder"):
        train(child_config(tmp_path / "nobody", insect_file, tmp_path))


def test_runs_of_different_parents_are_never_packed() -> None:
    def key(place: str | None) -> str | None:
        return stream_key(tiny_config(model=FROZEN, train={"init_from": place}))

    assert key("a") == key("a")
    assert len({key("a"), key("b"), key(None)}) == 3
