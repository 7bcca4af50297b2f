"""What a network says of a square holds for the whole picture, to the pixel's hundredth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig
from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import ConfigError, DataError
from smil_ray.results.prediction.cameras import unknown_camera
from smil_ray.results.prediction.predictor import Question
from tests.results.prediction.known_animal import (
    CAMERA_PX,
    INPUT_SIZE,
    KnowingNetwork,
    animal,
    card,
    joints_px,
    predictor,
)


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("square", [None, (150, 20, 190), (-40, -90, 500), (211, 83, 41)])
def test_joints_and_camera_are_those_of_the_picture_whatever_square_is_seen(
    model: SmilModel, frame: str, square: tuple[int, int, int] | None
) -> None:
    params = animal(model)
    expected = joints_px(model, params)
    picture = card(expected[:1])
    window = picture.whole if square is None else Window(*square)
    asked = predictor(KnowingNetwork(params, frame), model)
    (answer,) = asked.answer([Question(picture, window, CAMERA_PX)])
    np.testing.assert_allclose(answer.joints_px(), expected, atol=1e-2)
    np.testing.assert_allclose(answer.camera_px, CAMERA_PX, rtol=1e-5)
    # The record's field of view is that of the padded picture, whatever was seen.
    padded = np.degrees(2.0 * np.arctan(0.5 * picture.whole.side / CAMERA_PX[1]))
    assert float(answer.params.fov) == pytest.approx(padded, rel=1e-5)


def test_network_is_told_the_camera_of_the_square(model: SmilModel) -> None:
    network = KnowingNetwork(animal(model))
    window = Window(60, 30, 100)
    predictor(network, model).ask([Question(card(np.zeros((0, 2))), window, CAMERA_PX)])
    np.testing.assert_allclose(network.asked[0], [7.0, 7.0, 1.1, 0.85], rtol=1e-6)


def test_auto_looks_again_at_the_square_around_the_animal_with_its_mean_margin(
    model: SmilModel,
) -> None:
    params = animal(model)
    points = joints_px(model, params)
    network = KnowingNetwork(params)
    asked = predictor(network, model, CropConfig(mode="bbox", margin=(0.2, 0.6), shift=0.1))
    question = Question(card(points[:1]), card(points).whole, CAMERA_PX)
    (answer,) = asked.answer([question])
    box = asked.box_of(answer, question.picture)
    assert (box[:2] <= points.min(axis=0) + 1e-2).all()
    assert (box[2:] >= points.max(axis=0) - 1e-2).all()
    closer = asked.closer(question, box).window
    assert closer.side == pytest.approx(1.4 * (box[2:] - box[:2]).max(), abs=1.0)
    centre = np.array([closer.left, closer.top]) + closer.side / 2
    np.testing.assert_allclose(centre, (box[:2] + box[2:]) / 2, atol=0.51)
    (again,) = asked.answer([asked.closer(question, box)])
    np.testing.assert_allclose(again.joints_px(), points, atol=1e-2)


def test_box_of_an_animal_partly_outside_ends_at_the_edge(model: SmilModel) -> None:
    params = animal(model, (2.8, -0.4, 12.0))  # x is to the left.
    points = joints_px(model, params)
    assert points[:, 0].min() < 0 < points[:, 0].max()
    asked = predictor(KnowingNetwork(params), model)
    question = Question(card(points), card(points).whole, CAMERA_PX)
    left, top, right, bottom = asked.box_of(asked.answer([question])[0], question.picture)
    assert 0.0 <= left < 1.0
    assert left < right < 320
    assert 0 <= top < bottom <= 240


def test_animal_that_is_predicted_outside_the_picture_has_no_box(model: SmilModel) -> None:
    asked = predictor(KnowingNetwork(animal(model, (60.0, 0.0, 12.0))), model)
    picture = card(np.zeros((0, 2)))
    (answer,) = asked.answer([Question(picture, picture.whole, CAMERA_PX)])
    with pytest.raises(DataError, match=r"card\.png: box auto.*predicted outside.*--box none"):
        asked.box_of(answer, picture)


def test_ignored_joints_do_not_widen_the_box(model: SmilModel) -> None:
    params = animal(model)
    tip = model.skeleton.joint_names[-1]
    picture = card(np.zeros((0, 2)))
    question = Question(picture, picture.whole, CAMERA_PX)
    (far,) = predictor(KnowingNetwork(params), model).answer([question])
    joints = far.posed.joints.clone()
    joints[0, -1] = torch.tensor([-2.4, -0.4, 12.0])  # Not where the mesh is.
    far = replace(far, posed=replace(far.posed, joints=joints))
    with_it = predictor(KnowingNetwork(params), model).box_of(far, picture)
    without = predictor(KnowingNetwork(params), model, None, tip).box_of(far, picture)
    assert with_it[2] > without[2] + 40
    np.testing.assert_allclose(with_it[[0, 1, 3]], without[[0, 1, 3]])


@pytest.mark.parametrize("window", [Window(60, 30, 100), Window(-30, -50, 400)])
def test_places_under_heat_maps_are_those_of_the_padded_picture(
    model: SmilModel, window: Window
) -> None:
    network = KnowingNetwork(animal(model))
    dots = np.random.default_rng(0).uniform(0, 200, (model.n_joints, 2))
    network.dots = dots
    picture = card(dots[:1])
    params = predictor(network, model).ask([Question(picture, window, CAMERA_PX)])
    assert params.keypoint_xy is not None
    assert params.keypoint_scale is not None
    np.testing.assert_allclose(
        picture.whole.pixels(params.keypoint_xy[0].numpy()), dots, atol=0.01
    )
    scale_px = params.keypoint_scale[0].numpy() * picture.whole.side
    np.testing.assert_allclose(scale_px, 0.01 * window.side, rtol=1e-5)


def test_network_that_knows_the_camera_needs_it_and_reports_it_as_given(model: SmilModel) -> None:
    params = animal(model)
    points = joints_px(model, params)
    picture = card(points)
    asked = predictor(KnowingNetwork(params, camera="known"), model)
    with pytest.raises(ConfigError, match=r"model\.camera: known.*--fov-deg F.*--intrinsics FX"):
        asked.ask([Question(picture, picture.whole, unknown_camera(picture.size_px))])
    question = Question(picture, Window(60, 30, 100), CAMERA_PX)
    (answer,) = asked.answer([question])
    np.testing.assert_array_equal(answer.camera_px, CAMERA_PX)
    np.testing.assert_allclose(answer.joints_px(), points, atol=1e-4)


@pytest.mark.parametrize(
    "window", [Window(0, -40, 320), Window(100, 40, 96), Window(90, 60, 60), Window(-30, -50, 400)]
)
def test_pixels_of_a_square_are_where_its_fractions_say(window: Window) -> None:
    point = np.array([140.25, 101.5])
    picture = card(point[None])
    seen = picture.cut(window, INPUT_SIZE).astype(float).sum(axis=2)
    rows, columns = np.mgrid[:INPUT_SIZE, :INPUT_SIZE]
    centre = np.array([(columns * seen).sum(), (rows * seen).sum()]) / seen.sum() + 0.5
    np.testing.assert_allclose(centre / INPUT_SIZE, window.points(point), atol=0.25 / window.side)
    np.testing.assert_allclose(window.pixels(window.points(point)), point)


def test_square_beside_the_picture_is_black() -> None:
    picture = card(np.array([[5.0, 5.0]]))
    assert not picture.cut(Window(400, 10, 50), 32).any()
