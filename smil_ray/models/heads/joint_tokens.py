"""One token per joint: a heat map says where to look, attention what the joints mean together.

Each joint has a heat map over a fine feature map; the features averaged under it, its place and
its spread make the joint's token. Transformer layers let the joints and one global token exchange.
Then each joint's token gives its rotation, and the global token the root's rotation, shape and
camera. This estimate is posed and projected, compared with where the joints were seen, and
corrected; see `_refinement`. Where somebody gives the places of some joints, these take the place
of heat maps; see `_prompts`.

Sources: integral regression of heat maps (Sun et al. 2018, "Integral Human Pose Regression"),
tokens of joints (Lin et al. 2021, "End-to-End Human Pose and Mesh Reconstruction with
Transformers"); for the corrections see `_refinement`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.config import HeadConfig
from smil_ray.core.device import exact
from smil_ray.core.params import HeadLayout
from smil_ray.errors import ConfigError
from smil_ray.models.features import BackboneSpec, Features, JointPlaces
from smil_ray.models.heads._look import ENCODED_WIDTH, Look, cell_centres, encode, look_under
from smil_ray.models.heads._outputs import TokenOutputs
from smil_ray.models.heads._prompts import PROMPT_SPREAD, given_joints, prompted
from smil_ray.models.heads._pyramid import Pyramid
from smil_ray.models.heads._refinement import Refinement
from smil_ray.models.heads.output import Estimator, HeadOutput, KeypointMaps

DEFAULT_WIDTH = 128
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
        self.pyramid = Pyramid(spec, width, config.finest_stride)
        self.heat = nn.Conv2d(self.pyramid.widths[-1], layout.n_joints, 1)
        self.register_buffer("cells", cell_centres(self.pyramid.grids[-1]), persistent=False)
        self.joint = nn.Parameter(torch.randn(layout.n_joints, width) * _TOKEN_SPREAD)
        self.seen = nn.Linear(sum(self.pyramid.widths), width)
        self.place = nn.Linear(ENCODED_WIDTH, width)
        self.pooled = nn.Sequential(
            nn.LayerNorm(spec.num_features), nn.Linear(spec.num_features, width)
        )
        self.layers = nn.ModuleList(
            attention_layer(width, config.num_heads, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.outputs = TokenOutputs(layout, width)
        self.refinements = nn.ModuleList(
            Refinement(layout, width, attention_layer(width, config.num_heads, config.dropout))
            for _ in range(config.refinements)
        )
        self.given = nn.Parameter(torch.zeros(width)) if config.prompt_share else None
        self.scale = nn.Linear(width, 1)
        nn.init.zeros_(self.scale.weight)
        nn.init.constant_(self.scale.bias, math.log(_FIRST_SCALE))

    def forward(
        self,
        features: Features,
        initial: Float[Tensor, " total"],
        estimator: Estimator | None = None,
        prompts: Float[Tensor, "batch n_joints 2"] | None = None,
        lifted: JointPlaces | None = None,
    ) -> HeadOutput:
        """Return the raw outputs and where each joint was seen.

        Args:
            features: The backbone's.
            initial: Raw outputs from which the estimate starts.
            estimator: Where raw outputs put the joints; refinements need it.
            prompts: Given places of joints, fractions of the picture; NaN: not given. The heat
                maps and places that come out are the network's own all the same. `Regressor`
                refuses them where `prompt_share` is 0.
            lifted: Places of joints for which there are no pictures. `raw` has rows for them after
                those of the pictures, and so have `features.pooled` and the estimator's camera.
        """
        levels = self.pyramid(features)
        logits = self.heat(levels[-1]).float()
        own = look = look_under(logits, levels, self.cells)
        if prompts is not None:
            look = self._told(prompts, logits, levels, look)
        if lifted is not None:
            # Heat maps are taught to be Gaussians of one cell.
            look = look.beside(lifted, math.sqrt(2.0) / max(logits.shape[-2:]))
        joints = self.joint + self.seen(look.features) + self.place(encode(look))
        if prompts is not None and self.given is not None:
            rows = len(joints) - len(prompts)
            told = nn.functional.pad(given_joints(prompts), (0, 0, 0, rows))
            joints = joints + self.given * told[..., None]
        tokens = torch.cat([self.pooled(features.pooled)[:, None], joints], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        normed = self.norm(tokens).float()
        with exact(normed.device):
            raw = initial + self.outputs(normed[:, 0], normed[:, 1:], look.xy[:, 0])
            # What a joint's error is must not change what the joint is.
            scale = self.scale(normed[: len(logits), 1:].detach())[..., 0]
        scale = scale.clamp(*map(math.log, _SCALE_RANGE))
        for refinement in self.refinements:
            if estimator is None:
                raise ValueError("JointTokensHead: refinements need an estimator")
            tokens, raw = refinement(tokens, raw, look, estimator)
        return HeadOutput(raw, KeypointMaps(logits, own.xy, scale.exp()))

    def _told(
        self,
        prompts: Float[Tensor, "batch n_joints 2"],
        logits: Float[Tensor, "batch n_joints rows columns"],
        levels: list[Tensor],
        look: Look,
    ) -> Look:
        """Return the look at the places that are given, and at the own ones of the others."""
        there = look_under(prompted(logits, prompts, self.cells), levels, self.cells)
        given = given_joints(prompts)[..., None]
        return Look(
            torch.where(given, there.features, look.features),
            torch.where(given, prompts.nan_to_num(nan=0.5), look.xy),
            torch.where(given, PROMPT_SPREAD, look.spread),
        )


def attention_layer(width: int, heads: int, dropout: float) -> nn.Module:
    """Return one layer in which all tokens exchange."""
    return nn.TransformerEncoderLayer(
        width,
        heads,
        4 * width,
        dropout,
        nn.functional.gelu,
        batch_first=True,
        norm_first=True,
    )


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
