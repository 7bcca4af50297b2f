"""What is fitted in which order, as data: free parameters, weights, steps, step sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from smil_ray.fitting.state import ROBUST_SHARE

RATES: dict[str, float] = {
    "global_rot": 0.02,
    "trans": 0.01,
    "joint_rot": 0.02,
    "betas": 0.05,
    "bones": 0.05,
    "log_fov": 0.01,
}
"""Adam's step size of each group: radians; shares of the picture, and ln of depth; radians; shape
coefficients; usual deviations of bones; ln."""


@dataclass(frozen=True)
class Stage:
    """A part of a fit.

    Attributes:
        name: For people.
        steps: Optimiser steps.
        free: Groups of RATES that are moved.
        weights: Weight of each term; terms without are left out.
        rate: Factor of all step sizes.
        end_rate: Factor of `rate` that the step sizes fall to by the end (half a cosine).
        robust: 2D distances well beyond this share of the picture count hardly more.
    """

    name: str
    steps: int
    free: tuple[str, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    rate: float = 1.0
    end_rate: float = 1.0
    robust: float = ROBUST_SHARE


PLACE = ("global_rot", "trans")
ALL = (*PLACE, "joint_rot", "betas")
WITH_BONES = (*ALL, "bones")

WEIGHTS: dict[str, float] = {
    "keypoint_2d": 1.0,
    "silhouette": 0.02,
    "pose_change": 0.2,
    "pose_prior": 0.15,
    "joint_limits": 1.0,
    "shape_prior": 0.006,
    "smoothness": 1.0,
}
"""Weights of the last stage, in which a fit is accepted or not."""
REFINE: tuple[Stage, ...] = (
    Stage("place", 40, PLACE, WEIGHTS),
    Stage("pose", 120, ALL, WEIGHTS, end_rate=0.1),
)
"""From a prediction."""

FOUND: dict[str, float] = {
    "keypoint_2d": 1.0,
    "silhouette": 0.02,
    "pose_prior": 0.15,
    "joint_limits": 1.0,
    "shape_prior": 0.006,
    "bone_prior": 0.01,
    "smoothness": 1.0,
}
"""Weights of fits from scratch: there is no prediction to stay near."""
FIND: tuple[Stage, ...] = (
    Stage("place", 30, PLACE, FOUND, rate=2.0, robust=0.1),
    Stage("all", 100, WITH_BONES, FOUND, rate=1.5, end_rate=0.1),
)
"""From each start; without masks."""
POLISH: tuple[Stage, ...] = (Stage("polish", 60, WITH_BONES, FOUND, rate=0.7, end_rate=0.1),)
"""From the mean of what FIND led to; with masks."""


def without(group: str, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages with one of the groups held fast."""
    return tuple(replace(s, free=tuple(name for name in s.free if name != group)) for s in stages)
