"""Real replicAnt data sets: preprocessed as promised, then trained on with one command."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smil_ray.cli.main import main
from smil_ray.config.reading import load_config
from smil_ray.core.batch import LABELS
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.hdf5.store import read_drops
from smil_ray.orchestration.cluster import start_ray
from smil_ray.tracking.run_dir import RunDir
from tests.experiments.script import run_script

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@dataclass(frozen=True)
class Expected:
    """What preprocessing a data set with the STICK model gives."""

    samples: int
    absent: frozenset[str]
    said: tuple[str, ...]
    dropped: dict[str, str] = field(default_factory=dict)


WEIGHTS = frozenset({"scale_weights", "trans_weights"})
SETS = {
    "replicAnt-x-SMIL-demo": Expected(
        samples=20,
        absent=WEIGHTS | {"betas", "mask"},
        said=("note: shape betas: file has 20, model has 5: marked absent",),
    ),
    "SMIL": Expected(
        samples=9,
        absent=WEIGHTS | {"global_rot", "joint_rot", "betas"},
        said=(
            "dropped: fewer keypoints are visible than required",
            "dropped SMIL_06: fewer keypoints are visible than required",
        ),
        dropped={"SMIL_06": "few_keypoints"},
    ),
    "replicAnt-x-SMIL-TEX": Expected(
        samples=5,
        absent=WEIGHTS | {"betas", "mask"},
        said=(
            "note: shape betas: file has 13, model has 5: marked absent",
            "note: ScaleWeights: file has 13, model has 5: marked absent",
        ),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with start_ray("local", num_cpus=2):
        yield


@pytest.mark.parametrize("name", SETS)
def test_real_data_are_preprocessed_and_trained_on(
    name: str,
    real_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    expected, data = SETS[name], tmp_path / "data.h5"
    folder, model = real_data / "data" / "replicant" / name, real_data / "models"
    command = ["preprocess", folder, data, "--model", model / "SMILy_STICK.pkl"]
    assert main([*map(str, command), "--image-size", "64"]) == 0
    said = capsys.readouterr().out
    for line in expected.said:
        assert line in said
    counts = SmilDataset.from_path(data).presence_counts()
    assert counts == {
        label: 0 if label in expected.absent else expected.samples for label in LABELS
    }
    assert {drop.name: drop.reason for drop in read_drops(data)} == expected.dropped

    arguments = ("--data", data, "--set", "train.epochs=1", "--execution", "inline")
    tiny = ("--set", "model.backbone.input_size=64", "--set", "tracking.enabled=false")
    assert run_script("train", *arguments, *tiny, "--output", tmp_path / "runs") == 0
    (run,) = (tmp_path / "runs").iterdir()
    weights = load_config(run / "config.yaml").loss.base_weights
    assert not expected.absent & set(weights)
    assert RunDir.open(run).status()["state"] == "finished"
    for split in ("val", "all"):
        assert main(["evaluate", str(run), "--split", split]) == 0
    picture = sorted(folder.glob("*.JPG"))[0]
    assert main(["predict", str(run), str(picture), "--out", str(tmp_path / "seen")]) == 0
