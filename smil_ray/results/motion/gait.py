"""Stance and swing of the feet, from where they are along the trunk.

While an animal walks forward, a foot on the ground moves backward along the trunk, and a foot in
the air forward: lift-off is at the posterior extreme position, touch-down at the anterior one
(Cruse 1990). No camera that stands still is needed, and no ground. An animal that walks backward
has the two exchanged.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from smil_ray.results.motion.smoothing import local_weights, smooth_values

LEAST_STRIDE = 0.03
"""A foot that goes forward by less than this share of the body length stays in stance."""
_SHARE_OF_SPEED = 0.1
_FAST = 95.0
_HALF_WIDTH = 2


@dataclass(frozen=True)
class Step:
    """One swing of a foot and the stance after it.

    Attributes:
        foot: Column of the foot.
        lift_off: Row in which it is in the air first.
        touch_down: Row in which it is on the ground again.
        next_lift_off: Row of the next lift-off; None at the end.
        stride: How far forward it went along the trunk, body lengths.
    """

    foot: int
    lift_off: int
    touch_down: int
    next_lift_off: int | None
    stride: float

    @property
    def duty_factor(self) -> float | None:
        """Share of the cycle in which the foot is on the ground; None at the end."""
        if self.next_lift_off is None:
            return None
        return (self.next_lift_off - self.touch_down) / (self.next_lift_off - self.lift_off)


def find_stance(
    forward: Float[np.ndarray, "n n_feet"], frames: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, "n n_feet"]:
    """Return when each foot is on the ground.

    Args:
        forward: Where each foot is along the trunk, body lengths.
        frames: Ascending numbers of frames.
    """
    n, n_feet = forward.shape
    if n < 3:
        return np.ones((n, n_feet), dtype=bool)
    places, weights = local_weights(frames, _HALF_WIDTH)
    smooth = smooth_values(forward, places, weights)
    speed = np.gradient(smooth, frames.astype(np.float64), axis=0)
    stance = np.ones((n, n_feet), dtype=bool)
    for foot in range(n_feet):
        least = _SHARE_OF_SPEED * np.percentile(np.abs(speed[:, foot]), _FAST)
        for start, end in _runs(speed[:, foot] > max(float(least), 1e-9)):
            last = min(end, n - 1)
            if smooth[last, foot] - smooth[start, foot] >= LEAST_STRIDE:
                stance[start:end, foot] = False
    return stance


def find_steps(
    stance: Bool[np.ndarray, "n n_feet"], forward: Float[np.ndarray, "n n_feet"]
) -> list[Step]:
    """Return all whole swings, foot by foot in order of time; those cut by the ends are left out.

    Args:
        stance: From `find_stance`.
        forward: Where each foot is along the trunk, body lengths.
    """
    steps = []
    for foot in range(stance.shape[1]):
        runs = _runs(~stance[:, foot])
        for number, (start, end) in enumerate(runs):
            if start == 0 or end == len(stance):
                continue
            following = runs[number + 1][0] if number + 1 < len(runs) else None
            stride = float(forward[end, foot] - forward[start, foot])
            steps.append(Step(foot, start, end, following, stride))
    return steps


def _runs(flags: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Return beginning and end (not included) of each run of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
