"""Coordinates and encodings of a token grid."""

import torch

from smil_ray.models.heads._positions import grid_coordinates, sinusoidal_encoding


def test_grid_coordinates_run_row_by_row_from_the_top_left():
    expected = [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    assert grid_coordinates((2, 2)).tolist() == expected


def test_encoding_of_a_grid_has_distinct_rows_within_one():
    encoding = sinusoidal_encoding((4, 6), 32)
    distances = torch.cdist(encoding, encoding) + torch.eye(24) * 10
    assert encoding.shape == (24, 32)
    assert distances.min() > 0.1
    assert encoding.abs().max() <= 1.0


def test_encoding_has_any_width():
    for width in (3, 20, 577):
        encoding = sinusoidal_encoding((2, 3), width)
        assert encoding.shape == (6, width)
        assert torch.cdist(encoding, encoding).fill_diagonal_(1.0).min() > 1e-3
