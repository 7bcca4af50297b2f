"""Laws of rotations, their gradients where formulas divide by zero, and single ones in numpy."""

import numpy as np
import pytest
import torch

from smil_ray.core import rotations

SPECIAL = [
    [0.0, 0.0, 0.0],
    [1e-9, 0.0, 0.0],
    [0.0, 1e-4, 0.0],
    [torch.pi, 0.0, 0.0],
    [0.0, torch.pi - 1e-7, 0.0],
    [0.3, -0.2, 0.9],
]


def random_axis_angles(n: int = 200) -> torch.Tensor:
    axis = torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    axis = axis / axis.norm(dim=-1, keepdim=True)
    return axis * torch.linspace(0.01, torch.pi - 0.01, n, dtype=torch.float64)[:, None]


def test_axis_angle_survives_the_way_through_matrix_and_6d():
    start = random_axis_angles()
    matrix = rotations.axis_angle_to_matrix(start)
    assert torch.allclose(rotations.matrix_to_axis_angle(matrix), start, atol=1e-9)
    assert torch.allclose(rotations.sixd_to_matrix(rotations.matrix_to_6d(matrix)), matrix)
    assert torch.allclose(rotations.to_matrix(rotations.axis_angle_to_6d(start)), matrix)


def test_matrices_are_orthonormal_and_act_on_columns():
    matrix = rotations.axis_angle_to_matrix(random_axis_angles())
    eye = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    assert torch.allclose(matrix @ matrix.mT, eye, atol=1e-12)
    assert torch.allclose(torch.linalg.det(matrix), torch.ones(len(matrix), dtype=torch.float64))
    quarter = rotations.axis_angle_to_matrix(torch.tensor([0.0, 0.0, torch.pi / 2]))
    assert torch.allclose(
        quarter @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6
    )


def test_6d_is_the_first_two_rows_in_pytorch3d_order():
    quarter = rotations.axis_angle_to_matrix(torch.tensor([0.0, 0.0, torch.pi / 2]))
    expected = torch.tensor([0.0, -1.0, 0.0, 1.0, 0.0, 0.0])
    assert torch.allclose(rotations.matrix_to_6d(quarter), expected, atol=1e-6)
    assert rotations.identity("6d").tolist() == [1, 0, 0, 0, 1, 0]
    assert rotations.identity("axis_angle").tolist() == [0, 0, 0]


def test_any_6d_numbers_give_a_rotation():
    numbers = torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrix = rotations.sixd_to_matrix(numbers)
    eye = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    assert torch.allclose(matrix @ matrix.mT, eye, atol=1e-9)
    assert torch.allclose(torch.linalg.det(matrix), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("vector", SPECIAL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_axis_angle_are_finite_everywhere(vector, dtype):
    start = torch.tensor(vector, dtype=dtype, requires_grad=True)
    rotations.axis_angle_to_matrix(start).square().sum().backward()
    assert start.grad is not None
    assert torch.isfinite(start.grad).all()
    matrix = rotations.axis_angle_to_matrix(torch.tensor(vector, dtype=dtype)).requires_grad_()
    rotations.matrix_to_axis_angle(matrix).sum().backward()
    assert matrix.grad is not None
    assert torch.isfinite(matrix.grad).all()


@pytest.mark.parametrize("vector", SPECIAL)
def test_gradient_of_axis_angle_to_matrix_is_right(vector):
    start = torch.tensor(vector, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotations.axis_angle_to_matrix, (start,))


def test_gradient_of_vanishing_6d_is_finite():
    numbers = torch.zeros(6, requires_grad=True)
    rotations.sixd_to_matrix(numbers).sum().backward()
    assert numbers.grad is not None
    assert torch.isfinite(numbers.grad).all()


def test_geodesic_angle_is_the_angle_between_turns():
    angles = torch.tensor([0.0, 0.5, torch.pi / 2, 3.0], dtype=torch.float64)
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    base = rotations.axis_angle_to_matrix(random_axis_angles(4))
    turned = base @ rotations.axis_angle_to_matrix(angles[:, None] * axis)
    assert torch.allclose(rotations.geodesic_angle(base, turned), angles, atol=1e-7)


def test_unknown_representation_is_named():
    with pytest.raises(ValueError, match="quaternion"):
        rotations.from_matrix(torch.eye(3), "quaternion")


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 0.3, 2.0, 3.14159, np.pi])
def test_single_rotations_agree_with_those_of_batches(angle: float) -> None:
    axes = np.concatenate([np.eye(3), -np.eye(3), np.random.default_rng(0).normal(size=(20, 3))])
    for axis in axes:
        vector = angle * axis / np.linalg.norm(axis)
        matrix = rotations.axis_angle_to_matrix(torch.tensor(vector)).numpy()
        np.testing.assert_allclose(rotations.one_axis_angle_to_matrix(vector), matrix, atol=1e-9)
        back = rotations.one_matrix_to_axis_angle(matrix)
        assert np.linalg.norm(back) <= np.pi + 1e-9
        # At pi, two vectors are the same rotation.
        np.testing.assert_allclose(rotations.one_axis_angle_to_matrix(back), matrix, atol=1e-7)
