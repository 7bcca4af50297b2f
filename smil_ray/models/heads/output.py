"""What a head gives: raw outputs, and where it saw the joints if it looks at each."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


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
