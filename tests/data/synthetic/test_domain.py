"""The laboratory's look: seeded, of any size, and another one than the default domain's."""

import cv2
import numpy as np
import orjson
import pytest
from numpy.random import default_rng

from smil_ray.data.synthetic._lab import ARENAS, FOV_RANGES_DEG, apply_lab_camera, draw_lab_light
from smil_ray.data.synthetic.animal import RenderBody
from smil_ray.data.synthetic.domain import DOMAINS
from smil_ray.data.synthetic.samples import SampleFiles, SynthOptions, open_render_body
from smil_ray.data.synthetic.samples import render_sample as render


@pytest.fixture(scope="module")
def render_body() -> RenderBody:
    return open_render_body(SynthOptions())


def lab(render_body: RenderBody, index: int = 0, **changes: object) -> SampleFiles:
    options = SynthOptions.model_validate({"image_size": 64, "domain": "lab", **changes})
    return render(render_body, options, index)


def test_lab_repeats_with_its_seed_and_changes_only_the_look(render_body: RenderBody) -> None:
    first, again, other = lab(render_body), lab(render_body), lab(render_body, seed=1)
    assert first == again
    assert first.image != other.image
    plain = lab(render_body, domain="default")
    poses = [
        orjson.loads(each.annotation)["iterationData"]["subject Data"] for each in (first, plain)
    ]
    assert first.image != plain.image
    assert joints(poses[0]) == joints(poses[1])


def joints(subjects: list) -> list:
    """Return the 3D places of a subject's joints, which the camera does not change."""
    found = next(iter(subjects[0].values()))["keypoints"]
    return [point["3DPos"] for point in found.values()]


def test_lab_cameras_stand_far_away_or_close_by(render_body: RenderBody) -> None:
    fields = []
    for index in range(12):
        record = orjson.loads(lab(render_body, index).annotation)
        fields.append(float(record["iterationData"]["camera"]["FOV"]))
    (far, _), (_, close) = FOV_RANGES_DEG
    assert far <= min(fields) < FOV_RANGES_DEG[0][1]
    assert FOV_RANGES_DEG[1][0] < max(fields) <= close


def test_lab_pictures_are_stored_at_quality_60_unless_said(render_body: RenderBody) -> None:
    small, large = lab(render_body), lab(render_body, jpeg_quality=95)
    assert DOMAINS["lab"].jpeg_quality == 60
    assert len(small.image) < len(large.image)


@pytest.mark.parametrize("name", ARENAS)
@pytest.mark.parametrize("size", [32, 97])
def test_arena_repeats_with_its_generator_and_has_texture(name: str, size: int) -> None:
    first, again, other = (ARENAS[name](default_rng(seed), size) for seed in (4, 4, 5))
    assert first.shape == (size, size, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any()
    assert first.std() > 3.0


def test_lab_camera_tints_blurs_and_adds_grain() -> None:
    flat = np.full((64, 64, 3), 120, dtype=np.uint8)
    flat[:, 32:] = 200
    taken = [apply_lab_camera(default_rng(s), flat, motion_blur=0.5, noise=1.0) for s in range(20)]
    assert all(np.std(picture[8:56, 4:26].astype(float)) > 1.0 for picture in taken)
    casts = np.array([picture.reshape(-1, 3).mean(axis=0) for picture in taken])
    assert np.ptp(casts[:, 0] - casts[:, 2]) > 20
    assert cv2.Laplacian(taken[0], cv2.CV_64F).shape == flat.shape


def test_lamps_shine_from_above() -> None:
    for seed in range(20):
        light = draw_lab_light(default_rng(seed))
        assert np.isclose(np.linalg.norm(light.direction), 1.0)
        assert light.direction[2] > 0.1
