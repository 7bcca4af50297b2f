"""Tokens of joints and of the whole animal become raw outputs."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.core.params import HeadLayout
from smil_ray.models.heads.output import OUTPUT_GAIN


class TokenOutputs(nn.Module):
    """Tokens to raw outputs, by the layout's groups; a joint has a matrix of its own besides."""

    def __init__(self, layout: HeadLayout, width: int) -> None:
        super().__init__()
        self.layout = layout
        widths = layout.widths
        self.global_groups = tuple(g for g in widths if g not in layout.joint_groups)
        self.joint_groups = tuple(g for g in widths if g in layout.joint_groups)
        per_joint = sum(layout.joint_groups[g] for g in self.joint_groups)
        self.of_all = nn.Linear(width, per_joint)
        self.of_each = nn.Parameter(torch.zeros(layout.n_joints, width, per_joint))
        self.bias = nn.Parameter(torch.zeros(layout.n_joints, per_joint))
        self.of_whole = nn.Linear(width, sum(widths[g] for g in self.global_groups))
        for linear in (self.of_all, self.of_whole):
            nn.init.xavier_uniform_(linear.weight, gain=OUTPUT_GAIN)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        whole: Float[Tensor, "batch width"],
        joints: Float[Tensor, "batch n_joints width"],
        root_xy: Float[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch total"]:
        """Return what the tokens add to an estimate.

        Args:
            whole: The token of the whole animal.
            joints: One token per joint.
            root_xy: Where the root was seen, fractions of the picture; it is added to its place.
        """
        each = torch.einsum("bjw,jwo->bjo", joints, self.of_each) + self.bias + self.of_all(joints)
        widths = self.layout.widths
        sizes = [widths[group] for group in self.global_groups]
        parts = self.of_whole(whole).split(sizes, dim=1)
        found = dict(zip(self.global_groups, parts, strict=True))
        sizes = [self.layout.joint_groups[group] for group in self.joint_groups]
        for group, part in zip(self.joint_groups, each.split(sizes, dim=2), strict=True):
            found[group] = part.flatten(1)[:, -widths[group] :]
        if root_xy is not None:
            found["root_ndc"] = found["root_ndc"] + 1.0 - 2.0 * root_xy
        return torch.cat([found[group] for group in widths], dim=1)
