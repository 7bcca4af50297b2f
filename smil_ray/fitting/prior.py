"""What poses and shapes are likely: Gaussians over rotation vectors and shape coefficients.

A hinge moves along a line in the space of its rotation vector, so that a Gaussian there knows
about which axis each joint turns and which it does not; over matrices it would not. What a limb's
places in one picture leave open is mostly whether it points towards the camera or away: that is
what the axes and the ranges of hinges tell.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.core.covariance import shrunk_covariance

LEAST_SPREAD = 0.05
"""Standard deviation, radians, that is added to every direction: what never turned may, a bit."""
LEAST_SHAPE_SPREAD = 0.05


@dataclass(frozen=True)
class PosePrior:
    """Gaussians over the poses and shapes that were given.

    Attributes:
        mean: Rotation vectors, joint after joint, radians.
        factor: Lower triangular; its product with its transpose is their covariance.
        betas_mean: Mean shape coefficients.
        betas_spread: Their standard deviations.
    """

    mean: Float[Tensor, " d"]
    factor: Float[Tensor, "d d"]
    betas_mean: Float[Tensor, " n_betas"]
    betas_spread: Float[Tensor, " n_betas"]

    @classmethod
    def fit(
        cls, joint_rot: Float[Tensor, "n n_pose 3"], betas: Float[Tensor, "n n_betas"]
    ) -> "PosePrior":
        """Return the Gaussians of poses (axis-angle) and shapes.

        The covariance of poses is drawn towards its diagonal, the more the fewer there are.
        """
        rows = joint_rot.flatten(1).double()
        covariance = shrunk_covariance(rows, LEAST_SPREAD)
        return cls(
            mean=rows.mean(dim=0).float(),
            factor=torch.linalg.cholesky(covariance).float(),
            betas_mean=betas.mean(dim=0).float(),
            betas_spread=(betas.double().std(dim=0) + LEAST_SHAPE_SPREAD).float(),
        )

    def pose_distance(self, joint_rot: Float[Tensor, "batch n_pose 3"]) -> Tensor:
        """Return each pose's squared Mahalanobis distance per dimension: about 1 on average."""
        away = (joint_rot.flatten(1) - self.mean).mT
        return torch.linalg.solve_triangular(self.factor, away, upper=False).square().mean(dim=0)

    def shape_distance(self, betas: Float[Tensor, "batch n_betas"]) -> Tensor:
        """Return the mean square of each shape's coefficients in standard deviations."""
        return ((betas - self.betas_mean) / self.betas_spread).square().mean(dim=1)

    def draw(self, count: int, seed: int = 0) -> Float[Tensor, "count n_pose 3"]:
        """Return random likely poses, axis-angle."""
        generator = torch.Generator().manual_seed(seed)
        numbers = torch.randn(count, len(self.mean), generator=generator)
        return (self.mean + numbers @ self.factor.mT).unflatten(1, (-1, 3))
