"""Squares around animals (data_format section 8.7): the box, room and shift, exact labels."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from smil_ray.config import AugmentConfig, CropConfig
from smil_ray.core.batch import Sample
from smil_ray.data.augment import Augmenter
from smil_ray.data.crop import animal_box, crop_names, crop_windows, mask_corners
from smil_ray.data.replicant import coordinates
from smil_ray.data.replicant.reading import ReadOptions, find_entries, read_samples
from tests.data.replicant import tiny_replicant as tiny
from tests.data.replicant.tiny_replicant import TinyBody

BODY = TinyBody()
PARENTS = (-1, 0, 1)


def crops(folder: Path, *, size: int | None = 64, **settings: Any) -> list[Sample]:
    crop = CropConfig(mode="bbox", **settings)
    return read_samples(find_entries(folder)[0], BODY, ReadOptions(size=size, crop=crop)).samples


def reprojection(sample: Sample) -> float:
    """Return the largest distance of a 2D label from the projected 3D one, as a fraction."""
    xy, _ = coordinates.project(
        sample.keypoints_3d.astype(float),
        sample.cam_rot.astype(float),
        sample.cam_trans.astype(float),
        sample.intrinsics.astype(float),
    )
    return float(np.abs(xy - sample.keypoints_2d).max())


def box_of(points: np.ndarray, outline: np.ndarray | None = None) -> list[float]:
    box = animal_box(points, PARENTS, (100, 100), outline)
    assert box is not None
    return box.tolist()


def test_box_is_around_joints_and_outline_inside_the_picture():
    points = np.array([[20.0, 30.0], [50.0, 40.0], [np.nan, np.nan]])
    assert box_of(points) == [20, 30, 50, 40]
    outline = np.array([[15.0, 35.0], [40.0, 90.0], [500.0, 5.0]])
    assert box_of(points, outline) == [15, 30, 50, 90]


def test_box_of_an_animal_partly_outside_ends_where_its_bones_leave_the_picture():
    points = np.array([[20.0, 50.0], [-20.0, 90.0], [-300.0, 95.0]])
    assert box_of(points) == [0, 50, 20, 70]
    across = np.array([[-10.0, 50.0], [110.0, 50.0], [110.0, 400.0]])
    assert box_of(across) == [0, 50, 100, 50]


def test_box_of_an_animal_outside_is_none():
    points = np.array([[-20.0, 50.0], [-30.0, 90.0], [np.nan, np.nan]])
    assert animal_box(points, PARENTS, (100, 100)) is None
    assert animal_box(np.full((3, 2), np.nan), PARENTS, (100, 100), np.zeros((0, 2))) is None


def test_mask_corners_are_the_outer_edges_of_its_pixels():
    mask = np.zeros((10, 20), dtype=np.uint8)
    assert mask_corners(mask).shape == (0, 2)
    mask[2:4, 5:9] = 255
    assert mask_corners(mask).tolist() == [[5, 2], [9, 4]]


def test_windows_keep_the_animal_whole_and_have_the_margins_asked_for():
    box = np.array([300.0, 100.0, 500.0, 160.0])
    crop = CropConfig(mode="bbox", margin=(0.2, 0.6), shift=0.1)
    windows = [w for i in range(200) for w in crop_windows(box, crop, f"a_{i}")]
    margins = np.array([window.side / 200.0 - 1.0 for window in windows])
    centres = np.array([[w.left + w.side / 2, w.top + w.side / 2] for w in windows])
    shifts = (centres - [400.0, 130.0]) / 200.0
    assert 0.2 <= margins.min() < 0.22
    assert 0.58 < margins.max() < 0.61
    assert np.isclose(margins.mean(), crop.mean_margin, atol=0.02)
    assert 0.09 < np.abs(shifts).max() < 0.105
    assert np.allclose(shifts.mean(axis=0), 0.0, atol=0.02)
    # Half the smallest margin is the largest shift: up to rounding nothing is cut.
    assert all(w.left <= 301 and w.left + w.side >= 499 for w in windows)


def test_windows_depend_on_name_number_and_seed_alone():
    box = np.array([30.0, 10.0, 50.0, 60.0])
    crop = CropConfig(mode="bbox", per_sample=3)
    windows = crop_windows(box, crop, "a_00")
    assert len(set(windows)) == 3
    assert crop_windows(box, crop, "a_00") == windows
    assert crop_windows(box, crop.model_copy(update={"per_sample": 1}), "a_00") == windows[:1]
    assert crop_windows(box, crop, "a_01") != windows
    assert crop_windows(box, crop.model_copy(update={"seed": 1}), "a_00") != windows
    assert crop_names("a_00", crop) == ["a_00@1", "a_00@2", "a_00@3"]


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "bbox", "margin": (0.5, 0.2)},
        {"mode": "bbox", "margin": (-0.1, 0.2)},
        {"mode": "bbox", "shift": 1.5},
        {"mode": "none", "per_sample": 2},
        {"mode": "circle"},
    ],
)
def test_crop_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValidationError):
        CropConfig(**settings)


def test_crop_settings_are_written_as_a_word_too():
    assert CropConfig.model_validate("bbox") == CropConfig(mode="bbox")


@pytest.mark.parametrize("size", [None, 48, 200])
@pytest.mark.parametrize("picture", [(160, 90), (81, 120)])
def test_labels_of_crops_equal_the_projection_through_their_camera(tmp_path, size, picture):
    tiny.write(tmp_path, "a_00", tiny.frame(*picture), picture)
    samples = crops(tmp_path, size=size, per_sample=4, margin=(0.0, 1.0), shift=0.5)
    assert len({tuple(sample.intrinsics.tolist()) for sample in samples}) == 4
    for sample in samples:
        focal = np.array([sample.intrinsics[0], sample.intrinsics[1]])
        assert np.isclose(focal[0], focal[1])
        assert np.isclose(sample.fov, np.degrees(2 * np.arctan(0.5 / focal[1])))
        assert reprojection(sample) < 1e-6
        inside = ((sample.keypoints_2d >= 0) & (sample.keypoints_2d < 1)).all(axis=1)
        assert not sample.keypoint_visibility[~inside].any()


def test_augmentation_of_crops_stays_exact(tmp_path):
    tiny.write(tmp_path, "a_00", tiny.frame(160, 90), (160, 90))
    config = AugmentConfig(enabled=True, rotate_deg=180.0, zoom=0.5, shift=0.3, flip=0.0)
    augment = Augmenter(config, BODY.skeleton, seed=1)
    for sample in crops(tmp_path, per_sample=3):
        for epoch in range(5):
            after = augment(sample, epoch)
            assert not np.allclose(after.keypoints_2d, sample.keypoints_2d)
            assert reprojection(after) < 3e-6


def test_crops_of_a_sample_share_group_and_3d_labels(tmp_path):
    tiny.write(tmp_path, "a_00", tiny.frame(ids=("1", "2")))
    samples = crops(tmp_path, per_sample=2)
    assert [s.name for s in samples] == [
        "a_00#001@1", "a_00#001@2", "a_00#002@1", "a_00#002@2"
    ]  # fmt: skip
    assert {s.group for s in samples} == {"a_00"}
    assert np.array_equal(samples[0].keypoints_3d, samples[1].keypoints_3d)
    assert not np.array_equal(samples[0].keypoints_2d, samples[1].keypoints_2d)


@pytest.mark.parametrize("size", [None, 64, 150])
def test_pixels_and_mask_of_a_colour_card_move_with_the_keypoints(tmp_path, size):
    document = tiny.frame(256, 192)
    path = tiny.write(tmp_path, "a_00", document, (256, 192))
    card = np.zeros((192, 256, 3), dtype=np.uint8)
    points = tiny.first(document)["keypoints"].values()
    colours = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    places = [np.round([p["2DPos"]["x"], p["2DPos"]["y"]]) for p in points][:3]
    for (x, y), colour in zip(places, colours, strict=True):
        cv2.circle(card, (int(x), int(y)), 5, colour[::-1], -1)
    cv2.imwrite(str(path.with_suffix(".png")), card)
    path.with_suffix(".JPG").unlink()
    for sample in crops(tmp_path, size=size, per_sample=3):
        side = sample.image.shape[0]
        assert sample.mask is not None
        assert sample.mask.shape == (side, side)
        for xy, colour in zip(sample.keypoints_2d[:3], colours, strict=True):
            strength = sample.image @ (np.array(colour) / 255.0) - sample.image.max(axis=2) / 2
            rows, columns = np.nonzero(strength > 60)
            centre = (columns.mean() + 0.5) / side, (rows.mean() + 0.5) / side
            # The circle's centre is a pixel, half a native pixel from the rounded label.
            assert np.allclose(centre, xy, atol=1.2 / 90)


def test_crop_beyond_the_picture_is_padded_black(tmp_path):
    path = tiny.write(tmp_path, "a_00", tiny.frame())
    cv2.imwrite(str(path.with_suffix(".JPG")), np.full((96, 96, 3), 255, dtype=np.uint8))
    (sample,) = crops(tmp_path, size=None, margin=(4.0, 4.0), shift=0.0)
    # A picture of 40 degrees has its edges half its size from the principal point.
    half = sample.intrinsics[:2] * np.tan(np.radians(20.0))
    left, top = sample.intrinsics[2:] - half
    right, bottom = sample.intrinsics[2:] + half
    side = sample.image.shape[0]
    columns = (np.arange(side) + 0.5) / side
    white = (columns > left) & (columns < right)
    rows = (columns > top) & (columns < bottom)
    expected = rows[:, None] & white[None, :]
    assert expected.any()
    assert not expected.all()
    assert np.array_equal(sample.image[..., 0] > 128, expected)
