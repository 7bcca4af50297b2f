"""Poses of replicAnt's insects: two postures blended, feet by reaching, correlated variation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from smil_ray.core.skeleton import Skeleton
from smil_ray.data.synthetic.poses._legs import HINGES, Legs
from smil_ray.data.synthetic.poses._postures import POSTURES, Landmarks, Posture

_BLENDED = 0.35
"""Share of poses that lie between two postures."""
_HINGE_SPREAD = np.array([0.32, 0.36, 0.48, 0.40, 0.48, 0.34, 0.12, 0.50])
"""Standard deviation of what a leg does with the freedom that its foot's place leaves it."""
_CLAW_SPREAD = np.array([0.60, 0.60, 0.45])
_MIRROR = np.array([-1.0, 1.0, -1.0])


@dataclass(frozen=True)
class InsectRig:
    """What drawing needs of an insect's model at rest."""

    skeleton: Skeleton
    legs: Legs
    landmarks: Landmarks
    content_hash: str = ""

    @classmethod
    def of(
        cls, skeleton: Skeleton, rest_joints: Float[np.ndarray, "n_joints 3"]
    ) -> "InsectRig | None":
        """Return the rig of a model, None where it has other joints than replicAnt's insects."""
        legs = Legs.of(skeleton, rest_joints)
        needed = ("b_a_3", "b_a_5", "an_1_l", "an_3_l", "ma_l", "ma_r", "b_h")
        if legs is None or any(name not in skeleton.index for name in needed):
            return None
        return cls(skeleton, legs, {n: rest_joints[j] for n, j in skeleton.index.items()})

    def draw(self, rng: Generator) -> Float[np.ndarray, "n_pose 3"]:
        """Return a random pose as axis-angle rotations; left and right are equally likely."""
        posture = self._draw_posture(rng)
        legs = self.legs
        common, own = rng.standard_normal((1, len(HINGES))), rng.standard_normal((6, len(HINGES)))
        variation = _HINGE_SPREAD * (0.55 * common + 0.85 * own)
        feet = posture.feet + 0.17 * legs.length[:, None] * rng.standard_normal((6, 3))
        angles = legs.reach(feet, posture.bend + variation)
        pose = posture.trunk.rotations(self.skeleton)
        pose[legs.joints[:, :5]] = legs.rotations(angles)
        claw = _CLAW_SPREAD * (0.5 * rng.standard_normal(3) + rng.standard_normal((6, 3)))
        pose[legs.joints[:, 5]] = claw * np.where(legs.side[:, None] > 0, 1.0, _MIRROR)
        if rng.random() < 0.5:
            pose = pose[list(self.skeleton.mirror)] * _MIRROR
        return pose[1:]

    def _draw_posture(self, rng: Generator) -> Posture:
        kinds, chances = list(POSTURES), np.array(list(POSTURES.values()))
        first, second = rng.choice(len(kinds), 2, p=chances / chances.sum())
        posture = kinds[first](rng, self.legs, self.landmarks)
        share = rng.uniform(0.1, 0.5) if rng.random() < _BLENDED else 0.0
        if share > 0.0:
            other = kinds[second](rng, self.legs, self.landmarks)
            posture = posture.blended(other, share)
        return posture
