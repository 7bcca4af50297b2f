"""Poses of any skeleton from its joint limits: limbs move as wholes, left and right in concert."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator

from smil_ray.core.skeleton import Skeleton
from smil_ray.data.synthetic.poses.sides import mirror_partners

_ALONG = 0.55
"""Correlation of a joint's effort with that of the joint above it in the same limb."""
_TOGETHER = (0.75, -0.75, 0.0)
"""Correlation of left and right: in step, in opposition (a gait), or neither; equally often."""


@dataclass(frozen=True)
class FreehandRig:
    """What drawing needs of a skeleton of which nothing but names and places is known.

    Attributes:
        limits: Least and greatest axis-angle component, radians.
        partner: For each joint the one on the other side, itself on the midline.
        lateral: The model's axis that runs from side to side: 0 x, 1 y, 2 z.
    """

    skeleton: Skeleton
    limits: Float[np.ndarray, "n_joints 3 2"]
    partner: Int[np.ndarray, " n_joints"]
    lateral: int
    content_hash: str = ""

    @classmethod
    def of(
        cls,
        skeleton: Skeleton,
        rest_joints: Float[np.ndarray, "n_joints 3"],
        limits: Float[np.ndarray, "n_joints 3 2"],
    ) -> "FreehandRig":
        """Return the rig of a model at rest."""
        partner, lateral = mirror_partners(skeleton, rest_joints)
        return cls(skeleton, limits, partner, lateral)

    def draw(self, rng: Generator) -> Float[np.ndarray, "n_pose 3"]:
        """Return a random pose as axis-angle rotations inside the limits."""
        effort = self._effort(rng)
        effort = np.tanh(rng.uniform(0.35, 1.0) * effort)
        low, high = self.limits[..., 0], self.limits[..., 1]
        rest = np.clip(0.0, low, high)
        pose = rest + np.where(effort > 0.0, effort * (high - rest), effort * (rest - low))
        return pose[1:]

    def _effort(self, rng: Generator) -> np.ndarray:
        """Standard normal numbers (J, 3), correlated along limbs and between the sides."""
        own = rng.standard_normal((self.skeleton.n_joints, 3))
        effort = own.copy()
        trunk = set(self.skeleton.body_chain)
        for joint, parent in enumerate(self.skeleton.parents):
            if parent > 0 and (joint in trunk) == (parent in trunk):
                effort[joint] = _ALONG * effort[parent] + np.sqrt(1 - _ALONG**2) * own[joint]
        together = _TOGETHER[rng.integers(len(_TOGETHER))]
        second = self._second_of_pair
        copied = together * effort[self.partner[second]] * self._mirror_signs
        effort[second] = copied + np.sqrt(1.0 - together**2) * effort[second]
        return effort

    @cached_property
    def _second_of_pair(self) -> np.ndarray:
        joints = np.arange(self.skeleton.n_joints)
        return joints[self.partner < joints]

    @cached_property
    def _mirror_signs(self) -> np.ndarray:
        """Mirrored, a rotation about the lateral axis stays and the others turn round."""
        signs = -np.ones(3)
        signs[self.lateral] = 1.0
        return signs
