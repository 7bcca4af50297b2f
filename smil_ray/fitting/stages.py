"""What is fitted in which order, as data: free parameters, weights, steps, step sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

RATES: dict[str, float] = {
    "global_rot": 0.02,
    "trans": 0.02,
    "joint_rot": 0.02,
    "betas": 0.05,
    "log_fov": 0.01,
}
"""Adam's step size of each group: radians, shares of depth, radians, unitless, ln."""


@dataclass(frozen=True)
class Stage:
    """A part of a fit.

    Attributes:
        name: For people.
        steps: Optimiser steps.
        free: Groups of RATES that are moved.
        weights: Weight of each term; terms without are left out.
        rate: Factor of all step sizes.
    """

    name: str
    steps: int
    free: tuple[str, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    rate: float = 1.0


WEIGHTS: dict[str, float] = {
    "keypoint_2d": 1.0,
    "pose_prior": 0.2,
    "joint_limits": 1.0,
    "shape_prior": 0.002,
}
"""Weights of the last stage, in which a fit is accepted or not."""
REFINE: tuple[Stage, ...] = (
    Stage("place", 40, ("global_rot", "trans"), WEIGHTS),
    Stage("pose", 120, ("global_rot", "trans", "joint_rot", "betas"), WEIGHTS),
)
"""From a prediction."""

LOOSE: dict[str, float] = {**WEIGHTS, "pose_prior": 0.02, "shape_prior": 0.01}
"""Weights of fits from scratch: their start is the rest pose, of which nobody is sure."""
FIND: tuple[Stage, ...] = (Stage("place", 60, ("global_rot", "trans"), WEIGHTS, rate=2.0),)
"""For each view that a fit from scratch tries."""
SCRATCH: tuple[Stage, ...] = (
    Stage("pose", 150, ("global_rot", "trans", "joint_rot"), LOOSE, rate=1.5),
    Stage("all", 150, ("global_rot", "trans", "joint_rot", "betas"), LOOSE),
)
"""From the best views."""
