"""What of a prediction is exported, and what is said where it cannot be (docs/export.md)."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.cli.main import main
from smil_ray.errors import CheckpointError
from smil_ray.results.export import Wanted, export_predictions
from smil_ray.results.prediction.boxes import read_boxes
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.video import FrameRange
from smil_ray.training.checkpoint.loading import load_regressor
from tests.export.gltf_player import Player
from tests.results.prediction.prediction_files import write, write_video

N_FRAMES = 5


def noise(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (96, 72), interpolation=cv2.INTER_NEAREST)


@pytest.fixture(scope="module")
def predictions(insect_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a video with two animals and a picture, smoothed: each animal has one shape."""
    place = tmp_path_factory.mktemp("export")
    film = write_video(place / "film.mp4", [noise(seed) for seed in range(N_FRAMES)], fps=20.0)
    photo = write(place / "photo.png", noise(9))
    boxes = place / "boxes.csv"
    boxes.write_text(
        "file,x,y,w,h\nfilm.mp4,0,0,60,60\nfilm.mp4,30,10,60,60\nphoto.png,5,5,60,60\n"
    )
    options = PredictOptions(overlays=False, smooth="weak")
    report = predict_images(
        insect_run, [film, photo], place / "out", boxes=read_boxes(boxes), options=options
    )
    assert not report.failed
    return place / "out"


def joints_of(predictions: Path, source: str, animal: int) -> np.ndarray:
    with np.load(predictions / "parameters.npz") as arrays:
        chosen = (arrays["source_name"] == source) & (arrays["animal"] == animal)
        return arrays["joints_3d"][chosen].astype(np.float64)


@pytest.mark.parametrize("animal", [0, 1])
def test_joints_of_the_file_are_those_of_the_prediction_in_every_frame(
    predictions: Path, tmp_path: Path, animal: int
) -> None:
    out = tmp_path / "film.glb"
    report = export_predictions(predictions, "glb", out, wanted=Wanted("film", animal))
    assert (report.files, report.n_frames) == ((out,), N_FRAMES)
    assert not any("one shape" in note for note in report.notes)
    player = Player(out)
    np.testing.assert_allclose(player.times, np.arange(N_FRAMES) / 20.0, atol=1e-6)
    expected = joints_of(predictions, "film", animal)
    found = np.stack([player.joints(key) for key in range(N_FRAMES)]) * [-10.0, 10.0, -10.0]
    body_length = SmilModel.builtin().body_length
    assert np.linalg.norm(found - expected, axis=-1).max() < 1e-4 * body_length


def test_range_of_frames(predictions: Path, tmp_path: Path) -> None:
    wanted = Wanted("film", 0, FrameRange(1, 4, 2))
    export_predictions(predictions, "glb", tmp_path / "film.glb", wanted=wanted)
    player = Player(tmp_path / "film.glb")
    assert player.gltf.cameras[0].extras["frames"] == [1, 3]
    expected = joints_of(predictions, "film", 0)[3]
    np.testing.assert_allclose(player.joints(1) * [-10.0, 10.0, -10.0], expected, atol=1e-4)


def test_source_may_be_given_as_the_tables_have_it(predictions: Path, tmp_path: Path) -> None:
    photo = str(predictions.parent / "photo.png")
    report = export_predictions(predictions, "obj", tmp_path / "a.obj", wanted=Wanted(photo))
    assert report.n_frames == 1


def test_meshes_of_all_frames_and_animals_go_into_a_folder(
    predictions: Path, tmp_path: Path
) -> None:
    assert run(predictions, "--to", "ply", "--out", str(tmp_path / "meshes")) == 0
    names = sorted(path.name for path in (tmp_path / "meshes").iterdir())
    assert len(names) == 2 * N_FRAMES + 1
    assert (names[0], names[1], names[-1]) == ("film_000000.ply", "film_000000_2.ply", "photo.ply")


@pytest.mark.parametrize("kind", ["glb", "obj", "ply", "usd", "bvh", "npz"])
def test_every_format_takes_a_picture(predictions: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "new" / f"photo.{kind}"
    assert run(predictions, "--to", kind, "--source", "photo", "--out", str(out)) == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def run(predictions: Path, *arguments: str) -> int:
    return main(["export", str(predictions), *arguments])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["glb"], "expected one of the 2 pictures and videos.* choose among film, photo"),
        (["glb", "--source", "other"], "--source other; expected one of film, photo"),
        (["glb", "--source", "film"], "--animal; expected one of the 2 animals.* among 0, 1"),
        (["glb", "--source", "film", "--animal", "7"], "--animal 7; expected one of 0, 1"),
        (
            ["glb", "--source", "film", "--animal", "0", "--frames", "50"],
            "--frames 50:51:1; expected predicted frames, 0 to 4",
        ),
        (
            ["obj", "--source", "film", "--animal", "0"],
            "one frame for a file; found 5 frames; choose one with --frames N, or give a folder",
        ),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    predictions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    sentence: str,
) -> None:
    out = tmp_path / f"a.{arguments[0]}"
    assert run(predictions, "--out", str(out), "--to", *arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(sentence, said), said
    assert not out.exists()


def test_file_with_another_ending_is_refused(
    predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(predictions, "--to", "glb", "--out", str(tmp_path / "a.gltf")) == 2
    assert "expected a file that ends in .glb." in capsys.readouterr().err
    assert run(predictions, "--to", "obj", "--out", str(tmp_path / "a.ply")) == 2
    assert "ends in .obj, or a folder" in capsys.readouterr().err


def test_folder_without_predictions_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--to", "glb", "--out", str(tmp_path / "a.glb")) == 2
    assert "give the folder that smil-ray predict wrote" in capsys.readouterr().err
    np.savez(tmp_path / "parameters.npz", joint_names=np.array(["a"]))
    assert run(tmp_path, "--to", "glb", "--out", str(tmp_path / "a.glb")) == 2
    assert "no predictions; expected a row" in capsys.readouterr().err
    (tmp_path / "parameters.npz").write_bytes(b"no archive")
    assert run(tmp_path, "--to", "glb", "--out", str(tmp_path / "a.glb")) == 2
    assert "damaged" in capsys.readouterr().err


def test_run_that_has_moved_is_asked_for(
    predictions: Path, insect_run: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "results"
    moved.mkdir()
    shutil.copy(predictions / "parameters.npz", moved)
    wanted, out = Wanted("photo"), tmp_path / "a.npz"
    with pytest.raises(CheckpointError, match=r"none named in predict.json; give the run with"):
        export_predictions(moved, "npz", out, wanted=wanted)
    (moved / "predict.json").write_text('{"checkpoint": "/gone"}')
    with pytest.raises(CheckpointError, match="nothing at /gone; give the run with --run"):
        export_predictions(moved, "npz", out, wanted=wanted)
    export_predictions(moved, "npz", out, wanted=wanted, run=insect_run)
    assert out.exists()


def test_run_of_another_body_is_refused(
    predictions: Path, insect_run: Path, tmp_path: Path
) -> None:
    loaded = load_regressor(insect_run)
    source = replace(loaded.model.source, v_template=1.1 * loaded.model.source.v_template)
    other = replace(loaded, model=SmilModel.from_arrays(source))
    with pytest.raises(CheckpointError, match="expected the body model that"):
        export_predictions(
            predictions, "npz", tmp_path / "a.npz", wanted=Wanted("photo"), run=other
        )
