"""A run's network at MLflow: what lies in the model, its names, and who finds it where."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml

from smil_ray.cli.main import main
from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import CheckpointError, ConfigError
from smil_ray.results.regressor_api import SMILImageRegressor
from smil_ray.tracking.models.local import network_folder
from smil_ray.tracking.models.registry import register_run
from smil_ray.tracking.sync.metrics import TrackingError
from smil_ray.tracking.sync.state import SyncState
from smil_ray.tracking.tracker import Tracker
from tests.results.prediction.prediction_files import write

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture(scope="module")
def run(insect_run: Path, place: Path) -> Path:
    """A run of its own, registered as version 1 of `insects`, alias `champion`."""
    folder = place / "runs" / "tiny-20261127-010203"
    shutil.copytree(insect_run, folder)
    (folder / "mlflow_sync.json").unlink(missing_ok=True)
    made = register_run(folder, name="insects", alias="champion", uri=uri_of(place))
    assert (made.version, made.was_there, made.moved_from) == ("1", False, None)
    assert made.address == "models:/insects@champion"
    return folder


def uri_of(place: Path) -> str:
    return f"sqlite:///{place / 'mlflow.db'}"


@pytest.fixture
def at_place(place: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri_of(place))
    return run


def test_model_holds_network_and_body_model_and_nothing_to_resume(run: Path, place: Path) -> None:
    state = SyncState.load(run)
    assert state is not None
    (folder,) = place.glob(f"mlartifacts/models/{state.model_id}/artifacts")
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    kept = {name.removeprefix("data/run/") for name in names if name.startswith("data/run/")}
    (body,) = [name for name in kept if name.startswith("inputs/")]
    assert body.endswith(".npz")
    assert "checkpoints/epoch_0001/model.safetensors" in kept
    assert not any("state.pt" in name or name.endswith(".pkl") for name in names)
    assert {"MLmodel", "requirements.txt", "input_example.json"} <= names
    assert "code/smil_ray/serve/pyfunc.py" in names
    assert not any(name.startswith("code/smil_ray/orchestration") for name in names)
    about = yaml.safe_load((folder / "MLmodel").read_text())
    assert about["model_id"] == state.model_id
    assert about["flavors"]["python_function"]["loader_module"] == "smil_ray.serve.pyfunc"
    columns = {each["name"]: each["required"] for each in json.loads(about["signature"]["inputs"])}
    assert columns == {"image": True, "box": False, "fov_deg": False}
    size = sum((folder / name).stat().st_size for name in names if name != "MLmodel")
    assert abs(about["model_size_bytes"] - size) < 10_000
    assert not list(run.glob(".model-*"))


def test_run_names_its_model_with_the_figures_of_its_epoch(run: Path, place: Path) -> None:
    state = SyncState.load(run)
    assert state is not None
    with Tracker(state.uri, "").calls() as client:
        tracked = client.get_run(str(state.run_id))
        assert tracked.outputs is not None
        (output,) = tracked.outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        history = client.get_metric_history(str(state.run_id), "val/pa_mpjpe_pct_bl")
    assert output.model_id == state.model_id
    assert str(model.status) == "READY"
    assert model.params["backbone"] == "test_vit"
    figures = {metric.key: metric.value for metric in model.metrics or []}
    assert figures["val/pa_mpjpe_pct_bl"] == history[0].value
    assert len(history) == 1


def test_registered_again_it_keeps_its_version_until_it_is_another_network(
    at_place: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = register_run(at_place, name="insects")
    assert (again.version, again.was_there) == ("1", True)
    other = place / "runs" / "other-20261127-010203-2"
    shutil.copytree(at_place, other)
    (other / "mlflow_sync.json").unlink()
    assert main(["register", str(other), "--alias", "champion", "--name", "insects"]) == 0
    said = capsys.readouterr().out
    assert "champion was version 1 until now" in said
    assert "version 2 of insects" in said
    assert "smil-ray predict models:/insects@champion photo.jpg --out results" in said
    assert "mlflow models serve -m models:/insects@champion --env-manager local" in said
    back = register_run(at_place, name="insects", alias="champion")
    assert (back.version, back.moved_from) == ("1", "2")
    assert register_run(other).name == "other"


def test_every_address_gives_the_numbers_of_the_run_folder(
    at_place: Path, insect_file: Path, tmp_path: Path
) -> None:
    image = SmilDataset.from_path(insect_file).sample(3).image
    expected = SMILImageRegressor.from_checkpoint(at_place).predict_from_image(image)
    state = SyncState.load(at_place)
    assert state is not None
    for address in ("models:/insects@champion", "models:/insects/1", f"models:/{state.model_id}"):
        found = SMILImageRegressor.from_checkpoint(address).predict_from_image(image)
        assert all(bool((found[name] == expected[name]).all()) for name in expected)
    photo = write(tmp_path / "photo.png", image)
    tables = []
    for number, network in enumerate((str(at_place), "models:/insects@champion")):
        out = tmp_path / str(number)
        assert main(["predict", network, str(photo), "--out", str(out), "--no-overlays"]) == 0
        tables.append((out / "predictions.csv").read_bytes())
    assert tables[0] == tables[1]


def test_folder_that_moved_with_its_database_is_found(
    run: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    with sqlite3.connect(place / "mlflow.db") as source:
        source.execute("VACUUM INTO ?", [str(moved / "mlflow.db")])
    hidden = place / "mlartifacts"
    shutil.copytree(hidden, moved / "mlartifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri_of(moved))
    hidden.rename(place / "away")
    try:
        found = Path(network_folder("models:/insects@champion"))
        assert found.is_relative_to(moved)
        assert (found / "config.yaml").is_file()
        shutil.rmtree(moved / "mlartifacts")
        with pytest.raises(TrackingError, match="keep mlartifacts beside mlflow"):
            network_folder("models:/insects@champion")
    finally:
        (place / "away").rename(hidden)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("models:/insects@nobody", "nobody"),
        ("models:/insects/99", "99"),
        ("models:/bees@champion", "bees"),
        ("models:/m-0123", "m-0123"),
        ("models:/insects", "expected models:/NAME@ALIAS"),
    ],
)
def test_address_of_nothing_is_one_sentence(
    at_place: Path, tmp_path: Path, network: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", network, str(tmp_path), "--out", str(tmp_path / "out")]
    (tmp_path / "photo.png").touch()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.strip().splitlines()) == 1


def test_what_cannot_be_registered(
    at_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="name of a registered network"):
        register_run(at_place, name="a/b")
    with pytest.raises(ConfigError, match="alias of a registered network"):
        register_run(at_place, name="insects", alias="x@y")
    (tmp_path / "sweep.yaml").touch()
    with pytest.raises(ConfigError, match="is a sweep; give its winner"):
        register_run(tmp_path)
    with pytest.raises(ConfigError, match="holds no run"):
        register_run(tmp_path / "nothing")
    bare = tmp_path / "bare"
    shutil.copytree(at_place, bare)
    shutil.rmtree(bare / "inputs")
    (bare / "mlflow_sync.json").unlink()
    with pytest.raises(CheckpointError, match="keeps no body model"):
        register_run(bare)
