import errno
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from smil_ray.config import Config
from smil_ray.errors import CheckpointError, ConfigError
from smil_ray.models.weights.create import create_model
from smil_ray.training.checkpoint import files as checkpoint_files
from smil_ray.training.checkpoint.files import (
    FROZEN,
    META,
    STATE,
    WEIGHTS,
    load_checkpoint,
    save_checkpoint,
)
from smil_ray.training.checkpoint.folder import best_entry, entries, last_entry, load_newest, prune
from smil_ray.training.checkpoint.frozen_weights import FrozenWeights


def save(folder: Path, epoch: int, value: float | None = None) -> Path:
    return save_checkpoint(
        folder / f"epoch_{epoch:04d}",
        weights={"w": torch.full((3,), float(epoch))},
        state={"position": {"step": epoch * 10}, "moments": [torch.ones(2)]},
        config=Config(),
        meta={"step": epoch * 10, "epoch": epoch, "select_value": value, "metrics": {}},
    )


def test_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    found = load_checkpoint(save(tmp_path, 3, 1.5))
    assert found.weights["w"].tolist() == [3.0] * 3
    assert found.state["position"] == {"step": 30}
    assert found.meta["select_value"] == 1.5
    assert (found.path / "config.yaml").is_file()


def test_checkpoint_written_twice_is_replaced(tmp_path: Path) -> None:
    save(tmp_path, 3, 1.5)
    assert load_checkpoint(save(tmp_path, 3, 2.5)).meta["select_value"] == 2.5
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0003"]


@pytest.mark.parametrize("name", [WEIGHTS, STATE, "config.yaml"])
@pytest.mark.parametrize("damage", ["truncate", "zero"])
def test_checkpoint_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    file = save(tmp_path, 1) / name
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(content[:half] if damage == "truncate" else content[:half] + bytes(half))
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(file.parent)


def test_checkpoint_without_meta_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / META).unlink()
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(path)


def test_checkpoint_state_with_code_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    torch.save({"evil": Path("x")}, path / STATE)
    meta = json.loads((path / META).read_text())
    meta["sha256"][STATE] = checkpoint_files._hash(path / STATE)
    (path / META).write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match=STATE):
        load_checkpoint(path)


def test_newest_truncated_gives_the_one_before_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1)
    weights = save(tmp_path, 2) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-4])
    with caplog.at_level(logging.WARNING):
        found = load_newest(tmp_path)
    assert found is not None
    assert found.path.name == "epoch_0001"
    assert "epoch_0002" in caplog.text
    assert "epoch_0001" in caplog.text


def test_newest_of_only_damaged_ones_is_an_error(tmp_path: Path) -> None:
    (save(tmp_path, 1) / STATE).write_bytes(b"")
    with pytest.raises(CheckpointError, match="No checkpoint"):
        load_newest(tmp_path)


def test_newest_of_an_empty_folder_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path) is None


def test_prune_keeps_best_and_last_two(tmp_path: Path) -> None:
    for epoch, value in enumerate([3.0, 1.0, 2.0, 4.0, None, 5.0], start=1):
        save(tmp_path, epoch, value)
    prune(tmp_path, "min", keep_best=1)
    assert [entry.epoch for entry in entries(tmp_path)] == [2, 5, 6]
    best, last = best_entry(tmp_path, "min"), last_entry(tmp_path)
    assert best is not None
    assert last is not None
    assert (best.epoch, last.epoch) == (2, 6)
    index = json.loads((tmp_path / "index.json").read_text())
    assert (index["best"], index["last"]) == ("epoch_0002", "epoch_0006")


def test_best_of_max_mode_is_the_greatest(tmp_path: Path) -> None:
    for epoch, value in enumerate([3.0, 1.0, 3.0], start=1):
        save(tmp_path, epoch, value)
    best = best_entry(tmp_path, "max")
    assert best is not None
    assert best.epoch == 1


def test_save_on_a_full_disk_leaves_the_old_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_files, "save_file", full)
    with pytest.raises(CheckpointError, match=r"epoch_0002.*No space left.*resume"):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0001"]
    assert load_newest(tmp_path) is not None


@pytest.mark.parametrize("kilobytes", [16, 48, 80, 88])
def test_save_on_a_disk_that_fills_up_says_so_and_leaves_nothing_half(
    small_disk: Callable[[int], Path], kilobytes: int
) -> None:
    """Full at the weights (40 kB), the training state (40 kB) or the small files behind them."""
    folder = small_disk(kilobytes)
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint(
            folder / "epoch_0001",
            weights={"w": torch.ones(10_000)},
            state={"moments": [torch.ones(10_000)], "position": {"step": 10}},
            config=Config(),
            meta={"step": 10, "epoch": 1, "select_value": 1.0, "metrics": {}},
        )
    assert "epoch_0001 cannot be written: No space left on device" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []


def test_index_that_finds_the_disk_full_is_one_sentence_and_checkpoints_stay(
    small_disk: Callable[[int], Path],
) -> None:
    folder = small_disk(64)
    save(folder, 1)
    (folder / "somebody_elses.bin").write_bytes(bytes(shutil.disk_usage(folder).free))
    with pytest.raises(CheckpointError, match=r"index\.json cannot be written: No space left"):
        prune(folder, "min", keep_best=1)
    found = load_newest(folder)
    assert found is not None
    assert found.path.name == "epoch_0001"


