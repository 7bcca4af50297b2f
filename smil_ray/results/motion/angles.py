"""Joint angles by the names of biomechanics, from joints in space; and how fast they change.

- *flexion*: by how much the bone after a joint is bent against the bone before it; 0 is straight,
  180 folded back. Of every joint with one bone before and one after it.
- *protraction*: how far forward a leg points, from above: 0 is straight out to its side, positive
  towards the head. *levation*: how far up it points, 0 is level with the trunk. Both of the line
  from the leg's first joint (hip, thorax-coxa joint) to its last one (foot, claw).

Forward and up are the trunk's own, as the root joint is turned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from smil_ray.core.joint_groups import joint_groups
from smil_ray.core.skeleton import Skeleton


@dataclass(frozen=True)
class Limb:
    """A leg.

    Attributes:
        joints: From the trunk to the foot.
        side: 1 left, -1 right.
    """

    joints: tuple[int, ...]
    side: int

    @property
    def hip(self) -> int:
        """Its first joint."""
        return self.joints[0]

    @property
    def foot(self) -> int:
        """Its last joint."""
        return self.joints[-1]


@dataclass(frozen=True)
class Angle:
    """An angle and the joint that it is of."""

    joint: str
    kind: str


def find_legs(skeleton: Skeleton, rest_joints: Float[np.ndarray, "n_joints 3"]) -> list[Limb]:
    """Return the legs of a skeleton by the names of its joints, front to back; none without names.

    Args:
        skeleton: Names and tree.
        rest_joints: At rest, x forward, y left.
    """
    in_legs = set(joint_groups(skeleton.joint_names).get("legs", ()))
    limbs = []
    for hip in sorted(in_legs):
        if skeleton.parents[hip] in in_legs:
            continue
        chain = [hip]
        while inner := [child for child in skeleton.children[chain[-1]] if child in in_legs]:
            chain.append(max(inner, key=lambda joint: _depth_below(skeleton, joint)))
        if len(chain) > 1:
            side = 1 if rest_joints[chain[-1], 1] >= 0 else -1
            limbs.append(Limb(tuple(chain), side))
    return sorted(limbs, key=lambda limb: (-limb.side, -rest_joints[limb.hip, 0]))


def body_coordinates(
    joints: Float[np.ndarray, "n n_joints 3"],
    root_rotations: Float[np.ndarray, "n 3 3"],
    standing: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, "n n_joints 3"]:
    """Return joints relative to the root joint along the trunk's axes forward, left, up.

    Args:
        joints: In camera coordinates.
        root_rotations: Model to camera, column convention.
        standing: Model axes to forward, left, up.
    """
    away = joints - joints[:, :1]
    return (away @ root_rotations) @ standing.T


def joint_angles(
    body_joints: Float[np.ndarray, "n n_joints 3"], skeleton: Skeleton, legs: Sequence[Limb]
) -> tuple[list[Angle], Float[np.ndarray, "n n_angles"]]:
    """Return which angles there are, and their values in degrees; see the module for meanings.

    Args:
        body_joints: From `body_coordinates`.
        skeleton: Names and tree.
        legs: From `find_legs`.
    """
    angles: list[Angle] = []
    values: list[np.ndarray] = []
    for joint, parent in enumerate(skeleton.parents):
        children = skeleton.children[joint]
        if parent >= 0 and len(children) == 1:
            before = body_joints[:, joint] - body_joints[:, parent]
            after = body_joints[:, children[0]] - body_joints[:, joint]
            angles.append(Angle(skeleton.joint_names[joint], "flexion"))
            values.append(_angle_deg(before, after))
    for limb in legs:
        x, y, z = (body_joints[:, limb.foot] - body_joints[:, limb.hip]).T
        outward = limb.side * y
        angles += [Angle(skeleton.joint_names[limb.hip], k) for k in ("protraction", "levation")]
        values.append(np.degrees(np.unwrap(np.arctan2(x, outward))))
        values.append(np.degrees(np.arctan2(z, np.hypot(x, y))))
    stacked = np.stack(values, axis=1) if values else np.zeros((len(body_joints), 0))
    return angles, stacked


def angular_velocities(
    values_deg: Float[np.ndarray, "n n_angles"], time_s: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n n_angles"]:
    """Return degrees per second by central differences; NaN where time is not known."""
    if len(values_deg) < 2 or not np.isfinite(time_s).all():
        return np.full_like(values_deg, np.nan)
    return np.gradient(values_deg, time_s, axis=0)


def _depth_below(skeleton: Skeleton, joint: int) -> int:
    return 1 + max(
        (_depth_below(skeleton, child) for child in skeleton.children[joint]), default=0
    )


def _angle_deg(
    a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Return the angle between vectors, exact also where it is small."""
    across = np.linalg.norm(np.cross(a, b), axis=1)
    return np.degrees(np.arctan2(across, (a * b).sum(axis=1)))
