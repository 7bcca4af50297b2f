"""The whole job with its data and results in an object store (an S3 server of this machine)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from smil_ray.cli.main import main
from smil_ray.data.hdf5.store import Hdf5Source
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.preprocess.job import preprocess
from smil_ray.orchestration.tune.job import SLOTS
from smil_ray.orchestration.tune.trials.resources import TRIAL_SLOT
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.storage.node_cache import local_copy
from smil_ray.storage.store import listing, read_bytes, upload
from tests.experiments.script import run_script
from tests.insect_data import write_insects
from tests.memory_data import SIZE
from tests.object_store import ObjectStore
from tests.orchestration.preprocess.preprocess_data import break_entries, options, write_folder

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SEARCH = {
    "name": "stored",
    "search": "grid",
    "trials": 4,
    "final_epochs": 2,
    "pack": 1,
    "base": {
        "data": {"batch_size": 8, "val_fraction": 0.25, "test_fraction": 0.25},
        "model": {
            "backbone": {"name": "test_vit", "input_size": SIZE},
            "head": {"hidden_dim": 16, "depth": 1, "iterations": 1, "num_heads": 2},
        },
        "train": {"epochs": 2, "overlay_samples": 0, "plots": False},
        "tracking": {"enabled": False},
    },
    "space": {
        "model.head.type": {"choice": ["mlp", "transformer_decoder"]},
        "optim.learning_rate": {"choice": [1e-3, 1e-4]},
    },
}
TINY = (
    *("--backbone", "test_vit", "--batch_size", "4", "--num-epochs", "2"),
    *("--set", f"model.backbone.input_size={SIZE}", "--set", "model.head.type=mlp"),
    *("--set", "tracking.enabled=false", "--set", "train.overlay_samples=0"),
    *("--set", "train.plots=false"),
)


@pytest.fixture(scope="module")
def node(
    object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ObjectStore]:
    """One node with an empty cache and a Ray that finds the store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMIL_RAY_CACHE", str(tmp_path_factory.mktemp("node")))
        with start_ray("local", num_cpus=2, resources={TRIAL_SLOT: SLOTS}):
            yield object_store


