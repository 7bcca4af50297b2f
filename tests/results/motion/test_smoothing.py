"""Smoothing: what it leaves alone, what it takes away, gaps, ends, rotations as rotations."""

import numpy as np
import pytest
import torch

from smil_ray.core import rotations
from smil_ray.results.motion.smoothing import (
    HALF_WIDTHS,
    from_view,
    jitter,
    local_weights,
    smooth_rotations,
    smooth_values,
    to_view,
)

FRAMES = np.arange(40)


@pytest.mark.parametrize("half", HALF_WIDTHS.values())
def test_parabolas_stay_as_they_are_also_at_the_ends_and_across_gaps(half: int) -> None:
    frames = np.delete(FRAMES, [7, 8, 21])
    places, weights = local_weights(frames, half)
    values = np.stack([3.0 - 2.0 * frames + 0.5 * frames**2, np.ones(len(frames))], axis=1)
    np.testing.assert_allclose(smooth_values(values, places, weights), values, atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_stronger_smoothing_takes_more_noise_away() -> None:
    noise = np.random.default_rng(0).normal(size=(400, 50))
    left = []
    for half in HALF_WIDTHS.values():
        places, weights = local_weights(np.arange(400), half)
        left.append(smooth_values(noise, places, weights).std())
    assert left == sorted(left, reverse=True)
    assert left[0] < 0.85
    assert left[-1] < 0.45


def test_frames_of_a_stride_are_neighbours() -> None:
    _, dense = local_weights(FRAMES, 3)
    _, strided = local_weights(5 * FRAMES, 3)
    np.testing.assert_allclose(dense, strided)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_frames_are_smoothed_too(n: int) -> None:
    places, weights = local_weights(np.arange(n), 4)
    values = np.arange(n, dtype=float)[:, None] + 5.0
    np.testing.assert_allclose(smooth_values(values, places, weights), values, atol=1e-6)


def test_even_turns_stay_as_they_are_and_results_are_rotations() -> None:
    axis = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    steps = torch.arange(40, dtype=torch.float64)[:, None, None]
    turns = rotations.axis_angle_to_matrix(0.1 * steps * axis)
    places, weights = local_weights(FRAMES, 4)
    rows = np.arange(10, 30)
    smooth = smooth_rotations(turns, places[rows], weights[rows], rows)
    np.testing.assert_allclose(smooth.numpy(), turns[10:30].numpy(), atol=1e-9)
    noise = torch.from_numpy(np.random.default_rng(0).normal(0.0, 0.2, (40, 1, 3)))
    noisy = turns @ rotations.axis_angle_to_matrix(noise)
    smooth = smooth_rotations(noisy, places, weights, FRAMES)
    eye = (smooth @ smooth.mT - torch.eye(3, dtype=torch.float64)).abs().max()
    assert float(eye) < 1e-9
    before, after = (
        float(rotations.geodesic_angle(each, turns).mean()) for each in (noisy, smooth)
    )
    assert after < 0.65 * before


def test_rotation_beyond_half_a_turn_does_not_jump() -> None:
    """Axis-angle vectors flip at 180 degrees; rotations do not."""
    angles = torch.linspace(2.9, 3.4, 40, dtype=torch.float64)
    turns = rotations.axis_angle_to_matrix(angles[:, None, None] * torch.eye(3)[2].double())
    places, weights = local_weights(FRAMES, 4)
    smooth = smooth_rotations(turns, places, weights, FRAMES)
    assert float(rotations.geodesic_angle(smooth, turns).max()) < 1e-6


def test_view_is_undone_exactly() -> None:
    trans = np.array([[0.5, -0.3, 12.0], [1.0, 2.0, 3.0]])
    fov = np.array([[30.0], [57.0]])
    back = from_view(to_view(trans, fov))
    np.testing.assert_allclose(back[0], trans)
    np.testing.assert_allclose(back[1], fov)


def test_jitter_is_none_of_even_movement_and_knows_its_unit() -> None:
    even = np.arange(9.0)[:, None, None] * np.array([[0.0, 0, 0], [1.0, 2, 3]])
    np.testing.assert_allclose(jitter(even), 0.0, atol=1e-12)
    zigzag = np.zeros((9, 2, 3))
    zigzag[1::2, 1, 0] = 1.0
    np.testing.assert_allclose(jitter(zigzag), 0.5)
