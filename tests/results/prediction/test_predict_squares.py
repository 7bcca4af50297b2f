"""Prediction in squares and with known cameras: which are taken, what is written, what is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smil_ray.config import CropConfig
from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import ConfigError
from smil_ray.results.prediction.boxes import read_boxes
from smil_ray.results.prediction.cameras import KnownCamera, unknown_camera
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.predictor import Predictor, Question
from smil_ray.results.prediction.views import Picture
from smil_ray.training.checkpoint.loading import LoadedRegressor
from tests.results.prediction.known_animal import (
    CAMERA_PX,
    KnowingNetwork,
    animal,
    card,
    joints_px,
)
from tests.results.prediction.prediction_files import record, table, write


def crop_trained(loaded: LoadedRegressor, **settings: Any) -> LoadedRegressor:
    crop = CropConfig(mode="bbox", **settings).model_dump(mode="json")
    return replace(loaded, meta={**loaded.meta, "crop": crop})


def test_boxes_of_a_file_give_a_result_each_and_what_lacks_one_is_named(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{name}.png", photo) for name in "abc"]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "file,x,y,w,h\na.png,10,10,20,30\na.png,30,30,20,20\nb.png,300,0,9,9\nd.png,1,1,2,2\n"
    )
    out = tmp_path / "out"
    report = predict_images(crop_trained(loaded), paths, out, boxes=read_boxes(boxes))
    assert report.done == ("a", "a_2")
    assert set(report.failed) == {str(paths[1]), str(paths[2])}
    assert "box outside the picture" in report.failed[str(paths[1])]
    assert "has no box of it" in report.failed[str(paths[2])]
    assert any("1 other images, such as 'd.png'" in note for note in report.notes)
    # The side is the longer one of the box with the mean margin of training, 0.35.
    assert record(out, "a")["window"].tolist() == [0, 4, 41]
    assert record(out, "a_2")["window"][2] == 27
    assert {(row["animal"], row["name"]) for row in table(out)} == {("0", "a"), ("1", "a_2")}


def test_network_trained_on_crops_looks_twice_unless_told_otherwise(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    trained = crop_trained(loaded, margin=(0.1, 0.3))
    auto, whole = tmp_path / "auto", tmp_path / "whole"
    assert predict_images(trained, [path], auto).notes == ()
    report = predict_images(trained, [path], whole, boxes="none")
    assert any("trained on crops" in note for note in report.notes)
    assert record(whole, "a")["window"].tolist() == [0, 0, 64]
    predictor = Predictor.of(trained)
    picture = Picture(path, photo)
    question = Question(picture, picture.whole, unknown_camera(picture.size_px))
    box = predictor.box_of(predictor.answer([question])[0], picture)
    window = predictor.closer(question, box).window
    assert record(auto, "a")["window"].tolist() == [window.left, window.top, window.side]
    assert window.side == pytest.approx(1.2 * (box[2:] - box[:2]).max(), abs=1.0)


def test_network_trained_on_whole_pictures_sees_them_whole_and_says_so_otherwise(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    assert predict_images(loaded, [path], tmp_path / "out").notes == ()
    assert record(tmp_path / "out", "a")["window"].tolist() == [0, 0, 64]
    report = predict_images(loaded, [path], tmp_path / "auto", boxes="auto")
    assert any("trained on whole pictures" in note for note in report.notes)


def test_2d_joints_are_the_3d_ones_through_the_recorded_camera(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo[:, :50])
    for boxes in ("none", "auto"):
        predict_images(loaded, [path], tmp_path / boxes, boxes=boxes)
        found = record(tmp_path / boxes, "a")
        fx, fy, cx, cy = found["camera_px"]
        x, y, z = found["joints_3d"].T
        expected = [cx - fx * x / z, cy - fy * y / z]
        np.testing.assert_allclose(found["joints_2d_px"], np.transpose(expected), atol=1e-3)
        assert (cx, cy) == (25.0, 32.0)
        (row,) = table(tmp_path / boxes, "animals.csv")
        fov = np.degrees(2 * np.arctan(0.5 * 64 / fy))
        assert float(row["vertical_fov_deg"]) == pytest.approx(fov)


def test_camera_given_to_a_network_that_predicts_it_moves_the_centre_only_with_a_note(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    camera = KnownCamera.from_pixels([9.0, 9.0, 40.0, 30.0])
    predict_images(loaded, [path], tmp_path / "plain")
    report = predict_images(loaded, [path], tmp_path / "told", camera=camera)
    assert any("uses the principal point only" in note for note in report.notes)
    plain, told = (record(tmp_path / name, "a")["camera_px"] for name in ("plain", "told"))
    assert told[2:].tolist() == [40.0, 30.0]
    assert told[0] == pytest.approx(plain[0])


def test_picture_that_the_file_of_cameras_lacks_is_named(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{name}.png", photo) for name in "ab"]
    (tmp_path / "cameras.csv").write_text("file,fx,fy,cx,cy\na.png,90,90,32,32\n")
    camera = KnownCamera.read(tmp_path / "cameras.csv")
    report = predict_images(loaded, paths, tmp_path / "out", camera=camera)
    assert report.done == ("a",)
    assert "no line of it" in report.failed[str(paths[1])]


def test_places_of_heat_maps_are_written_in_pixels_beside_the_parameters(
    loaded: LoadedRegressor, tmp_path: Path
) -> None:
    params = animal(loaded.model)
    network = KnowingNetwork(params)
    network.dots = joints_px(loaded.model, params)
    knowing = crop_trained(replace(loaded, regressor=network))
    path = write(tmp_path / "a.png", card(network.dots).rgb)
    camera = KnownCamera.from_pixels(CAMERA_PX.tolist())
    predict_images(knowing, [path], tmp_path / "out", camera=camera)
    found = record(tmp_path / "out", "a")
    np.testing.assert_allclose(found["keypoints_px"], network.dots, atol=0.02)
    np.testing.assert_allclose(found["joints_2d_px"], network.dots, atol=0.02)
    side = found["window"][2]
    np.testing.assert_allclose(found["keypoint_scale_px"], 0.01 * side, rtol=1e-4)
    confidence = [float(row["confidence"]) for row in table(tmp_path / "out")]
    np.testing.assert_allclose(confidence, 1.0 - 6.0 * np.exp(-5.0), rtol=1e-4)


def test_network_that_needs_the_camera_ends_before_anything_is_written(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    known = replace(loaded, regressor=KnowingNetwork(animal(loaded.model), camera="known"))
    with pytest.raises(ConfigError, match=r"known camera.*give --fov-deg F"):
        predict_images(known, [path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = predict_images(known, [path], tmp_path / "out", camera=KnownCamera.from_fov(40.0))
    assert (report.done, report.notes) == (("a",), ())
    (row,) = table(tmp_path / "out", "animals.csv")
    assert float(row["vertical_fov_deg"]) == pytest.approx(40.0)


def test_square_of_a_long_strip_needs_no_more_memory_than_the_strip(tmp_path: Path) -> None:
    # The square of 60,000 px a side would have 11 GB.
    strip = np.zeros((1_000, 60_000, 3), dtype=np.uint8)
    strip[:, 30_000:] = 200
    picture = Picture(tmp_path / "strip.png", strip)
    square = picture.cut(picture.whole, 64)
    assert square.shape == (64, 64, 3)
    assert not square[:, :31].any()
    assert not square[:30].any()
    assert not square[34:].any()
    assert square[30:34, 34:].max() > 50
    middle = picture.cut(Window(29_999, 0, 2), 2)
    assert middle[:, 0].max() == 0
    assert middle[:, 1].min() == 200
