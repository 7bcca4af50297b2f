"""Rotations as axis-angle (radians), 3x3 matrix, or 6D; the only rotation code.

Functions take tensors of any number of rotations and are roma's; the two whose names begin with
`one_` turn a single rotation in numpy, where a batch's overhead would be most of the time.

Matrices act on column vectors: x' = R x. 6D is the first two *rows* of the matrix, flattened
(Zhou et al. 2019, "On the Continuity of Rotation Representations", in PyTorch3D's row order);
its identity is [1, 0, 0, 0, 1, 0].
"""

import math
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

RotationRepresentation = Literal["6d", "axis_angle"]
WIDTH: dict[str, int] = {"6d": 6, "axis_angle": 3}
_SMALL = 1e-8
_SHORTEST_ROW: Any = 1e-6  # Typed Any: roma annotates its float epsilon as int.


def _roma() -> Any:
    """Return roma, imported at its first use: it brings torch's compiler, a second's work."""
    import roma

    return roma


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*axes 3"]) -> Float[Tensor, "*axes 3 3"]:
    """Return rotation matrices for axis-angle vectors in radians; smooth at the zero vector."""
    return _roma().rotvec_to_rotmat(axis_angle)


def matrix_to_axis_angle(matrix: Float[Tensor, "*axes 3 3"]) -> Float[Tensor, "*axes 3"]:
    """Return axis-angle vectors in radians, angle in [0, pi], of rotation matrices."""
    return _roma().rotmat_to_rotvec(matrix)


def matrix_to_6d(matrix: Float[Tensor, "*axes 3 3"]) -> Float[Tensor, "*axes 6"]:
    """Return the first two rows of rotation matrices, flattened."""
    return matrix[..., :2, :].flatten(-2)


def sixd_to_matrix(sixd: Float[Tensor, "*axes 6"]) -> Float[Tensor, "*axes 3 3"]:
    """Return the rotation matrices whose first two rows result from `sixd` by Gram-Schmidt.

    Rows of (nearly) zero length are clamped at 1e-6, so that gradients stay finite.
    """
    rows = sixd.unflatten(-1, (2, 3))
    columns = rows.transpose(-1, -2)
    return _roma().special_gramschmidt(columns, epsilon=_SHORTEST_ROW).transpose(-1, -2)


def axis_angle_to_6d(axis_angle: Float[Tensor, "*axes 3"]) -> Float[Tensor, "*axes 6"]:
    """Return the 6D form of axis-angle vectors."""
    return matrix_to_6d(axis_angle_to_matrix(axis_angle))


def to_matrix(rotation: Float[Tensor, "*axes width"]) -> Float[Tensor, "*axes 3 3"]:
    """Return matrices of axis-angle or 6D rotations, told apart by their last axis (3 or 6)."""
    return axis_angle_to_matrix(rotation) if rotation.shape[-1] == 3 else sixd_to_matrix(rotation)


def from_matrix(
    matrix: Float[Tensor, "*axes 3 3"], representation: str
) -> Float[Tensor, "*axes width"]:
    """Return `matrix` as `6d` or `axis_angle`."""
    if representation == "6d":
        return matrix_to_6d(matrix)
    if representation == "axis_angle":
        return matrix_to_axis_angle(matrix)
    raise ValueError(f"rotation representation {representation!r}: expected 6d or axis_angle")


def identity(representation: str) -> Float[Tensor, " width"]:
    """Return the identity rotation, shape (6,) or (3,), float32."""
    return from_matrix(torch.eye(3), representation)


def nearest_rotation(matrix: Float[Tensor, "*axes 3 3"]) -> Float[Tensor, "*axes 3 3"]:
    """Return the rotations nearest to any matrices (Frobenius norm).

    Of the mean of rotation matrices it is their chordal mean (Moakher 2002).
    """
    return _roma().special_procrustes(matrix)


def geodesic_angle(
    a: Float[Tensor, "*axes 3 3"], b: Float[Tensor, "*axes 3 3"]
) -> Float[Tensor, "*axes"]:
    """Return the angle between rotations in radians, in [0, pi]."""
    return _roma().rotmat_geodesic_distance(a, b)


def one_axis_angle_to_matrix(axis_angle: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return one rotation vector (radians) as a matrix, by Rodrigues' formula, in float64."""
    x, y, z = map(float, axis_angle)
    angle = math.sqrt(x * x + y * y + z * z)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    small = angle < _SMALL
    first = 1.0 if small else math.sin(angle) / angle
    second = 0.5 if small else (1.0 - math.cos(angle)) / angle**2
    return np.eye(3) + first * cross + second * (cross @ cross)


def one_matrix_to_axis_angle(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Return one rotation matrix as a rotation vector of at most pi radians, in float64.

    By way of the quaternion whose largest component is computed first (Shepperd, 1978).
    """
    m = matrix.tolist()
    trace = m[0][0] + m[1][1] + m[2][2]
    diagonal = [m[0][0], m[1][1], m[2][2]]
    i = diagonal.index(max(diagonal))
    vector = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]]
    real = 1.0 + trace
    if trace < diagonal[i]:
        j, k = (i + 1) % 3, (i + 2) % 3
        real = m[k][j] - m[j][k]
        vector[i] = 1.0 - trace + 2.0 * m[i][i]
        vector[j], vector[k] = m[j][i] + m[i][j], m[k][i] + m[i][k]
    if real < 0.0:
        real, vector = -real, [-value for value in vector]
    length = math.sqrt(sum(value * value for value in vector))
    angle = 2.0 * math.atan2(length, real)
    scale = angle / length if length > _SMALL * real else 2.0 / real
    return np.array(vector) * scale
