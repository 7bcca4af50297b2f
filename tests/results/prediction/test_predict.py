"""Prediction: files for every picture, pixels of the file, broken pictures named and skipped."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.views import Picture
from smil_ray.training.checkpoint.loading import LoadedRegressor
from tests.results.prediction.prediction_files import record, table, write


def test_every_picture_gets_parameters_joints_and_an_overlay(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{name}.png", photo + add) for name, add in (("a", 0), ("b.1", 9))]
    seen: list[tuple[str, int, int]] = []
    out = tmp_path / "deep" / "out"
    report = predict_images(
        loaded,
        paths,
        out,
        options=PredictOptions(batch_size=1),
        progress=lambda *done: seen.append(done),
    )
    assert (report.done, report.failed, report.found_done) == (("a", "b.1"), {}, 0)
    assert [(what, done) for what, done, total in seen if total == 2] == [
        *(("predicting", 1), ("predicting", 2)),
        *(("drawing", 1), ("drawing", 2)),
    ]
    assert {path.name for path in out.iterdir()} == {
        *("predictions.csv", "predictions.parquet", "animals.csv", "parameters.npz"),
        *("overlays", "summary.html", "parts", "predict.json"),
    }
    names = list(loaded.model.skeleton.joint_names)
    found = record(out, "a")
    assert found["joint_names"].tolist() == names
    assert found["joints_3d"].shape == (55, 3)
    assert found["joint_rot"].shape == (54, 3)
    rows = table(out)
    assert [row["joint"] for row in rows] == 2 * names
    assert [row["name"] for row in rows] == 55 * ["a"] + 55 * ["b.1"]
    pixels = [[float(row["x_px"]), float(row["y_px"])] for row in rows[:55]]
    np.testing.assert_allclose(pixels, found["joints_2d_px"], rtol=1e-6)
    places = [[float(row[f"{axis}_cam"]) for axis in "xyz"] for row in rows[:55]]
    np.testing.assert_allclose(places, found["joints_3d"], rtol=1e-6)
    tidy = parquet.read_table(out / "predictions.parquet").to_pydict()
    np.testing.assert_allclose(tidy["x_px"], [float(row["x_px"]) for row in rows], rtol=1e-6)
    assert list(tidy) == list(rows[0])
    assert tidy["time_s"][0] is None
    overlay = cv2.imread(str(out / "overlays" / "a.png"))
    assert overlay is not None
    assert overlay.shape == (64, 128, 3)
    page = (out / "summary.html").read_text()
    assert "data:image/jpeg" in page
    assert "http" not in page


@pytest.mark.parametrize("padding", [((0, 0), (17, 17)), ((11, 11), (0, 0))])
def test_joints_of_a_picture_that_is_not_square_are_pixels_of_the_file(
    loaded: LoadedRegressor, photo: np.ndarray, padding: tuple, tmp_path: Path
) -> None:
    """A picture and its padded square look the same to the network, but pixels differ."""
    (top, bottom), (left, right) = padding
    cut = photo[top : 64 - bottom, left : 64 - right]
    square = np.zeros_like(photo)
    square[top : 64 - bottom, left : 64 - right] = cut
    out = tmp_path / "out"
    paths = [write(tmp_path / f"{n}.png", rgb) for n, rgb in (("cut", cut), ("square", square))]
    predict_images(loaded, paths, out)
    of_cut, of_square = record(out, "cut"), record(out, "square")
    np.testing.assert_allclose(of_cut["joints_3d"], of_square["joints_3d"], atol=1e-6)
    difference = of_square["joints_2d_px"] - of_cut["joints_2d_px"]
    np.testing.assert_allclose(difference, np.tile([left, top], (55, 1)), atol=1e-4)


def test_fractions_of_the_square_are_pixels_of_the_file() -> None:
    picture = Picture(Path(), np.zeros((30, 100, 3), np.uint8))
    corners = picture.whole.pixels(np.array([[0.0, 0.35], [1.0, 0.65], [0.5, 0.5]]))
    np.testing.assert_allclose(corners, [[0, 0], [100, 30], [50, 15]])
    assert picture.cut(picture.whole, 50).shape == (50, 50, 3)


def test_broken_pictures_are_named_and_the_rest_is_done(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    good = write(tmp_path / "good.jpg", photo)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:-200])
    text, empty = tmp_path / "text.jpg", tmp_path / "empty.png"
    text.write_text("not a picture")
    empty.write_bytes(b"")
    out = tmp_path / "out"
    report = predict_images(loaded, [cut, good, text, empty], out)
    assert report.done == ("good",)
    assert set(report.failed) == {str(cut), str(text), str(empty)}
    assert "damaged JPEG" in report.failed[str(cut)]
    assert {row["source"] for row in table(out)} == {str(good)}
    assert "damaged JPEG" in (out / "summary.html").read_text()


def test_name_in_another_encoding_is_reported_and_the_rest_is_done(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    good = write(tmp_path / "good.png", photo)
    foreign = tmp_path / os.fsdecode("k\xe4fer.png".encode("latin1"))
    foreign.write_bytes(good.read_bytes())
    report = predict_images(loaded, [good, foreign], tmp_path / "out")
    assert report.done == ("good",)
    ((name, reason),) = report.failed.items()
    assert name.endswith("k\\udce4fer.png")
    assert "expected a name in UTF-8" in reason


def test_checkpoint_body_settings_pose_the_prediction(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    joints = {}
    for rest in ("static", "regressed"):
        body = loaded.config.body.model_copy(update={"rest_joints": rest})
        changed = replace(loaded, config=loaded.config.model_copy(update={"body": body}))
        predict_images(changed, [path], tmp_path / rest)
        joints[rest] = record(tmp_path / rest, "a")["joints_3d"]
    assert np.abs(joints["static"] - joints["regressed"]).max() > 1e-5


def test_pictures_of_one_name_do_not_overwrite_each_other(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    names = ("x/p.png", "y/p.png", "y/p_2.png", "z/p.png")
    paths = [write(tmp_path / name, photo) for name in names]
    report = predict_images(loaded, paths, tmp_path / "out")
    assert sorted(report.done) == ["p", "p_2", "p_3", "p_4"]
    assert len(list((tmp_path / "out" / "overlays").glob("*.png"))) == 4


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photo_stored_on_its_side_is_predicted_like_the_upright_one(
    loaded: LoadedRegressor, photo: np.ndarray, orientation: int, tmp_path: Path
) -> None:
    upright = photo[:40]
    turns = {1: 0, 3: 2, 6: 1, 8: -1}
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright, turns[orientation])))
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "stored.png", exif=exif)
    paths = [tmp_path / "stored.png", write(tmp_path / "upright.png", upright)]
    report = predict_images(loaded, paths, tmp_path / "out")
    found, expected = (record(tmp_path / "out", path.stem) for path in paths)
    np.testing.assert_allclose(found["joints_2d_px"], expected["joints_2d_px"], atol=1e-4)
    assert found["size_px"].tolist() == expected["size_px"].tolist() == [64, 40]
    assert expected["notes"] == ""
    if orientation > 1:
        note = f"turned upright (EXIF orientation {orientation})"
        assert found["notes"] == note
        assert "1 turned upright, as EXIF says; pixels" in report.notes[-1]


def test_picture_of_12_in_16_bits_is_scaled_and_says_so(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    grey = photo[..., 0].astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.tif"), grey * 13 + 432)
    report = predict_images(loaded, [tmp_path / "deep.tif"], tmp_path / "out")
    assert report.notes[-1] == "1 of more than 8 bits, each scaled by its own range"
    notes = record(tmp_path / "out", "deep")["notes"]
    low, high = int(grey.min()) * 13 + 432, int(grey.max()) * 13 + 432
    assert notes == f"16 bits: {low} to {high} became 0 to 255"


def test_run_folder_is_enough_to_predict(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    report = predict_images(str(loaded.path), [path], tmp_path / "out")
    assert report.done == ("a",)
