"""Prediction with known places of joints: where they come to, what they change, mistakes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from smil_ray.config import ModelConfig
from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import ConfigError
from smil_ray.results.keypoints import Keypoints, read_keypoints
from smil_ray.results.prediction.boxes import read_boxes
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.results.prediction.known_animal import KnowingNetwork, animal, card, joints_px
from tests.results.prediction.prediction_files import record, write, write_video
from tests.results.prediction.told_network import HEAD, told_network

QUICK = PredictOptions(overlays=False)


@pytest.fixture(scope="module")
def told(insect_run: Path) -> LoadedRegressor:
    return told_network(insect_run)


def table(path: Path, *rows: tuple, skeleton: Skeleton) -> Keypoints:
    """Rows of file, joint, x, y, and of videos frame and animal."""
    lines = ["file,joint,x,y,frame,animal"]
    lines += [",".join(map(str, [*row, *[""] * (6 - len(row))])) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return read_keypoints(path, skeleton)


def test_places_reach_the_network_as_fractions_of_the_square_that_it_sees(
    insect_run: Path, tmp_path: Path
) -> None:
    loaded = load_regressor(insect_run)
    params = animal(loaded.model)
    network = KnowingNetwork(params)
    network.config = ModelConfig.model_validate({"head": HEAD})
    loaded = replace(loaded, regressor=network)
    points = joints_px(loaded.model, params)
    path = write(tmp_path / "a.png", card(points[3:4]).rgb)
    name = loaded.model.skeleton.joint_names[3]
    keypoints = table(
        tmp_path / "k.csv", ("a.png", name, *points[3]), skeleton=loaded.model.skeleton
    )
    boxes = tmp_path / "boxes.csv"
    x, y = points[3].tolist()
    boxes.write_text(f"file,x,y,w,h\na.png,{x - 41},{y - 17},111,80\n")
    for number, box in enumerate((read_boxes(boxes), "none", "auto")):
        network.told.clear()
        network.seen.clear()
        out = tmp_path / str(number)
        predict_images(loaded, [path], out, boxes=box, keypoints=keypoints, options=QUICK)
        assert len(network.told) == (2 if box == "auto" else 1)
        given = network.told[-1]
        assert given is not None
        left, top, side = record(out, "a")["window"]
        found = given[0, 3].numpy() * side + [left, top]
        np.testing.assert_allclose(found, points[3], atol=0.01)
        assert torch.isnan(given[0, [0, 1, 2, 4]]).all()
        # The dot that was drawn there is there in what the network saw.
        seen = network.seen[-1].double().sum(dim=0).numpy()
        rows, columns = np.mgrid[: seen.shape[0], : seen.shape[1]]
        dot = np.array([(columns * seen).sum(), (rows * seen).sum()]) / seen.sum() + 0.5
        np.testing.assert_allclose(dot / len(seen), given[0, 3], atol=0.25 / len(seen))


def test_told_root_pulls_the_animal_and_other_pictures_stay_as_they_are(
    told: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{name}.png", photo) for name in "ab"]
    skeleton = told.model.skeleton
    keypoints = table(tmp_path / "k.csv", ("b.png", "b_t", 12.0, 44.0), skeleton=skeleton)
    assert skeleton.joint_names[0] == "b_t"
    predict_images(told, paths, tmp_path / "plain", options=QUICK)
    predict_images(told, paths, tmp_path / "told", keypoints=keypoints, options=QUICK)
    plain, found = (record(tmp_path / out, "b") for out in ("plain", "told"))
    aim = np.array([12.0, 44.0])
    before, after = (np.linalg.norm(r["joints_2d_px"][0] - aim) for r in (plain, found))
    assert before > 15.0
    assert after < 0.4 * before
    # What the network's own heat maps saw stays what they saw.
    np.testing.assert_allclose(found["keypoints_px"], plain["keypoints_px"], atol=1e-3)
    untold, same = (record(tmp_path / out, "a") for out in ("plain", "told"))
    for name in ("joints_3d", "joints_2d_px", "global_rot", "keypoints_px"):
        np.testing.assert_allclose(same[name], untold[name], atol=1e-4)


def test_results_of_other_keypoints_are_never_mixed(
    told: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path, skeleton = write(tmp_path / "a.png", photo), told.model.skeleton
    first = table(tmp_path / "k.csv", ("a.png", "b_t", 12.0, 44.0), skeleton=skeleton)
    other = table(tmp_path / "k.csv", ("a.png", "b_t", 12.0, 45.0), skeleton=skeleton)
    out = tmp_path / "out"
    predict_images(told, [path], out, keypoints=first, options=QUICK)
    again = predict_images(told, [path], out, keypoints=first, options=QUICK)
    assert again.found_done == 1
    for keypoints in (other, None):
        with pytest.raises(ConfigError, match=r"results of another keypoints.*--fresh"):
            predict_images(told, [path], out, keypoints=keypoints, options=QUICK)
    fresh = replace(QUICK, fresh=True)
    assert predict_images(told, [path], out, keypoints=other, options=fresh).found_done == 0


def test_frames_and_animals_that_do_not_exist_are_named(
    told: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    paths = [
        write(tmp_path / "a.png", photo),
        write_video(tmp_path / "f.mp4", [photo] * 3),
        write(tmp_path / "b.png", photo),
    ]
    rows = [("a.png", "b_t", 3, 4, "", 1), ("f.mp4", "b_t", 3, 4, 3, 0), ("c.png", "b_t", 3, 4)]
    keypoints = table(tmp_path / "k.csv", *rows, skeleton=told.model.skeleton)
    report = predict_images(told, paths, tmp_path / "out", keypoints=keypoints, options=QUICK)
    assert report.done == ("b",)
    assert "no animal 1; expected one of [0]" in report.failed[str(paths[0])]
    assert "expected a frame below 3, counted from 0; found 3" in report.failed[str(paths[1])]
    assert any("k.csv: 1 other images, such as 'c.png'" in note for note in report.notes)


def test_network_that_was_not_trained_with_prompts_says_how_to_train_one(
    loaded: LoadedRegressor, photo: np.ndarray, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.png", photo)
    keypoints = table(tmp_path / "k.csv", ("a.png", "b_t", 3, 4), skeleton=loaded.model.skeleton)
    with pytest.raises(ConfigError, match=r"prompts.*--set model\.head\.prompt_share=0\.3"):
        predict_images(loaded, [path], tmp_path / "out", keypoints=keypoints)
    assert not (tmp_path / "out").exists()
