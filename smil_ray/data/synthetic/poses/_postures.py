"""Postures of a six-legged animal: where its feet are, how its legs bend, what its trunk does.

`POSTURES` is the registry: a function of (rng, legs, landmarks) that returns a `Posture`, and how
often it is drawn. To add one, write the function and its line. Left and right need no balance
here: `InsectRig.draw` mirrors half of all poses.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from smil_ray.data.synthetic.poses._legs import HINGES, Legs
from smil_ray.data.synthetic.poses._trunk import TrunkPose, draw_trunk

Landmarks = dict[str, Float[np.ndarray, "3"]]
"""Joints by name at rest, model frame and units."""


@dataclass(frozen=True)
class Posture:
    """What a pose aims at.

    Attributes:
        feet: Where the claws should be, model frame and units.
        bend: Hinge angles that the legs prefer, radians.
        trunk: Everything else.
    """

    feet: Float[np.ndarray, "n_legs 3"]
    bend: Float[np.ndarray, "n_legs n_hinges"]
    trunk: TrunkPose

    def blended(self, other: "Posture", share: float) -> "Posture":
        """Return the posture between this one (share 0) and another (1)."""
        return Posture(
            feet=(1.0 - share) * self.feet + share * other.feet,
            bend=(1.0 - share) * self.bend + share * other.bend,
            trunk=self.trunk.blended(other.trunk, share),
        )


def standing(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """All feet on the ground, high or low on its legs, narrow or wide."""
    del landmarks
    drop = rng.uniform(0.02, 0.62) * legs.length[legs.number == 2].mean()
    spread = rng.uniform(0.60, 1.40) * (1.0 + rng.normal(0.0, 0.14, 6))
    feet = _on_ground(rng, legs, drop, spread, rng.normal(0.0, 0.32, 6))
    return Posture(feet, np.zeros((6, len(HINGES))), draw_trunk(rng))


def walking(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """A moment of a tripod, tetrapod or wave gait, straight on or in a turn."""
    stand = standing(rng, legs, landmarks)
    leg, right = legs.number - 1, legs.side < 0
    gait = rng.random()
    if gait < 0.55:  # Tripod: legs 1 and 3 of a side swing with leg 2 of the other.
        phase = np.pi * ((leg + right) % 2)
    elif gait < 0.85:  # Tetrapod: three pairs of legs, one after the other.
        phase = 2.0 * np.pi / 3.0 * ((leg + right) % 3)
    else:  # Wave: from the hind leg forwards, the sides half a cycle apart.
        phase = 2.0 * np.pi * (0.25 * (2 - leg) + 0.5 * right)
    phase = phase + rng.uniform(0.0, 2.0 * np.pi) + rng.normal(0.0, 0.25, 6)
    stride = rng.uniform(0.20, 0.50) * (1.0 + legs.side * rng.normal(0.0, 0.4)) * legs.length
    lift = rng.uniform(0.10, 0.50) * legs.length * np.maximum(np.sin(phase), 0.0)
    feet = stand.feet.copy()
    feet[:, 0] += stride * np.cos(phase)
    feet[:, 2] += lift
    return replace(stand, feet=feet)


def grooming_antenna(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """A front leg draws the lowered antenna of its side through."""
    stand = standing(rng, legs, landmarks)
    leg = _leg(legs, 1, 1)
    along = rng.uniform(0.3, 1.1)
    place = (1.0 - along) * landmarks["an_1_l"] + along * landmarks["an_3_l"]
    feet = stand.feet.copy()
    feet[leg] = place + legs.length[leg] * np.array([0.0, rng.normal(0.04, 0.04), -0.12])
    trunk = stand.trunk
    down, inward = rng.uniform(0.2, 0.9), rng.uniform(-0.2, 0.4)
    return Posture(
        feet,
        stand.bend,
        replace(
            trunk,
            head=trunk.head + np.array([rng.uniform(-0.4, 0.1), 0.25, rng.uniform(-0.3, 0.4)]),
            antenna_up=trunk.antenna_up + np.array([-0.5, 0.0]),
            elbow_down=trunk.elbow_down + np.array([down, 0.0]),
            elbow_in=trunk.elbow_in + np.array([inward, 0.0]),
        ),
    )


def grooming_head(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """Both front legs, or one, at the mouth; the head bows."""
    stand = standing(rng, legs, landmarks)
    feet = stand.feet.copy()
    for side in (1, -1) if rng.random() < 0.7 else (1,):
        leg = _leg(legs, 1, side)
        mouth = 0.5 * (landmarks["ma_l"] + landmarks["ma_r"])
        off = np.array([rng.normal(0.08, 0.06), side * rng.uniform(0.06, 0.16), -0.20])
        feet[leg] = mouth + legs.length[leg] * off
    trunk = stand.trunk
    bowed = trunk.head + np.array([0.0, rng.uniform(0.1, 0.5), 0.0])
    opened = trunk.mandible + rng.uniform(0.0, 0.5)
    return Posture(feet, stand.bend, replace(trunk, head=bowed, mandible=opened))


def grooming_abdomen(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """A hind leg, or both, along the flank of the abdomen, which bends towards it."""
    stand = standing(rng, legs, landmarks)
    feet = stand.feet.copy()
    both = rng.random() < 0.5
    for side in (1, -1) if both else (1,):
        leg = _leg(legs, 3, side)
        along = rng.uniform(0.0, 1.0)
        place = (1.0 - along) * landmarks["b_a_3"] + along * landmarks["b_a_5"]
        off = np.array([0.0, side * rng.uniform(0.16, 0.30), rng.uniform(-0.25, 0.2)])
        feet[leg] = place + legs.length[leg] * off
    bent = np.array([0.0, rng.uniform(-0.1, 0.6), 0.0 if both else -rng.uniform(0.1, 0.7)])
    return replace(
        stand, feet=feet, trunk=replace(stand.trunk, abdomen=stand.trunk.abdomen + bent)
    )


def rubbing_legs(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """Two neighbouring feet of one side brought near each other."""
    stand = standing(rng, legs, landmarks)
    front = int(rng.integers(1, 3))
    one, two = _leg(legs, front, 1), _leg(legs, front + 1, 1)
    share, gap = rng.uniform(0.3, 0.7), 0.10 * legs.length[one]
    meet = share * stand.feet[one] + (1.0 - share) * stand.feet[two]
    meet = meet + np.array([0.0, 0.0, rng.uniform(0.0, 0.3) * legs.length[one]])
    feet = stand.feet.copy()
    feet[one] = meet + np.array([gap, 0.0, 0.0])
    feet[two] = meet - np.array([gap, 0.0, 0.0])
    return replace(stand, feet=feet)


def climbing(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """Front legs, at times the middle ones, reach forward and up; the head is raised."""
    stand = standing(rng, legs, landmarks)
    feet = stand.feet.copy()
    farthest = 2 if rng.random() < 0.35 else 1
    for leg in np.flatnonzero(legs.number <= farthest):
        if rng.random() < 0.2:
            continue
        azimuth, height = rng.uniform(-0.2, 1.1), rng.uniform(0.0, 1.25)
        direction = np.array(
            [np.cos(azimuth), legs.side[leg] * np.sin(azimuth), np.tan(0.6 * height)]
        )
        direction /= np.linalg.norm(direction)
        feet[leg] = legs.hips[leg] + rng.uniform(0.5, 0.95) * legs.length[leg] * direction
    trunk = stand.trunk
    raised = trunk.head + np.array([0.0, rng.uniform(-0.55, 0.05), 0.0])
    curl = trunk.abdomen + np.array([0.0, rng.uniform(-0.5, 0.5), 0.0])
    return replace(stand, feet=feet, trunk=replace(trunk, head=raised, abdomen=curl))


def curled(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """Abdomen and head under the body, the legs drawn in below it."""
    del landmarks
    trunk = draw_trunk(rng)
    tight = rng.uniform(0.4, 1.0)
    out = rng.uniform(0.22, 0.45, 6) * legs.length
    feet = legs.hips + out[:, None] * _turned(legs.outward, rng.normal(0.0, 0.35, 6))
    feet[:, 2] -= rng.uniform(0.25, 0.55, 6) * legs.length
    return Posture(
        feet,
        np.zeros((6, len(HINGES))),
        replace(
            trunk,
            abdomen=trunk.abdomen + np.array([0.0, 1.3 * tight, 0.0]),
            head=trunk.head + np.array([0.0, 0.5 * tight, 0.0]),
            antenna_up=trunk.antenna_up - 0.5 * tight,
            elbow_down=trunk.elbow_down + 0.4 * tight,
        ),
    )


def stretched(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """Legs held far out: a stick insect at rest, a threat, a fall."""
    del landmarks
    height = rng.normal(-0.15, 0.3) + rng.normal(0.0, 0.2, 6)
    turn = rng.normal(0.0, 0.3, 6) + rng.normal(0.0, 0.25) * np.where(legs.number == 1, 1, -1)
    direction = _turned(legs.outward, turn * legs.side)
    direction = direction + np.tan(height)[:, None] * np.array([0.0, 0.0, 1.0])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    far = rng.uniform(0.78, 0.98, 6) * legs.length
    trunk = draw_trunk(rng)
    lifted = trunk.abdomen + np.array([0.0, rng.uniform(-0.7, 0.2), 0.0])
    return Posture(
        legs.hips + far[:, None] * direction,
        np.zeros((6, len(HINGES))),
        replace(trunk, abdomen=lifted),
    )


def folded(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """Knees up and feet near the body, as in dead or resting animals."""
    del landmarks
    out = rng.uniform(0.15, 0.42, 6) * legs.length
    feet = legs.hips + out[:, None] * _turned(legs.outward, rng.normal(0.0, 0.5, 6))
    feet[:, 2] += rng.uniform(-0.35, 0.10, 6) * legs.length
    bend = np.zeros((6, len(HINGES)))
    bend[:, HINGES.index(("tr", "lift"))] = rng.uniform(0.1, 0.7)
    bend[:, HINGES.index(("fe", "bend"))] = rng.uniform(0.1, 0.6)
    trunk = draw_trunk(rng)
    return Posture(feet, bend, replace(trunk, abdomen=trunk.abdomen + np.array([0.0, 0.4, 0.0])))


def struggling(rng: Generator, legs: Legs, landmarks: Landmarks) -> Posture:
    """Every leg for itself, anywhere that it gets to."""
    del landmarks
    turn = rng.normal(0.0, 0.55, 6)
    height = rng.uniform(-1.1, 0.6, 6)
    far = rng.uniform(0.4, 0.95, 6) * legs.length
    flat = np.cos(height)[:, None] * _turned(legs.outward, turn)
    feet = legs.hips + far[:, None] * (flat + np.sin(height)[:, None] * np.array([0.0, 0.0, 1.0]))
    return Posture(feet, rng.normal(0.0, 0.2, (6, len(HINGES))), draw_trunk(rng))


POSTURES: dict[Callable[[Generator, Legs, Landmarks], Posture], float] = {
    standing: 0.10,
    walking: 0.24,
    grooming_antenna: 0.07,
    grooming_head: 0.07,
    grooming_abdomen: 0.07,
    rubbing_legs: 0.04,
    climbing: 0.11,
    curled: 0.07,
    stretched: 0.09,
    folded: 0.06,
    struggling: 0.09,
}
"""Every posture and how often it is drawn."""


def _on_ground(
    rng: Generator, legs: Legs, drop: float, spread: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """Feet (L, 3) on a slightly tilted plane `drop` below the hips, `spread` times rest out."""
    flat = np.linalg.norm((legs.rest[:, -1] - legs.hips)[:, :2], axis=1)
    farthest = np.sqrt(np.maximum((0.95 * legs.length) ** 2 - drop**2, 0.0))
    out = np.minimum(spread * flat, farthest)
    feet = legs.hips + out[:, None] * _turned(legs.outward, turn * legs.side)
    slope = rng.normal(0.0, 0.12, 2)
    middle = legs.hips.mean(axis=0)
    feet[:, 2] = middle[2] - drop + (feet[:, :2] - middle[:2]) @ slope
    return feet


def _leg(legs: Legs, number: int, side: int) -> int:
    return int(np.flatnonzero((legs.number == number) & (legs.side == side))[0])


def _turned(directions: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Horizontal directions (L, 3) turned about the vertical, counterclockwise from above."""
    cos, sin = np.cos(angles), np.sin(angles)
    x, y = directions[:, 0], directions[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y, np.zeros_like(x)], axis=1)
