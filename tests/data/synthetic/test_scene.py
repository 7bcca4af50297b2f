"""Scenes: poses inside limits, animals in view, and everything drawn from the generator given."""

import math

import numpy as np
import pytest
from numpy.random import default_rng

from smil_ray.data.synthetic._appearance import apply_camera, draw_coat
from smil_ray.data.synthetic._background import (
    BACKGROUNDS,
    Palette,
    draw_background,
    draw_occluders,
)
from smil_ray.data.synthetic.animal import RenderBody, pose_animal
from smil_ray.data.synthetic.scene import (
    FILL_RANGE,
    FOV_RANGE_DEG,
    LARGEST_BONE_SCALE,
    LARGEST_SHIFT,
    NEAREST,
    ViewRange,
    draw_animal,
    draw_camera,
    draw_light,
)


@pytest.fixture(scope="module")
def render_body() -> RenderBody:
    return RenderBody.open("builtin")


def test_poses_stay_inside_joint_limits(render_body: RenderBody) -> None:
    limits = render_body.poses.limits
    assert limits is not None
    poses = np.stack(
        [draw_animal(default_rng(i), render_body.anatomy).joint_rot for i in range(60)]
    )
    assert (poses >= limits[1:, :, 0] - 1e-9).all()
    assert (poses <= limits[1:, :, 1] + 1e-9).all()


def test_bone_scales_and_shifts_stay_small(render_body: RenderBody) -> None:
    anatomy = render_body.anatomy
    for seed in range(40):
        animal = draw_animal(default_rng(seed), anatomy)
        scale = 1.0 + animal.scale_weights @ anatomy.scaledirs
        shift = np.einsum("k,kjc->jc", animal.trans_weights, anatomy.transdirs)
        assert np.abs(scale - 1.0).max() <= LARGEST_BONE_SCALE - 1.0 + 1e-9
        limit = LARGEST_SHIFT * anatomy.body_length + 1e-9
        assert np.linalg.norm(shift, axis=1).max() <= limit


def test_animal_beside_another_shares_its_ground(render_body: RenderBody) -> None:
    first = draw_animal(default_rng(0), render_body.anatomy)
    other = draw_animal(default_rng(1), render_body.anatomy, beside=first)
    assert other.trans[2] == first.trans[2]
    assert 0.7 < np.linalg.norm(other.trans - first.trans) / render_body.anatomy.body_length < 1.7


def test_camera_frames_the_animal_when_nothing_may_leave_the_frame(
    render_body: RenderBody,
) -> None:
    for seed in range(25):
        rng = default_rng(seed)
        vertices = pose_animal(render_body, draw_animal(rng, render_body.anatomy), rng).vertices
        camera = draw_camera(rng, vertices, 200)
        cam, pixels = camera.to_camera(vertices), camera.project(vertices)
        extent = np.ptp(pixels, axis=0).max() / 200
        np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.rotation) > 0.0
        assert FOV_RANGE_DEG[0] <= camera.fov_deg <= FOV_RANGE_DEG[1]
        assert cam[:, 2].min() >= NEAREST - 1e-6
        assert 0.9 * FILL_RANGE[0] < extent < 1.05 * FILL_RANGE[1]
        assert (pixels > -4.0).all()
        assert (pixels < 204.0).all()


def test_camera_cuts_the_animal_when_asked_to(render_body: RenderBody) -> None:
    for seed in range(10):
        rng = default_rng(seed)
        vertices = pose_animal(render_body, draw_animal(rng, render_body.anatomy), rng).vertices
        pixels = draw_camera(rng, vertices, 200, ViewRange(out_of_frame=1.0)).project(vertices)
        inside = ((pixels >= 0.0) & (pixels < 200.0)).all(axis=1).mean()
        assert 0.2 < inside < 1.0


def test_light_comes_from_above() -> None:
    for seed in range(20):
        light = draw_light(default_rng(seed))
        assert math.isclose(np.linalg.norm(light.direction), 1.0)
        assert light.direction[2] > 0.3


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_background_repeats_with_its_generator_and_has_texture(name: str) -> None:
    first, again, other = (
        BACKGROUNDS[name](default_rng(seed), 96, Palette.draw(default_rng(seed)))
        for seed in (4, 4, 5)
    )
    assert first.shape == (96, 96, 3)
    assert (first == again).all()
    assert (first != other).any()
    assert first.std() > 3.0


@pytest.mark.parametrize("size", [32, 33, 257])
def test_pictures_of_any_size_can_be_drawn(size: int) -> None:
    for seed in range(8):
        rng = default_rng(seed)
        scene = draw_background(rng, size)
        color, alpha = draw_occluders(rng, size, (-5.0, 3.0, 20.0, 30.0), 3)
        taken = apply_camera(rng, scene, motion_blur=1.0, noise=1.0)
        assert scene.shape == taken.shape == color.shape == (size, size, 3)
        assert scene.dtype == taken.dtype == alpha.dtype == np.uint8


def test_camera_without_effects_keeps_the_grain_away() -> None:
    flat = np.full((64, 64, 3), 90, dtype=np.uint8)
    taken = [apply_camera(default_rng(s), flat, motion_blur=0.0, noise=0.0) for s in range(12)]
    assert any((picture == picture[0, 0]).all() for picture in taken)


def test_coats_differ_between_animals_and_stay_in_range(render_body: RenderBody) -> None:
    coats = np.stack(
        [draw_coat(default_rng(s), render_body.template, render_body.part) for s in range(12)]
    )
    assert coats.min() >= 0.0
    assert coats.max() <= 1.0
    assert np.ptp(coats.mean(axis=1), axis=0).max() > 0.2
