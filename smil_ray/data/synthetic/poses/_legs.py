"""The legs of replicAnt's insects as chains of hinges, and how to put a foot somewhere.

Model frame: x forward, y left, z up. A leg is a hip `co`, `tr`, the knee `fe`, `ti`, `ta` and the
claw `pt`; all of its hinges are defined from the rest pose, so that they fit any model with these
joints. Angles are radians; positive swings forward, lifts, and bends a knee further.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from smil_ray.core.skeleton import Skeleton

PARTS = ("co", "tr", "fe", "ti", "ta", "pt")
HINGES = (
    ("co", "swing"),
    ("co", "lift"),
    ("co", "twist"),
    ("tr", "lift"),
    ("tr", "twist"),
    ("fe", "bend"),
    ("ti", "bend"),
    ("ta", "bend"),
)
"""Joint and motion of each hinge, from the hip outwards."""
_PART_OF = np.array([PARTS.index(part) for part, _ in HINGES])
_LEAST = np.array([-1.25, -0.75, -0.80, -1.15, -0.80, 0.0, -0.30, -0.80])
_MOST = np.array([1.25, 0.75, 0.80, 1.15, 0.80, 0.0, 0.30, 1.00])
_STIFFNESS = np.array([0.008, 0.025, 0.060, 0.012, 0.060, 0.008, 0.300, 0.050])
"""How dearly a hinge leaves the angle that it prefers, per squared radian."""
_KNEE_RANGE = (np.radians(12.0), np.radians(155.0))
"""Least and greatest turn of the tibia against the femur."""
_ROUNDS = 4


@dataclass(frozen=True)
class Legs:
    """The legs of one model at rest.

    Attributes:
        joints: Indices of the joints of each leg.
        number: 1 is the foremost pair.
        side: 1 left, -1 right.
        rest: Joints at rest, model units.
        length: Sum of the leg's bones, model units.
        outward: Horizontal direction from hip to claw.
        axes: Axis of each hinge at rest.
        low: Least angle of each hinge.
        high: Greatest.
    """

    joints: Int[np.ndarray, "n_legs 6"]
    number: Int[np.ndarray, " n_legs"]
    side: Int[np.ndarray, " n_legs"]
    rest: Float[np.ndarray, "n_legs 6 3"]
    length: Float[np.ndarray, " n_legs"]
    outward: Float[np.ndarray, "n_legs 3"]
    axes: Float[np.ndarray, "n_legs n_hinges 3"]
    low: Float[np.ndarray, "n_legs n_hinges"]
    high: Float[np.ndarray, "n_legs n_hinges"]

    @classmethod
    def of(cls, skeleton: Skeleton, rest_joints: Float[np.ndarray, "n_joints 3"]) -> "Legs | None":
        """Return the legs of a model, None where it has no three pairs named as replicAnt's."""
        found = [
            (number, side, [f"l_{number}_{part}_{letter}" for part in PARTS])
            for number in (1, 2, 3)
            for letter, side in (("l", 1), ("r", -1))
        ]
        if any(name not in skeleton.index for _, _, names in found for name in names):
            return None
        joints = np.array([[skeleton.index[name] for name in names] for _, _, names in found])
        side = np.array([side for _, side, _ in found])
        rest = rest_joints[joints]
        outward = (rest[:, -1] - rest[:, 0]) * np.array([1.0, 1.0, 0.0])
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        turn = _angle(rest[:, 2] - rest[:, 1], rest[:, 3] - rest[:, 2])
        low, high = np.tile(_LEAST, (6, 1)), np.tile(_MOST, (6, 1))
        knee = HINGES.index(("fe", "bend"))
        low[:, knee] = np.minimum(_KNEE_RANGE[0] - turn, 0.0)
        high[:, knee] = np.maximum(_KNEE_RANGE[1] - turn, 0.0)
        return cls(
            joints=joints,
            number=np.array([number for number, _, _ in found]),
            side=side,
            rest=rest,
            length=np.linalg.norm(np.diff(rest, axis=1), axis=-1).sum(axis=1),
            outward=outward,
            axes=_axes(rest, outward, side),
            low=low,
            high=high,
        )

    @property
    def hips(self) -> Float[np.ndarray, "n_legs 3"]:
        """Hips at rest, model frame."""
        return self.rest[:, 0]

    def feet(self, angles: Float[np.ndarray, "n_legs n_hinges"]) -> Float[np.ndarray, "n_legs 3"]:
        """Return where the claws are at these angles, model frame."""
        return self._chain(angles)[0]

    def reach(
        self,
        feet: Float[np.ndarray, "n_legs 3"],
        preferred: Float[np.ndarray, "n_legs n_hinges"],
    ) -> Float[np.ndarray, "n_legs n_hinges"]:
        """Return hinge angles that bring the claws to `feet` while staying near `preferred`.

        Gauss-Newton on squared distance (in leg lengths) plus stiffness times squared change.
        What is out of reach is approached.
        """
        angles = np.clip(preferred, self.low, self.high)
        stiff = np.diag(_STIFFNESS)
        for _ in range(_ROUNDS):
            claws, joints, axes = self._chain(angles)
            arms = claws[:, None] - joints
            jacobian = _cross(axes, arms) / self.length[:, None, None]
            gap = (feet - claws) / self.length[:, None]
            normal = jacobian @ jacobian.transpose(0, 2, 1) + stiff
            pull = np.einsum("lhc,lc->lh", jacobian, gap) + _STIFFNESS * (preferred - angles)
            step = np.linalg.solve(normal, pull[..., None])[..., 0]
            angles = np.clip(angles + np.clip(step, -0.6, 0.6), self.low, self.high)
        return angles

    def rotations(
        self, angles: Float[np.ndarray, "n_legs n_hinges"]
    ) -> Float[np.ndarray, "n_legs 5 3"]:
        """Return the axis-angle rotations of the joints `co` to `ta`."""
        turns = self._hinge_turns(angles)
        found = np.tile(np.eye(3), (len(self.side), 5, 1, 1))
        for hinge, part in enumerate(_PART_OF):
            found[:, part] = found[:, part] @ turns[:, hinge]
        return Rotation.from_matrix(found.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 5, 3)

    def _hinge_turns(self, angles: np.ndarray) -> np.ndarray:
        """Rotation matrix (L, H, 3, 3) of each hinge, by Rodrigues' formula."""
        cross, squared = self._cross_matrices
        sin, cos = np.sin(angles)[..., None, None], np.cos(angles)[..., None, None]
        return np.eye(3) + sin * cross + (1.0 - cos) * squared

    @cached_property
    def _cross_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        x, y, z = np.moveaxis(self.axes, -1, 0)
        zero = np.zeros_like(x)
        rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
        cross = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
        return cross, cross @ cross

    def _chain(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Claws (L, 3), and each hinge's place and axis (L, H, 3), model frame."""
        turns = self._hinge_turns(angles)
        total = np.broadcast_to(np.eye(3), (len(self.side), 3, 3))
        place, part = self.rest[:, 0], 0
        places, axes = np.empty(self.axes.shape), np.empty(self.axes.shape)
        for hinge, joint in enumerate(_PART_OF):
            if joint != part:
                place = place + _turned(total, self.rest[:, joint] - self.rest[:, part])
                part = joint
            places[:, hinge] = place
            axes[:, hinge] = _turned(total, self.axes[:, hinge])
            total = total @ turns[:, hinge]
        return place + _turned(total, self.rest[:, -1] - self.rest[:, part]), places, axes


def _axes(rest: np.ndarray, outward: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Axes (L, H, 3) of the hinges at rest."""
    up = np.array([0.0, 0.0, 1.0])
    lift = np.cross(outward, up)
    found = {
        "swing": -side[:, None] * up,
        "lift": lift,
        "bend": -lift,
        "co twist": -side[:, None] * _unit(rest[:, 2] - rest[:, 0]),
        "tr twist": -side[:, None] * _unit(rest[:, 2] - rest[:, 1]),
    }
    return np.stack(
        [found[f"{part} {kind}" if kind == "twist" else kind] for part, kind in HINGES], axis=1
    )


def _turned(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (matrices @ vectors[..., None])[..., 0]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of the last axes, several times as fast as `np.cross` for so few."""
    first, second = [1, 2, 0], [2, 0, 1]
    return a[..., first] * b[..., second] - a[..., second] * b[..., first]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cos = (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return np.arccos(np.clip(cos, -1.0, 1.0))
