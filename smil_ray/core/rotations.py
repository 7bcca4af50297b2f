"""Rotations as axis-angle (radians), 3x3 matrix, or 6D; the only rotation code, over roma.

Matrices act on column vectors: x' = R x. 6D is the first two *rows* of the matrix, flattened
(Zhou et al. 2019, "On the Continuity of Rotation Representations", in PyTorch3D's row order);
its identity is [1, 0, 0, 0, 1, 0].
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

RotationRepresentation = Literal["6d", "axis_angle"]
WIDTH: dict[str, int] = {"6d": 6, "axis_angle": 3}
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
