"""Folders whose content is kept in an object store."""

from pathlib import Path

import pytest

from smil_ray.storage import mirror
from smil_ray.storage.mirror import HOME_FILE, Mirror, local_run, push, work_copy
from smil_ray.storage.store import NothingThereError, listing
from tests.object_store import ObjectStore


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SMIL_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_folder_goes_on_in_another_place(object_store: ObjectStore, tmp_path: Path) -> None:
    home = f"{object_store.address}/runs/one"
    first = tmp_path / "first"
    write(first, run="1", checkpoints__epoch_1__model="w1", checkpoints__epoch_1__meta="m1")
    write(first, **{".lock": "", "trials__t__run": "of another mirror"})
    Mirror.begin(first / "trials/t", f"{home}/trials/t")
    Mirror.begin(first, home).push()
    names = ["checkpoints/epoch_1/meta", "checkpoints/epoch_1/model", "run"]
    assert sorted(listing(home)) == names

    second = work_copy(home)
    assert (second / "checkpoints/epoch_1/model").read_text() == "w1"
    write(second, run="22", checkpoints__epoch_2__model="w2")
    (second / "checkpoints/epoch_1/model").unlink()
    (second / "checkpoints/epoch_1/meta").unlink()
    push(second)
    assert sorted(listing(home)) == ["checkpoints/epoch_2/model", "run"]

    Mirror.begin(first, home).pull()
    assert (first / "run").read_text() == "22"
    assert (first / "checkpoints/epoch_2/model").read_text() == "w2"


def test_copy_to_work_in_holds_what_the_store_does_and_nothing_else(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    home = f"{object_store.address}/runs/exact"
    first = tmp_path / "first"
    write(first, metrics="epoch 1")
    Mirror.begin(first, home).push()
    copy = work_copy(home)
    write(copy, metrics="epoch 1, epoch 2, never sent", checkpoints__epoch_2__model="never sent")
    assert work_copy(home) == copy
    assert (copy / "metrics").read_text() == "epoch 1"
    assert sorted(path.name for path in copy.iterdir() if path.name != "checkpoints") == [
        HOME_FILE,
        "metrics",
    ]
    assert not list((copy / "checkpoints").iterdir())


def test_only_what_has_changed_is_sent(object_store: ObjectStore, tmp_path: Path) -> None:
    home = f"{object_store.address}/runs/few"
    write(tmp_path / "few", weights="w", status="1")
    Mirror.begin(tmp_path / "few", home).push()
    write(tmp_path / "few", status="2")
    push(tmp_path / "few")
    push(tmp_path / "few")
    assert object_store.requests("POST", "/few/weights") == 2  # begun and completed
    assert object_store.requests("POST", "/few/status") == 4


def test_checkpoint_is_sent_with_its_description_last() -> None:
    names = ["status.json", "checkpoints/e/meta.json", "metrics.jsonl", "checkpoints/e/state.pt"]
    assert list(mirror._stages(names)) == [
        ["metrics.jsonl"],
        ["checkpoints/e/state.pt"],
        ["checkpoints/e/meta.json"],
        ["status.json"],
    ]


def test_run_in_a_store_is_found_by_its_address(object_store: ObjectStore, tmp_path: Path) -> None:
    home = f"{object_store.address}/runs/found"
    write(tmp_path / "found", run="1", checkpoints__epoch_1__meta="m")
    Mirror.begin(tmp_path / "found", home).push()
    assert (local_run(home) / "run").read_text() == "1"
    assert (local_run(Path(home) / "checkpoints/epoch_1") / "meta").read_text() == "m"
    assert local_run(tmp_path) == tmp_path
    with pytest.raises(NothingThereError, match="no such run"):
        local_run(f"{object_store.address}/runs/lost")
