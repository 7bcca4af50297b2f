"""Look at where the estimate puts the joints, compare with where they were seen, and correct it.

Sources: estimates that are corrected by their own projection (Zhang et al. 2021, "PyMAF"; Wang and
Daniilidis 2023, "ReFit: Recurrent Fitting Network"), steps learnt from the gradient of a fit (Song
et al. 2020, "Human Body Model Fitting by Learned Gradient Descent").
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.core.device import exact
from smil_ray.core.params import HeadLayout
from smil_ray.models.heads._look import Look
from smil_ray.models.heads._outputs import TokenOutputs
from smil_ray.models.heads.output import EstimatedJoints, Estimator

_SOFTENING = 1e-3
"""Added to squared lever arms, squared body lengths: leaves have none."""
COMPARED_WIDTH = 17
"""Numbers that `compare` gives for a joint."""


class Refinement(nn.Module):
    """One correction of an estimate; nothing flows back into the look or the estimate compared."""

    def __init__(self, layout: HeadLayout, width: int, layer: nn.Module) -> None:
        super().__init__()
        self.compared = nn.Linear(COMPARED_WIDTH, width)
        self.layer = layer
        self.norm = nn.LayerNorm(width)
        self.outputs = TokenOutputs(layout, width)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        raw: Float[Tensor, "batch total"],
        look: Look,
        estimator: Estimator,
    ) -> tuple[Float[Tensor, "batch tokens width"], Float[Tensor, "batch total"]]:
        """Return the tokens (the whole animal's first) and the raw outputs, corrected."""
        with torch.no_grad(), exact(raw.device):
            compared = compare(look, estimator(raw))
        joints = tokens[:, 1:] + self.compared(compared)
        tokens = self.layer(torch.cat([tokens[:, :1], joints], dim=1))
        normed = self.norm(tokens).float()
        with exact(normed.device):
            return tokens, raw + self.outputs(normed[:, 0], normed[:, 1:])


def compare(look: Look, joints: EstimatedJoints) -> Float[Tensor, "batch n_joints 17"]:
    """Return what lies between the estimate and the places seen, with values around 1.

    For every joint: the way from its projection to where it was seen; how sure the look is; its
    projection; its orientation (6D); the rotation about it that would best bring what hangs on
    it to where that was seen; by how much its children are off on average. The last two are in
    the joint's own axes, in which a correction of its rotation is the same whatever its pose.
    """
    off = look.xy - joints.xy
    # At the root's depth: the camera's x points left and its y up, against the picture's.
    way = torch.cat([-2.0 * off * joints.extent, torch.zeros_like(off[..., :1])], dim=-1)
    turn = best_turn(joints.position, way, joints.below)
    children = joints.child_mean @ way
    return torch.cat(
        [
            10.0 * off.clamp(-0.5, 0.5),
            look.spread.log(),
            joints.xy.clamp(-0.5, 1.5),
            joints.rotation[..., :2, :].flatten(-2),
            3.0 * _in_own_axes(joints.rotation, turn).clamp(-2.0, 2.0),
            10.0 * _in_own_axes(joints.rotation, children).clamp(-1.0, 1.0),
        ],
        dim=-1,
    )


def best_turn(
    position: Float[Tensor, "batch n_joints 3"],
    way: Float[Tensor, "batch n_joints 3"],
    below: Float[Tensor, "n_joints n_joints"],
) -> Float[Tensor, "batch n_joints 3"]:
    """Return for each joint the gradient step of turning what hangs on it by `way`.

    With lever arms l of the joints below, sum(l x way) / sum(|l|^2): the small rotation vector
    that turns a rigid part there where it is free to turn about an axis across its lever arms.

    Args:
        position: Joints, in any frame.
        way: Where each should go from there, in the same frame and unit.
        below: Rows: which joints hang on each, see `EstimatedJoints`.
    """
    # sum over d of (p_d - p_j) x w_d, without a tensor of pairs.
    moment = below @ torch.cross(position, way, dim=-1)
    moment = moment - torch.cross(position, below @ way, dim=-1)
    squares = position.square().sum(dim=-1, keepdim=True)
    levers = below @ squares - 2.0 * (position * (below @ position)).sum(dim=-1, keepdim=True)
    levers = levers + squares * below.sum(dim=1, keepdim=True)
    return moment / (levers.clamp_min(0.0) + _SOFTENING)


def _in_own_axes(
    rotation: Float[Tensor, "batch n_joints 3 3"], vector: Float[Tensor, "batch n_joints 3"]
) -> Float[Tensor, "batch n_joints 3"]:
    return (rotation.mT @ vector[..., None])[..., 0]
