"""Results of predict refined: to labels, to heat maps, with a table of what became of each."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smil_ray.errors import ConfigError, DataError
from smil_ray.results.keypoints import read_keypoints
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.refine import refine_results
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.results.prediction.known_animal import (
    CAMERA_PX,
    KnowingNetwork,
    animal,
    card,
    joints_px,
)
from tests.results.prediction.prediction_files import record, table, write


@pytest.fixture(scope="module")
def made(insect_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """Results of a network that sees every joint 6 px right of where its body has it."""
    place = tmp_path_factory.mktemp("made")
    loaded = load_regressor(insect_run)
    params = animal(loaded.model)
    network = KnowingNetwork(params)
    network.dots = joints_px(loaded.model, params) + np.array([6.0, 0.0])
    knowing = replace(loaded, regressor=network)
    paths = [write(place / f"{name}.png", card(network.dots).rgb) for name in "ab"]
    camera = KnownCamera.from_pixels(CAMERA_PX.tolist())
    options = PredictOptions(overlays=False)
    predict_images(knowing, paths, place / "out", camera=camera, boxes="none", options=options)
    return knowing, place / "out", network.dots


def test_heat_maps_pull_the_body_to_where_they_saw_it(made: tuple, tmp_path: Path) -> None:
    loaded, results, dots = made
    report = refine_results(loaded, results, tmp_path / "out")
    assert (report.n_fitted, report.n_accepted) == (2, 2)
    assert report.error_px[0] == pytest.approx(6.0, abs=0.05)
    assert report.error_px[1] < 1.0
    found = record(tmp_path / "out", "a")
    assert np.linalg.norm(found["joints_2d_px"] - dots, axis=1).mean() < 1.0
    fx, fy, cx, cy = found["camera_px"]
    x, y, z = found["joints_3d"].T
    expected = np.stack([cx - fx * x / z, cy - fy * y / z], axis=1)
    np.testing.assert_allclose(found["joints_2d_px"], expected, atol=1e-2)
    rows = table(tmp_path / "out", "refinement.csv")
    assert [row["accepted"] for row in rows] == ["true", "true"]
    assert float(rows[0]["error_2d_px_after"]) < float(rows[0]["error_2d_px_before"])


def test_labels_of_one_picture_move_that_one_only(made: tuple, tmp_path: Path) -> None:
    loaded, results, dots = made
    names = loaded.model.skeleton.joint_names
    labels = tmp_path / "labels.csv"
    with labels.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "joint", "x", "y"])
        writer.writerows(["b.png", names[j], *dots[j]] for j in range(0, 55, 3))
    keypoints = read_keypoints(labels, loaded.model.skeleton)
    report = refine_results(loaded, results, tmp_path / "out", keypoints=keypoints)
    assert (report.n_fitted, report.n_accepted) == (1, 1)
    a, b = (record(tmp_path / "out", name)["joints_2d_px"] for name in "ab")
    np.testing.assert_array_equal(a, record(results, "a")["joints_2d_px"])
    assert np.linalg.norm(b - dots, axis=1).mean() < 2.0


def test_mistakes_are_one_sentence(made: tuple, tmp_path: Path) -> None:
    loaded = made[0]
    with pytest.raises(DataError, match=r"no results; expected a folder that predict wrote"):
        refine_results(loaded, tmp_path / "nothing", tmp_path / "out")
    labels = tmp_path / "labels.csv"
    labels.write_text("file,joint,x,y\nb.png,tarsus,3,4\n")
    with pytest.raises(ConfigError, match=r"labels\.csv: joint: unknown joint 'tarsus'"):
        read_keypoints(labels, loaded.model.skeleton)
    labels.write_text("file,x,y\nb.png,3,4\n")
    with pytest.raises(DataError, match=r"expected file,joint,x,y"):
        read_keypoints(labels, loaded.model.skeleton)


def test_heads_without_heat_maps_need_labels(
    insect_run: Path, insect_file: Path, tmp_path: Path
) -> None:
    loaded: LoadedRegressor = load_regressor(insect_run)
    path = write(tmp_path / "a.png", np.full((64, 64, 3), 90, np.uint8))
    options = PredictOptions(overlays=False)
    predict_images(loaded, [path], tmp_path / "out", options=options)
    with pytest.raises(DataError, match=r"expected a head with heat maps.*--keypoints FILE"):
        refine_results(loaded, tmp_path / "out", tmp_path / "refined")
