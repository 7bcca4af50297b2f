"""What a head gives: raw outputs, and where it saw the joints if it looks at each.

`Estimator` is how a head that corrects itself learns where its raw outputs put the joints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

OUTPUT_GAIN = 0.01
"""Gain of the last layer's initial weights: predictions start near the initial estimate."""


class KeypointMaps(NamedTuple):
    """Where each joint was seen in the picture.

    Attributes:
        logits: Heat maps before their softmax over cells.
        xy: Expected place under the heat map, fractions of the picture.
        scale: Predicted scale b of the distance r between `xy` and the joint, a fraction of the
            picture; r is distributed as r exp(-r / b) / b^2 (isotropic Laplace).
    """

    logits: Float[Tensor, "batch n_joints rows columns"]
    xy: Float[Tensor, "batch n_joints 2"]
    scale: Float[Tensor, "batch n_joints"]


class HeadOutput(NamedTuple):
    """Raw numbers that `models.decoder` turns into SMIL parameters, and what stands behind them.

    Attributes:
        raw: The groups of `core.params.HeadLayout`.
        keypoints: None for heads that do not look at single joints.
    """

    raw: Float[Tensor, "batch total"]
    keypoints: KeypointMaps | None = None


@dataclass(frozen=True)
class EstimatedJoints:
    """Joints of an estimate, in the camera frame.

    Attributes:
        xy: Where they project to, fractions of the picture.
        position: Relative to the root joint, in lengths of the mean body.
        rotation: Joint frame -> camera; columns are the joint's axes.
        extent: Half the height of the viewing frustum at the root, in lengths of the mean body.
        below: 1 where a joint (column) hangs on another (row), however far down.
        child_mean: Rows that take the mean over a joint's own children; zero for leaves.
    """

    xy: Float[Tensor, "batch n_joints 2"]
    position: Float[Tensor, "batch n_joints 3"]
    rotation: Float[Tensor, "batch n_joints 3 3"]
    extent: Float[Tensor, "batch 1 1"]
    below: Float[Tensor, "n_joints n_joints"]
    child_mean: Float[Tensor, "n_joints n_joints"]


Estimator = Callable[[Float[Tensor, "batch total"]], EstimatedJoints]
"""Raw outputs to joints: decoder, kinematics and camera."""
