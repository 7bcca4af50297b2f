"""One token per joint: a heat map says where to look, attention what the joints mean together.

Each joint has a heat map over a fine feature map; the features averaged under it, its place and
its spread make the joint's token. Transformer layers let the joints and one global token exchange.
Then each joint's token gives its rotation, and the global token the root's rotation, shape and
camera. Between layers, a joint may look again at the map where it now believes to be.

Sources: integral regression of heat maps (Sun et al. 2018, "Integral Human Pose Regression"),
tokens of joints (Lin et al. 2021, "End-to-End Human Pose and Mesh Reconstruction with
Transformers"), looking again at projected places (Zhang et al. 2021, "PyMAF").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.config import HeadConfig
from smil_ray.core.params import HeadLayout
from smil_ray.errors import ConfigError
from smil_ray.models.backbones import BackboneSpec, Features
from smil_ray.models.heads._positions import grid_coordinates
from smil_ray.models.heads._pyramid import Pyramid
from smil_ray.models.heads.output import HeadOutput, KeypointMaps

OUTPUT_GAIN = 0.01
"""Gain of the last layers' initial weights: predictions start near the initial estimate."""
DEFAULT_WIDTH = 128
_FREQUENCIES = 6
_WIDTH_STEP = 16
_TOKEN_SPREAD = 0.02
_SCALE_RANGE = (1e-3, 1.0)
_FIRST_SCALE = 0.1


class JointTokensHead(nn.Module):
    """Raw outputs from one token per joint and a global one.

    Raises:
        ConfigError: `hidden_dim` is not a multiple of 16 and of `num_heads`.
    """

    cells: Tensor

    def __init__(self, spec: BackboneSpec, layout: HeadLayout, config: HeadConfig) -> None:
        super().__init__()
        width = _width(config)
        self.layout = layout
        self.pyramid = Pyramid(spec, width, config.finest_stride)
        self.heat = nn.Conv2d(self.pyramid.widths[-1], layout.n_joints, 1)
        self.register_buffer("cells", _cell_centres(self.pyramid.grids[-1]), persistent=False)
        self.joint = nn.Parameter(torch.randn(layout.n_joints, width) * _TOKEN_SPREAD)
        self.seen = nn.Linear(sum(self.pyramid.widths), width)
        self.place = nn.Linear(_place_width(), width)
        self.pooled = nn.Sequential(
            nn.LayerNorm(spec.num_features), nn.Linear(spec.num_features, width)
        )
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config.num_heads,
                4 * width,
                config.dropout,
                nn.functional.gelu,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.outputs = _Outputs(layout, width)
        self.scale = nn.Linear(width, 1)
        nn.init.zeros_(self.scale.weight)
        nn.init.constant_(self.scale.bias, math.log(_FIRST_SCALE))

    def forward(self, features: Features, initial: Float[Tensor, " total"]) -> HeadOutput:
        """Return the raw outputs and where each joint was seen."""
        levels = self.pyramid(features)
        logits = self.heat(levels[-1]).float()
        look = look_under(logits, levels, self.cells)
        tokens = self.joint + self.seen(look.features) + self.place(_encode(look))
        everything = torch.cat([self.pooled(features.pooled)[:, None], tokens], dim=1)
        for layer in self.layers:
            everything = layer(everything)
        everything = self.norm(everything).float()
        raw = self.outputs(everything[:, 0], everything[:, 1:], look.xy, initial)
        # What a joint's error is must not change what the joint is.
        scale = self.scale(everything[:, 1:].detach())[..., 0].clamp(*map(math.log, _SCALE_RANGE))
        return HeadOutput(raw, KeypointMaps(logits, look.xy, scale.exp()))


@dataclass(frozen=True)
class Look:
    """What lies under each joint's heat map.

    Attributes:
        features: Mean features of every level under the heat map.
        xy: Expected place, fractions of the picture.
        spread: Standard deviation of the place under the heat map, fraction of the picture.
    """

    features: Float[Tensor, "batch n_joints width"]
    xy: Float[Tensor, "batch n_joints 2"]
    spread: Float[Tensor, "batch n_joints 1"]


def look_under(
    logits: Float[Tensor, "batch n_joints rows columns"],
    levels: Sequence[Float[Tensor, "batch _width _rows _columns"]],
    cells: Float[Tensor, "cells 2"],
) -> Look:
    """Return what the softmax of each heat map finds.

    Args:
        logits: Heat maps, as fine as the last level.
        levels: Feature maps.
        cells: Places of the heat maps' cells, fractions of the picture.
    """
    heat = logits.flatten(2).softmax(dim=-1)
    maps = heat.unflatten(2, tuple(logits.shape[-2:]))
    xy = heat @ cells
    square = heat @ cells.square().sum(dim=-1, keepdim=True)
    variance = square - xy.square().sum(dim=-1, keepdim=True)
    features = torch.cat([_mean_under(maps, level) for level in levels], dim=2)
    return Look(features, xy, variance.clamp_min(1e-8).sqrt())


def _mean_under(
    heat: Float[Tensor, "batch n_joints rows columns"],
    level: Float[Tensor, "batch width rows_level columns_level"],
) -> Float[Tensor, "batch n_joints width"]:
    """Return the mean features of a level under heat maps, which are pooled to its size."""
    size, own = tuple(level.shape[-2:]), tuple(heat.shape[-2:])
    if size != own:
        heat = nn.functional.interpolate(heat, size=size, mode="area")
        heat = heat * (own[0] * own[1] / (size[0] * size[1]))
    return heat.flatten(2).to(level.dtype) @ level.flatten(2).mT


class _Outputs(nn.Module):
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
        xy: Float[Tensor, "batch n_joints 2"],
        initial: Float[Tensor, " total"],
    ) -> Float[Tensor, "batch total"]:
        """Return the initial estimate and what the tokens add; the root is where it was seen."""
        each = torch.einsum("bjw,jwo->bjo", joints, self.of_each) + self.bias + self.of_all(joints)
        widths = self.layout.widths
        found = dict(
            zip(
                self.global_groups,
                self.of_whole(whole).split([widths[g] for g in self.global_groups], dim=1),
                strict=True,
            )
        )
        sizes = [self.layout.joint_groups[g] for g in self.joint_groups]
        for group, part in zip(self.joint_groups, each.split(sizes, dim=2), strict=True):
            found[group] = part.flatten(1)[:, -widths[group] :]
        found["root_ndc"] = found["root_ndc"] + 1.0 - 2.0 * xy[:, 0]
        return initial + torch.cat([found[group] for group in widths], dim=1)


def _encode(look: Look) -> Float[Tensor, "batch n_joints e"]:
    """Return sines and cosines of the place, and the logarithm of the spread."""
    rates = torch.pi * 2.0 ** torch.arange(_FREQUENCIES, device=look.xy.device)
    phase = (look.xy[..., None] * rates).flatten(-2)
    return torch.cat([look.xy, phase.sin(), phase.cos(), look.spread.log()], dim=-1)


def _place_width() -> int:
    return 2 + 2 * 2 * _FREQUENCIES + 1


def _cell_centres(grid: tuple[int, int]) -> Float[Tensor, "cells 2"]:
    return (grid_coordinates(grid) + 1.0) / 2.0


def _width(config: HeadConfig) -> int:
    width = config.hidden_dim or DEFAULT_WIDTH
    step = math.lcm(_WIDTH_STEP, config.num_heads)
    if width % step:
        raise ConfigError(
            "model.head.hidden_dim",
            expected=f"a multiple of {step} (16 and num_heads)",
            found=width,
            remedy=f"the next one is {math.ceil(width / step) * step}",
        )
    return width