@pytest.fixture(scope="module")
def insects(node: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of an HDF5 file."""
    address = f"{node.address}/insects.h5"
    upload(write_insects(tmp_path_factory.mktemp("insects") / "insects.h5"), address)
    return address


def plain_values(value: object) -> Iterator[str]:
    """Yield all texts in nested settings."""
    if isinstance(value, dict):
        for each in value.values():
            yield from plain_values(each)
    elif isinstance(value, list):
        for each in value:
            yield from plain_values(each)
    elif isinstance(value, str):
        yield value


def paths_in(config: bytes) -> list[str]:
    """Return the texts of a configuration that are paths of a file system."""
    texts = plain_values(yaml.safe_load(config))
    return [text for text in texts if text.startswith(("/", "~", "."))]


def test_preprocessing_reads_from_the_store_and_writes_to_it(
    node: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "ants", 18)
    break_entries(folder)
    (folder / "tiny_03.JPG").rmdir()  # A store has no empty folders.
    here = preprocess([folder], tmp_path / "here.h5", options(max_error_fraction=0.6))
    there = node.put_folder(folder, f"{node.address}/ants")
    address = f"{node.address}/made/ants.h5"
    command = ["preprocess", there, address, "--image-size", "48", "--chunk-size", "4"]
    command += ["--min-visible-keypoints", "0", "--max-error-fraction", "0.6"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"{address}: 10 samples" in said
    assert "pictures_" not in said
    stored = Hdf5Source(local_copy(address))
    assert stored.info.content_hash == here.content_hash
    assert stored.info.drop_counts == here.dropped
    assert listing(f"{node.address}/made").keys() == {"ants.h5"}
    assert main([*command, "--resume"]) == 0
    assert node.requests("GET", "/made/ants.h5") == 1  # of its first bytes; the file was here


def test_interrupted_preprocessing_makes_only_what_the_store_lacks(
    node: ObjectStore, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "few", 12, name="few")
    there = Path(node.put_folder(folder, f"{node.address}/few"))
    address = f"{node.address}/made/few.h5"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess([there], address, options(num_workers=1), progress=stop)
    begun = listing(f"{address}.parts")
    assert sum(name.endswith(".json") for name in begun) - 1 > 0
    report = preprocess([there], address, options(resume=True))
    assert report.resumed >= 4
    assert report.kept == 12
    assert not listing(f"{address}.parts")


def test_sweep_in_the_store_downloads_its_data_once_and_goes_on_from_there(
    node: ObjectStore,
    insects: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(SEARCH))
    monkeypatch.chdir(tmp_path)
    home = f"{node.address}/runs"
    before = node.requests("GET", "/insects.h5")
    command = ("--config", str(space), "--data", insects)
    assert run_script("tune_backbones", *command, "--storage", home) == 0
    assert node.requests("GET", "/insects.h5") - before == 1
    (sweep,) = {name.split("/")[0] for name in listing(home) if name.endswith("/sweep.yaml")}
    assert f"sweep folder: {home}/{sweep}" in capsys.readouterr().out
    stored = listing(f"{home}/{sweep}")
    for trial in range(4):
        folder = f"trials/trial_{trial:03d}"
        assert any(name.startswith(f"{folder}/checkpoints/epoch_0002/") for name in stored)
        config = read_bytes(f"{home}/{sweep}/{folder}/config.yaml")
        assert yaml.safe_load(config)["data"]["path"] == insects
        assert paths_in(config) == []
        status = json.loads(read_bytes(f"{home}/{sweep}/{folder}/status.json"))
        assert status["state"] == "finished"
    assert paths_in(read_bytes(f"{home}/{sweep}/final/config.yaml")) == []
    assert {"report.html", "leaderboard.json", "journal.jsonl", "final/evaluation.json"} <= set(
        stored
    )
    assert not list(tmp_path.glob("runs*"))

    # The same search on files gives the same figures.
    local = ("--config", str(space), "--data", str(local_copy(insects)))
    assert run_script("tune_backbones", *local, "--output", str(tmp_path / "disk")) == 0
    (disk,) = (tmp_path / "disk").iterdir()
    board = json.loads(read_bytes(f"{home}/{sweep}/leaderboard.json"))
    assert metrics_of(board) == metrics_of(json.loads((disk / "leaderboard.json").read_text()))
    assert Leaderboard.load(disk).best is not None

    # Another driver, which has nothing of the sweep, finds that all is done.
    monkeypatch.setenv("SMIL_RAY_CACHE", str(tmp_path / "another_driver"))
    journal = read_bytes(f"{home}/{sweep}/journal.jsonl")
    again = ("--config", str(space), "--storage", home, "--resume")
    assert run_script("tune_backbones", *again) == 0
    assert read_bytes(f"{home}/{sweep}/journal.jsonl") == journal


def metrics_of(board: dict) -> dict[str, float]:
    return {trial["name"]: trial["metric"] for trial in board["trials"]}


@pytest.mark.parametrize("execution", ["inline", "ray_train"])
def test_training_in_the_store_equals_one_on_files_and_goes_on(
    node: ObjectStore, insects: str, tmp_path: Path, execution: str
) -> None:
    home = f"{node.address}/{execution}"
    local_copy(insects)
    before = node.requests("GET", "/insects.h5")
    once = ("--data", insects, "--execution", execution, *TINY)
    assert run_script("train", *once, "--storage", home) == 0
    (run,) = {name.split("/")[0] for name in listing(home) if name.endswith("/run.json")}
    config = read_bytes(f"{home}/{run}/config.yaml")
    assert paths_in(config) == []
    address = f"{home}/{run}"
    assert main(["evaluate", address, "--split", "val"]) == 0

    disk = tmp_path / "disk"
    local = ("--data", str(local_copy(insects)), "--execution", "inline", *TINY)
    assert run_script("train", *local, "--output", str(disk)) == 0
    (other,) = disk.iterdir()
    weights = "checkpoints/epoch_0002/model.safetensors"
    assert read_bytes(f"{address}/{weights}") == (other / weights).read_bytes()

    assert node.requests("GET", "/insects.h5") == before  # The node has it.
    further = ("--resume", address, "--execution", execution, "--num_epochs", "3")
    assert run_script("train", *further) == 0
    assert any(name.startswith("checkpoints/epoch_0003/") for name in listing(address))
