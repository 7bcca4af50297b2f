"""What a prediction leaves besides rows: intervals, frames to label, smoothed videos, motion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smil_ray.results.motion.smoothing import jitter
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.uncertainty.conformal import JointIntervals
from smil_ray.training.checkpoint.loading import LoadedRegressor
from tests.results.prediction.known_animal import (
    CAMERA_PX,
    KnowingNetwork,
    animal,
    card,
    joints_px,
)
from tests.results.prediction.prediction_files import table, write, write_video

QUICK = PredictOptions(overlays=False)


def arrays(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "parameters.npz") as found:
        return {name: found[name] for name in found.files}


@pytest.fixture
def film(photo: np.ndarray, tmp_path: Path) -> Path:
    """A video of 20 frames of a photograph under changing noise."""
    rng = np.random.default_rng(0)
    noise = (rng.normal(0.0, 40.0, photo.shape) for _ in range(20))
    frames = [np.clip(photo + each, 0, 255).astype(np.uint8) for each in noise]
    return write_video(tmp_path / "film.avi", frames, fps=50.0)


def test_intervals_are_in_every_row_and_scale_with_the_square(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    intervals = JointIntervals.load(loaded.path.absolute().parents[1])
    assert intervals is not None
    assert not intervals.is_scaled
    path = write(tmp_path / "a.png", photo)
    report = predict_images(loaded, [path], tmp_path / "out", options=QUICK)
    assert report.notes == ()
    rows = table(tmp_path / "out")
    found = [float(row["interval_2d_px"]) for row in rows]
    np.testing.assert_allclose(found, 64 * intervals.radius_2d, rtol=1e-5)
    assert rows[0]["interval_3d_pct_bl"] == rows[0]["confidence"] == ""
    found = [float(row["interval_3d_pct_bl"]) for row in rows[1:]]
    np.testing.assert_allclose(found, intervals.radius_3d[1:], rtol=1e-5)


def test_intervals_of_a_network_without_3d_labels_leave_their_column_empty(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    run = loaded.path.absolute().parents[1]
    intervals = JointIntervals.load(run)
    assert intervals is not None
    replace(intervals, radius_3d=np.full_like(intervals.radius_3d, np.nan)).save(run)
    try:
        predict_images(loaded, [write(tmp_path / "a.png", photo)], tmp_path / "out", options=QUICK)
    finally:
        intervals.save(run)
    (animal_row,) = table(tmp_path / "out", "animals.csv")
    assert animal_row["mean_interval_3d_pct_bl"] == ""
    rows = table(tmp_path / "out")
    assert {row["interval_3d_pct_bl"] for row in rows} == {""}
    assert all(row["interval_2d_px"] for row in rows)


def test_intervals_of_other_weights_are_not_used(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    sums = {**loaded.meta["sha256"], "model.safetensors": "other"}
    other = replace(loaded, meta={**loaded.meta, "sha256": sums})
    report = predict_images(other, [path], tmp_path / "out", options=QUICK)
    assert "those of the run are of another checkpoint; `smil-ray calibrate" in report.notes[-1]
    assert {row["interval_2d_px"] for row in table(tmp_path / "out")} == {""}


def test_frames_are_ranked_where_the_head_says_how_sure_it_is(
    loaded: LoadedRegressor, tmp_path: Path
) -> None:
    params = animal(loaded.model)
    network = KnowingNetwork(params)
    network.dots = joints_px(loaded.model, params)
    knowing = replace(loaded, regressor=network)
    paths = [write(tmp_path / f"{name}.png", card(network.dots).rgb) for name in "abc"]
    camera = KnownCamera.from_pixels(CAMERA_PX.tolist())
    options = replace(QUICK, rank_uncertain=2)
    predict_images(knowing, paths, tmp_path / "out", camera=camera, options=options)
    rows = table(tmp_path / "out", "to_label.csv")
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert float(rows[0]["uncertainty_pct_of_square"]) == pytest.approx(1.0, abs=0.02)
    assert "Frames most worth labelling" in (tmp_path / "out" / "summary.html").read_text()


def test_head_that_says_nothing_of_its_error_ranks_nothing_and_says_so(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    options = replace(QUICK, rank_uncertain=2)
    report = predict_images(loaded, [path], tmp_path / "out", options=options)
    assert "no frames are ranked" in report.notes[-1]
    assert not (tmp_path / "out" / "to_label.csv").exists()


def test_smoothed_video_has_one_shape_less_jitter_and_joints_of_its_parameters(
    loaded: LoadedRegressor, film: Path, photo: np.ndarray, tmp_path: Path
) -> None:
    still = write(tmp_path / "still.png", photo)
    plain, smooth = tmp_path / "plain", tmp_path / "smooth"
    predict_images(loaded, [film, still], plain, options=QUICK)
    predict_images(loaded, [film, still], smooth, options=replace(QUICK, smooth="medium"))
    before, after = arrays(plain), arrays(smooth)
    assert before["betas"][:20].std(axis=0).max() > 0
    assert np.ptp(after["betas"][:20], axis=0).max() == 0
    np.testing.assert_allclose(after["betas"][0], before["betas"][:20].mean(axis=0), atol=1e-5)
    jitters = [jitter(found["joints_3d"][:20]).mean() for found in (before, after)]
    assert jitters[1] < 0.5 * jitters[0]
    for name in before:  # Pictures stay as they are.
        np.testing.assert_array_equal(before[name][20], after[name][20], err_msg=name)
    fx, fy, cx, cy = after["camera_px"].T[..., None]
    x, y, z = np.moveaxis(after["joints_3d"], 2, 0)
    expected = np.stack([cx - fx * x / z, cy - fy * y / z], axis=2)
    np.testing.assert_allclose(after["joints_2d_px"], expected, atol=1e-2)
    assert "jitter" in (smooth / "summary.html").read_text()


def test_motion_of_a_video_is_tabulated_frame_by_frame(
    loaded: LoadedRegressor, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict_images(loaded, [film], out, options=QUICK)
    rows = table(out, "joint_angles.csv")
    knee = [row for row in rows if (row["joint"], row["angle"]) == ("l_1_fe_l", "flexion")]
    assert [int(row["frame"]) for row in knee] == list(range(20))
    joints = arrays(out)["joints_3d"].astype(np.float64)
    index = loaded.model.skeleton.index
    hip, middle, end = (joints[:, index[f"l_1_{part}_l"]] for part in ("tr", "fe", "ti"))
    cos = ((middle - hip) * (end - middle)).sum(axis=1)
    cos /= np.linalg.norm(middle - hip, axis=1) * np.linalg.norm(end - middle, axis=1)
    found = [float(row["value_deg"]) for row in knee]
    np.testing.assert_allclose(found, np.degrees(np.arccos(cos)), atol=0.1)
    speeds = [float(row["velocity_deg_s"]) for row in knee]
    np.testing.assert_allclose(speeds, np.gradient(found, 0.02), rtol=1e-4, atol=1e-3)
    feet = {row["foot"] for row in table(out, "gait.csv")}
    assert feet == {f"l_{n}_pt_{side}" for n in (1, 2, 3) for side in "lr"}
    assert {path.name for path in (out / "motion").iterdir()} == {
        "film_angles.png",
        "film_gait.png",
    }
    assert "Gait diagram: film" in (out / "summary.html").read_text()
