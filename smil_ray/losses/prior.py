"""What poses and shapes are likely: Gaussians fitted to those of a training split.

A network that is trained on 2D joints alone may bend limbs and swell bodies in any way that puts
the joints in the right places. A prior from synthetic poses says which of these ways animals take.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.core import rotations
from smil_ray.core.covariance import shrunk_covariance

FEWEST_SAMPLES = 20
"""Of fewer poses nothing is learnt."""
LEAST_SPREAD = 0.05
"""Standard deviation that is added to every direction: what never varied may, by so much."""


@dataclass(frozen=True)
class ParameterPrior:
    """Gaussians over joint rotations (6D) and shape coefficients.

    Attributes:
        pose_mean: Mean of the rotations' first two rows, joint after joint.
        pose_whitening: Matrix that turns differences from the mean, as rows, into numbers of
            variance one.
        betas_mean: Mean shape coefficients.
        betas_spread: Their standard deviations.
        angle_mean: Mean of the rotation vectors, joint after joint, radians; for fits
            (`fitting.prior`). None in priors of earlier versions.
        angle_covariance: Their covariance, drawn towards its diagonal as that of the rows.
    """

    pose_mean: Float[Tensor, " d"]
    pose_whitening: Float[Tensor, "d d"]
    betas_mean: Float[Tensor, " n_betas"]
    betas_spread: Float[Tensor, " n_betas"]
    angle_mean: Float[Tensor, " d_angles"] | None = None
    angle_covariance: Float[Tensor, "d_angles d_angles"] | None = None

    @classmethod
    def fit(
        cls, joint_rot: Float[Tensor, "n n_pose 3"], betas: Float[Tensor, "n n_betas"]
    ) -> "ParameterPrior | None":
        """Return the Gaussians of poses and shapes; None where there are too few.

        The covariance of poses is drawn towards its diagonal, the more the fewer samples there
        are for its size.

        Args:
            joint_rot: Axis-angle, child to parent; samples with NaN are left out.
            betas: Shape coefficients; the same.
        """
        joint_rot = joint_rot[joint_rot.flatten(1).isfinite().all(dim=1)].double()
        betas = betas[betas.isfinite().all(dim=1)].double()
        if min(len(joint_rot), len(betas)) < FEWEST_SAMPLES:
            return None
        rows = _first_rows(rotations.axis_angle_to_matrix(joint_rot))
        covariance = shrunk_covariance(rows, LEAST_SPREAD)
        return cls(
            pose_mean=rows.mean(dim=0).float(),
            pose_whitening=torch.linalg.cholesky(torch.linalg.inv(covariance)).float(),
            betas_mean=betas.mean(dim=0).float(),
            betas_spread=(betas.std(dim=0) + LEAST_SPREAD).float(),
            angle_mean=joint_rot.flatten(1).mean(dim=0).float(),
            angle_covariance=shrunk_covariance(joint_rot.flatten(1), LEAST_SPREAD).float(),
        )

    def to(self, device: torch.device | str) -> "ParameterPrior":
        """Return the prior with its tensors on `device`."""
        return ParameterPrior(**{name: value.to(device) for name, value in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """Return what the prior consists of, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def pose_distance(self, joint_rot: Float[Tensor, "batch n_pose width"]) -> Tensor:
        """Return each pose's squared Mahalanobis distance per dimension: about 1 on average.

        Args:
            joint_rot: 6D or axis-angle.
        """
        difference = _first_rows(rotations.to_matrix(joint_rot)) - self.pose_mean
        return (difference @ self.pose_whitening.to(difference)).square().mean(dim=1)

    def shape_distance(self, betas: Float[Tensor, "batch n_betas"]) -> Tensor:
        """Return the mean square of each shape's coefficients in standard deviations."""
        return ((betas - self.betas_mean) / self.betas_spread).square().mean(dim=1)


def _first_rows(matrices: Float[Tensor, "n n_pose 3 3"]) -> Float[Tensor, "n d"]:
    return matrices[..., :2, :].flatten(1)