@pytest.mark.parametrize(
    ("key", "value"),
    [("step", None), ("step", "7"), ("epoch", None), ("sha256", 3), ("select_value", "low")],
)
def test_checkpoint_whose_description_lacks_something_is_passed_over_and_named(
    tmp_path: Path, key: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1, 1.0)
    path = save(tmp_path, 2, 0.5) / "meta.json"
    meta = json.loads(path.read_text()) | {key: value}
    path.write_text(json.dumps({name: kept for name, kept in meta.items() if kept is not None}))
    for find in (load_newest, lambda folder: best_entry(folder, "min"), last_entry):
        found = find(tmp_path)
        assert found is not None
        assert found.path.name == "epoch_0001"
    assert f"meta.json is damaged: '{key}'" in caplog.text
    prune(tmp_path, "min", 1)
    with pytest.raises(CheckpointError, match=f"epoch_0002.*'{key}'"):
        load_checkpoint(path.parent)


@pytest.mark.parametrize("content", ['{"last": "epoch_0001"}', "[]", "\xff", ""])
def test_folder_with_a_damaged_index_is_read_by_its_checkpoints(
    tmp_path: Path, content: str
) -> None:
    for epoch, value in ((1, 1.0), (2, 0.5), (3, 2.0)):
        save(tmp_path, epoch, value)
    (tmp_path / "index.json").write_bytes(content.encode("latin1"))
    best, last = best_entry(tmp_path, "min"), last_entry(tmp_path)
    assert best is not None
    assert last is not None
    assert (best.path.name, last.path.name) == ("epoch_0002", "epoch_0003")
    prune(tmp_path, "min", 1)
    assert json.loads((tmp_path / "index.json").read_text())["best"] == "epoch_0002"


@pytest.mark.parametrize("name", [WEIGHTS, "meta.json"])
def test_checkpoint_of_git_lfs_pointers_is_named(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, 1) / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match=rf"{name}: a Git LFS pointer.*git lfs pull"):
        load_checkpoint(path.parent)


def save_frozen(folder: Path, epoch: int, frozen: FrozenWeights) -> Path:
    return save_checkpoint(
        folder / f"epoch_{epoch:04d}",
        weights={"backbone.a": torch.arange(4.0), "head.w": torch.full((3,), float(epoch))},
        state={},
        config=Config(),
        meta={"step": epoch, "epoch": epoch},
        frozen=frozen,
    )


def test_frozen_backbone_is_on_the_disk_once_and_in_every_checkpoint(tmp_path: Path) -> None:
    frozen = FrozenWeights()
    first, second = (save_frozen(tmp_path, epoch, frozen) for epoch in (1, 2))
    assert (first / FROZEN).stat().st_ino == (second / FROZEN).stat().st_ino
    prune(tmp_path, "min", 1)
    shutil.rmtree(first)
    found = load_checkpoint(second).weights
    assert found["backbone.a"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found["head.w"].tolist() == [2.0] * 3


def test_frozen_backbone_is_copied_where_the_file_system_has_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    frozen = FrozenWeights()
    first, second = (save_frozen(tmp_path, epoch, frozen) for epoch in (1, 2))
    assert (first / FROZEN).stat().st_ino != (second / FROZEN).stat().st_ino
    assert set(load_checkpoint(second).weights) == {"backbone.a", "head.w"}


def test_frozen_backbone_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = save_frozen(tmp_path, 1, FrozenWeights())
    (path / FROZEN).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=FROZEN):
        load_checkpoint(path)


@pytest.mark.parametrize("always_frozen", [False, True])
def test_run_folder_is_accepted_as_weights_of_a_backbone(
    tmp_path: Path, always_frozen: bool
) -> None:
    state = create_model("test_resnet").state_dict()
    weights = {f"backbone.model.{key}": value for key, value in state.items()}
    weights["head.w"] = torch.zeros(3)
    folder = tmp_path / "run" / "checkpoints"
    for epoch, value in ((1, 2.0), (2, 1.0), (3, 3.0)):
        bias = {"backbone.model.conv1.0.weight": state["conv1.0.weight"] + epoch}
        save_checkpoint(
            folder / f"epoch_{epoch:04d}",
            weights=weights | bias,
            state={},
            config=Config(),
            meta={"step": epoch, "epoch": epoch, "select_value": value},
            frozen=FrozenWeights() if always_frozen else None,
        )
    prune(folder, "min", 3)
    of_run = create_model("test_resnet", weights=str(tmp_path / "run")).state_dict()
    of_checkpoint = create_model("test_resnet", weights=str(folder / "epoch_0003")).state_dict()
    assert torch.equal(of_run["conv1.0.weight"], state["conv1.0.weight"] + 2)
    assert torch.equal(of_checkpoint["conv1.0.weight"], state["conv1.0.weight"] + 3)
    assert torch.equal(of_run["layer1.0.bn1.weight"], state["layer1.0.bn1.weight"])


def test_damaged_checkpoint_is_refused_as_weights_of_a_backbone(tmp_path: Path) -> None:
    path = save(tmp_path / "checkpoints", 1)
    (path / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ConfigError, match="checksum differs"):
        create_model("test_resnet", weights=str(path))
