"""Poses of an insect that walks straight on in a tripod gait, as a function of the phase."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.synthetic.poses._legs import HINGES, PARTS, Legs
from smil_ray.errors import ConfigError

_STRIDE = 0.45
"""Way of the body in a cycle, in lengths of the middle legs."""
_LIFT = 0.18
_DROP = 0.30
_REFINEMENTS = 8


@dataclass(frozen=True)
class WalkPoses:
    """A tripod gait of one model: legs 1 and 3 of a side swing with leg 2 of the other.

    Attributes:
        feet: Names of the feet.
        duty_factor: Share of the cycle in which a foot is on the ground.
        stride: Way of the body in a cycle, model units.
    """

    legs: Legs
    n_joints: int
    feet: tuple[str, ...]
    duty_factor: float
    stride: float
    middle: Float[np.ndarray, "n_legs 3"]

    @classmethod
    def of(cls, model: SmilModel, duty_factor: float) -> "WalkPoses":
        """Return the gait of a model with replicAnt's legs.

        Raises:
            ConfigError: It has other legs, or the duty factor is not between 0 and 1.
        """
        legs = Legs.of(model.skeleton, model.source.joints_at_rest())
        if legs is None or not 0.0 < duty_factor < 1.0:
            raise ConfigError(
                "walk",
                expected="six legs named as replicAnt's and a duty factor between 0 and 1",
                found=f"model {model.name}, duty factor {duty_factor:g}",
            )
        length = float(legs.length[legs.number == 2].mean())
        flat = np.linalg.norm((legs.rest[:, -1] - legs.hips)[:, :2], axis=1)
        middle = legs.hips + 0.85 * flat[:, None] * legs.outward
        middle[:, 2] = legs.hips[:, 2].mean() - _DROP * length
        names = model.skeleton.joint_names
        feet = tuple(names[joints[PARTS.index("pt")]] for joints in legs.joints)
        return cls(legs, model.n_joints, feet, duty_factor, _STRIDE * length, middle)

    def stance(self, phase: float) -> Bool[np.ndarray, " n_legs"]:
        """Return which feet are on the ground, `phase` in cycles."""
        return self._own_phase(phase) < self.duty_factor

    def pose(self, phase: float) -> Float[np.ndarray, "n_pose 3"]:
        """Return the pose (axis-angle, root excluded) at a phase in cycles."""
        feet = self._feet(phase)
        angles = np.zeros((len(feet), len(HINGES)))
        for _ in range(_REFINEMENTS):
            angles = self.legs.reach(feet, angles)
        pose = np.zeros((self.n_joints, 3))
        pose[self.legs.joints[:, :5]] = self.legs.rotations(angles)
        return pose[1:]

    def _own_phase(self, phase: float) -> Float[np.ndarray, " n_legs"]:
        """Return the phase of each leg from 0 to 1; it touches down at 0."""
        second = (self.legs.number + (self.legs.side < 0)) % 2
        return (phase + 0.5 * second) % 1.0

    def _feet(self, phase: float) -> Float[np.ndarray, "n_legs 3"]:
        """Return the places of the feet in the model's frame.

        In stance they go back evenly by what the body goes forward meanwhile.
        """
        own, duty = self._own_phase(phase), self.duty_factor
        half = 0.5 * self.stride * duty
        swing = np.clip((own - duty) / (1.0 - duty), 0.0, 1.0)
        back = half - self.stride * own
        forward = -half + 2.0 * half * (swing - np.sin(2.0 * np.pi * swing) / (2.0 * np.pi))
        feet = self.middle.copy()
        feet[:, 0] += np.where(own < duty, back, forward)
        feet[:, 2] += np.where(own < duty, 0.0, _LIFT * self.legs.length * np.sin(np.pi * swing))
        return feet
