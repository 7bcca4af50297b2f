"""Results of predict refined: to labels, to heat maps, with a table of what became of each."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from smil_ray.data.replicant.coordinates import project
from smil_ray.errors import ConfigError, DataError
from smil_ray.results.keypoints import read_keypoints
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.rows import PARAMETERS, params_of
from smil_ray.results.refinement import priors
from smil_ray.results.refinement.refine import RefineOptions, refine_results
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.results.prediction.known_animal import (
    CAMERA_PX,
    HEIGHT,
    WIDTH,
    KnowingNetwork,
    animal,
    card,
    joints_px,
)
from tests.results.prediction.prediction_files import record, table, write, write_video


@pytest.fixture(scope="module", autouse=True)
def few_poses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(priors, "POSES", 100)
        yield


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
    report = refine_results(loaded, results, tmp_path / "out", RefineOptions(keypoints))
    assert (report.n_fitted, report.n_accepted) == (1, 1)
    a, b = (record(tmp_path / "out", name)["joints_2d_px"] for name in "ab")
    np.testing.assert_array_equal(a, record(results, "a")["joints_2d_px"])
    assert np.linalg.norm(b - dots, axis=1).mean() < 2.0
    row = table(tmp_path / "out", "refinement.csv")[1]
    assert float(row["keypoint_2d_after"]) < float(row["keypoint_2d_before"])
    assert {"pose_prior_before", "joint_limits_after", "silhouette_after"} <= set(row)


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


def test_masks_are_found_by_name_and_must_fit_their_pictures(made: tuple, tmp_path: Path) -> None:
    loaded, results, _ = made
    masks = tmp_path / "masks"
    masks.mkdir()
    options = RefineOptions(masks=masks)
    with pytest.raises(DataError, match=r"masks: no masks; expected PNG files named as"):
        refine_results(loaded, results, tmp_path / "out", options)
    write(masks / "a.png", outline(loaded))
    refine_results(loaded, results, tmp_path / "out", options)
    rows = table(tmp_path / "out", "refinement.csv")
    assert float(rows[0]["silhouette_before"]) > 0.0
    assert float(rows[1]["silhouette_before"]) == 0.0
    write(masks / "b_ID.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(DataError, match=r"size of the mask; expected 320 x 240 px.*20 x 20"):
        refine_results(loaded, results, tmp_path / "out", options)


def outline(loaded: LoadedRegressor) -> np.ndarray:
    """The animal in white."""
    params = animal(loaded.model)
    vertices = loaded.model.pose(params).skin()[0].numpy().astype(np.float64)
    xy = project(vertices, np.eye(3), np.zeros(3), CAMERA_PX)[0]
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for face in loaded.model.faces.numpy():
        cv2.fillConvexPoly(mask, xy[face].round().astype(np.int32), (255, 255, 255))
    return mask


def test_from_scratch_finds_the_animal_without_its_prediction(made: tuple, tmp_path: Path) -> None:
    loaded, results, dots = made
    report = refine_results(loaded, results, tmp_path / "out", RefineOptions(from_scratch=True))
    assert (report.n_fitted, report.n_accepted) == (2, 2)
    found = record(tmp_path / "out", "a")
    assert np.linalg.norm(found["joints_2d_px"] - dots, axis=1).mean() < 3.0
    rows = {name: found[name][None] for name in (*PARAMETERS, "frame") if name in found}
    again = loaded.model.pose(params_of(rows))
    np.testing.assert_allclose(again.joints[0].numpy(), found["joints_3d"], atol=1e-4)


def test_frames_of_a_video_get_one_shape(made: tuple, tmp_path: Path) -> None:
    loaded = made[0]
    film = write_video(tmp_path / "film.avi", [card(made[2]).rgb] * 5)
    camera = KnownCamera.from_pixels(CAMERA_PX.tolist())
    options = PredictOptions(overlays=False)
    predict_images(loaded, [film], tmp_path / "p", camera=camera, boxes="none", options=options)
    report = refine_results(loaded, tmp_path / "p", tmp_path / "out")
    assert report.n_accepted == 5
    with np.load(tmp_path / "out" / "parameters.npz") as arrays:
        assert np.abs(np.diff(arrays["betas"], axis=0)).max() < 1e-6
        assert arrays["frame"].tolist() == [0, 1, 2, 3, 4]
