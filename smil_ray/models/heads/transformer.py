"""A transformer decoder over all tokens, with iterative error feedback.

A few query tokens, which know the pooled feature and the current estimate, look at every token of
the image and correct the estimate; then they look again (Carreira et al. 2016; Goel et al. 2023,
"Humans in 4D"). Nothing with weights lies between backbone and attention, so that tokens of a
frozen backbone need no gradient (docs/decisions/0010).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.config import HeadConfig
from smil_ray.core.device import exact
from smil_ray.core.params import HeadLayout
from smil_ray.errors import ConfigError
from smil_ray.models.features import BackboneSpec, Features
from smil_ray.models.heads._attention import Attention, Memory
from smil_ray.models.heads._positions import sinusoidal_encoding
from smil_ray.models.heads._reuse import ReusedLinear, reuse
from smil_ray.models.heads.output import OUTPUT_GAIN, Estimator, HeadOutput

FEEDBACK_GAIN = 0.1
_HIDDEN_RANGE = (256, 1024)
_QUERY_SPREAD = 0.02


class TransformerHead(nn.Module):
    """Raw outputs by cross-attention of query tokens over the image, several times over."""

    positions: Tensor

    def __init__(self, spec: BackboneSpec, layout: HeadLayout, config: HeadConfig) -> None:
        super().__init__()
        total = layout.total
        hidden = hidden_width(spec, config)
        self.iterations = config.iterations
        self.pooled_norm = nn.LayerNorm(spec.num_features)
        self.pooled = nn.Linear(spec.num_features, hidden)
        encoding = sinusoidal_encoding(spec.grid, spec.token_width)
        self.register_buffer("positions", encoding, persistent=False)
        self.queries = nn.Parameter(torch.randn(config.queries, hidden) * _QUERY_SPREAD)
        self.feedback = ReusedLinear(total, hidden)
        self.layers = nn.ModuleList(
            DecoderLayer(hidden, spec.token_width, config) for _ in range(config.depth)
        )
        self.output_norm = nn.LayerNorm(hidden)
        self.output = ReusedLinear(config.queries * hidden, total)
        nn.init.xavier_uniform_(self.feedback.weight, gain=FEEDBACK_GAIN)
        nn.init.xavier_uniform_(self.output.weight, gain=OUTPUT_GAIN)
        nn.init.zeros_(self.output.bias)

    def forward(
        self,
        features: Features,
        initial: Float[Tensor, " total"],
        estimator: Estimator | None = None,
        prompts: Float[Tensor, "batch n_joints 2"] | None = None,
    ) -> HeadOutput:
        """Return the estimate after the last correction of the initial one."""
        memories = self.memories(features)
        queries = self.first_queries(features)
        estimate = initial.expand(features.pooled.shape[0], -1)
        with reuse(self, self.iterations):
            for _ in range(self.iterations):
                estimate = estimate + self.increment(memories, queries, estimate)
        return HeadOutput(estimate)

    def memories(self, features: Features) -> list[Memory]:
        """Return what every layer sees of the image; it is the same each time."""
        tokens = features.tokens
        seen = nn.functional.layer_norm(tokens, tokens.shape[-1:]).add_(self.positions)
        return [layer.look.memory(seen) for layer in self._decoder_layers()]

    def first_queries(self, features: Features) -> Float[Tensor, "batch q d"]:
        """Return the queries before they are told an estimate."""
        return self.queries + self.pooled(self.pooled_norm(features.pooled))[:, None]

    def increment(
        self,
        memories: list[Memory],
        queries: Float[Tensor, "batch q d"],
        estimate: Float[Tensor, "batch total"],
    ) -> Float[Tensor, "batch total"]:
        """Return the correction of the current estimate, which the queries are told."""
        queries = queries + self.feedback(estimate)[:, None]
        for layer, memory in zip(self._decoder_layers(), memories, strict=True):
            queries = layer(queries, memory)
        found = self.output_norm(queries).flatten(1).float()
        with exact(found.device):
            return self.output(found)

    def _decoder_layers(self) -> list["DecoderLayer"]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]


class DecoderLayer(nn.Module):
    """Pre-norm: queries exchange (if several), look at the image, think (feed-forward)."""

    def __init__(self, width: int, seen_width: int, config: HeadConfig) -> None:
        super().__init__()
        num_heads, dropout = config.num_heads, config.dropout
        exchange = config.queries > 1
        self.exchange_norm = nn.LayerNorm(width) if exchange else None
        self.exchange = Attention(width, width, num_heads) if exchange else None
        self.look_norm = nn.LayerNorm(width)
        self.look = Attention(width, seen_width, num_heads, config.queries, config.iterations)
        self.think = nn.Sequential(
            nn.LayerNorm(width),
            ReusedLinear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            ReusedLinear(width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, queries: Float[Tensor, "batch q d"], memory: Memory
    ) -> Float[Tensor, "batch q d"]:
        """Return the queries after one round; `memory` is `look.memory` of the image."""
        if self.exchange is not None and self.exchange_norm is not None:
            normed = self.exchange_norm(queries)
            mixed = self.exchange(normed, self.exchange.memory(normed))
            queries = queries + self.dropout(mixed)
        queries = queries + self.dropout(self.look(self.look_norm(queries), memory))
        return queries + self.dropout(self.think(queries))


def hidden_width(spec: BackboneSpec, config: HeadConfig) -> int:
    """Return the decoder's width: `hidden_dim`, or the backbone's width within 256 to 1024.

    Raises:
        ConfigError: `hidden_dim` cannot be shared out among the heads.
    """
    step = math.lcm(4, config.num_heads)
    if config.hidden_dim is None:
        low, high = _HIDDEN_RANGE
        return math.ceil(min(max(spec.token_width, low), high) / step) * step
    if config.hidden_dim % step:
        raise ConfigError(
            "model.head.hidden_dim",
            expected=f"a multiple of {step} (4 and num_heads)",
            found=config.hidden_dim,
            remedy=f"the next one is {math.ceil(config.hidden_dim / step) * step}",
        )
    return config.hidden_dim
