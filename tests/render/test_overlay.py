"""Drawings for people: the right colours at the right pixels, and nothing else touched."""

import numpy as np
import pytest

from smil_ray.core.skeleton import Skeleton
from smil_ray.render import overlay
from smil_ray.render.overlay import (
    ERROR_COLOR,
    HIDDEN_COLOR,
    PREDICTED_COLOR,
    TRUE_COLOR,
    contact_sheet,
    draw_comparison,
    draw_keypoints,
    draw_mask_edge,
    draw_mesh,
    draw_radii,
)

SKELETON = Skeleton(("root", "hip", "tip"), (-1, 0, 1))
XY = np.array([[0.25, 0.5], [0.5, 0.5], [0.75, 0.75]])


MOVED = XY + np.array([0.1, 0.0])


def gray(height=100, width=200):
    return np.full((height, width, 3), 90, dtype=np.uint8)


def has_color(image, color):
    return bool((np.abs(image.astype(int) - color).sum(axis=-1) < 12).any())


def test_keypoint_is_drawn_at_its_fraction_of_width_and_height():
    image = gray()
    drawn = draw_keypoints(image, XY[:1], color=(255, 0, 0))
    rows, columns = np.nonzero((drawn != image).any(axis=-1))
    assert rows.mean() == pytest.approx(0.5 * 100 - 0.5, abs=0.6)
    assert columns.mean() == pytest.approx(0.25 * 200 - 0.5, abs=0.6)
    assert (image == 90).all()


def test_interval_is_a_circle_of_its_radius_and_unknown_ones_are_left_out():
    drawn = draw_radii(gray(), XY, np.array([0.1, np.nan, np.nan]))
    rows, columns = np.nonzero((drawn != 90).any(axis=-1))
    distance = np.hypot(columns - (0.25 * 200 - 0.5), rows - (0.5 * 100 - 0.5))
    assert distance.min() > 18
    assert distance.max() < 22
    assert len(rows) > 80


def test_bones_join_child_and_parent_only_with_a_skeleton():
    between = (slice(49, 51), slice(70, 80))
    assert (draw_keypoints(gray(), XY)[between] == 90).all()
    assert (draw_keypoints(gray(), XY, skeleton=SKELETON)[between] != 90).any()


def test_hidden_joint_is_a_ring_in_another_colour():
    visible = np.array([True, False, True])
    drawn = draw_keypoints(gray(), XY, visible=visible)
    near = drawn[45:55, 95:105]
    assert not has_color(near, PREDICTED_COLOR)
    assert (near != 90).any()
    assert np.abs(near.astype(int) - HIDDEN_COLOR).sum(axis=-1).min() < 60


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -4.0])
def test_points_not_finite_or_far_outside_are_left_out(bad):
    xy = XY.copy()
    xy[2] = bad
    drawn = draw_keypoints(gray(), xy, skeleton=SKELETON)
    np.testing.assert_array_equal(
        drawn,
        draw_keypoints(gray(), xy[:2], skeleton=Skeleton(("root", "hip"), (-1, 0))),
    )


def test_joint_names_are_written_on_request():
    plain = draw_keypoints(gray(), XY, skeleton=SKELETON)
    named = draw_keypoints(gray(), XY, skeleton=SKELETON, names=True)
    assert (plain != named).sum() > 50


def test_comparison_shows_both_sets_error_lines_and_the_mean_error():
    image = gray(200, 400)
    drawn = draw_comparison(image, MOVED, XY, None, SKELETON)
    for color in (PREDICTED_COLOR, TRUE_COLOR, ERROR_COLOR):
        assert has_color(drawn, color)
    hidden = draw_comparison(image, MOVED, XY, np.zeros(3, dtype=bool), SKELETON)
    line = (slice(148, 152), slice(312, 328))
    # Between two rows of pixels the smoothed line has half its colour on each.
    warmth = [int((x[line].astype(int) @ [1, 0, -1]).max()) for x in (drawn, hidden)]
    assert warmth[0] > 60
    assert warmth[1] == 0


@pytest.mark.parametrize(("width", "error"), [(None, "40.0 px of 400"), (96, "9.6 px of 96")])
def test_comparison_counts_in_pixels_of_the_network_when_told(monkeypatch, width, error):
    written = []
    monkeypatch.setattr(overlay, "_text", lambda canvas, text, *rest, **more: written.append(text))
    draw_comparison(gray(200, 400), MOVED, XY, network_width=width)
    assert written[-1] == f"error {error}, max {error.split()[0]}"


def test_comparison_survives_missing_points():
    predicted = np.full((3, 2), np.nan)
    assert draw_comparison(gray(), predicted, XY).shape == (100, 200, 3)


@pytest.mark.usefixtures("kernels")
def test_mesh_overlay_blends_by_alpha_and_keeps_the_surroundings(make_sphere):
    vertices, faces = make_sphere()
    mesh = (vertices + np.array([0, 0, 4.0]), faces, np.array([1.0, 1.0, 0.5, 0.5]))
    image = gray(64, 64)
    opaque = draw_mesh(image, *mesh, alpha=1.0)[32, 32].astype(float)
    half = draw_mesh(image, *mesh, alpha=0.5)
    np.testing.assert_allclose(half[32, 32], (opaque + 90) / 2, atol=1)
    np.testing.assert_array_equal(draw_mesh(image, *mesh, alpha=0.0), image)
    assert (half[0, 0] == 90).all()


@pytest.mark.parametrize("kind", [bool, np.uint8])
def test_mask_edge_is_drawn_along_the_outline_only(kind):
    mask = np.zeros((40, 40), dtype=kind)
    mask[10:30, 10:30] = True if kind is bool else 255
    drawn = draw_mask_edge(gray(40, 40), mask)
    assert tuple(drawn[10, 20]) == TRUE_COLOR
    assert tuple(drawn[20, 20]) == (90, 90, 90)


def test_contact_sheet_fits_pictures_of_any_size_into_labelled_cells():
    images = [gray(50, 50), gray(20, 80), gray(200, 100)]
    sheet = contact_sheet(images, 2, ["one", "two", "three"], cell=64)
    assert sheet.shape[1] == 2 * (64 + 2) + 2
    assert sheet.shape[0] > 2 * 64
    assert sheet.dtype == np.uint8
    labels_differ = contact_sheet(images, 2, ["", "", ""], cell=64)
    assert (sheet != labels_differ).any()
    assert contact_sheet(images[:1], 5).shape == (54, 54, 3)


def test_contact_sheet_with_nothing_to_show_or_wrong_labels_is_refused():
    with pytest.raises(ValueError, match="0 images"):
        contact_sheet([], 2)
    with pytest.raises(ValueError, match="1 labels for 2 images"):
        contact_sheet([gray(), gray()], 2, ["one"])
