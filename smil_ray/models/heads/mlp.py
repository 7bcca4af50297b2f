"""Two hidden layers on the pooled feature, and on where in the image some features lie."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.config import HeadConfig
from smil_ray.core.device import exact
from smil_ray.core.params import HeadLayout
from smil_ray.models.features import BackboneSpec, Features
from smil_ray.models.heads._positions import grid_coordinates
from smil_ray.models.heads.output import OUTPUT_GAIN, Estimator, HeadOutput

_MAPS = 32
_MIN_HIDDEN = 256


class SpatialSummary(nn.Module):
    """Expected image positions of learnt features (spatial soft-argmax).

    Average pooling forgets where things are; the place of the root in the picture is lost with
    it. After Levine et al. 2016, "End-to-End Training of Deep Visuomotor Policies".
    """

    positions: Tensor

    def __init__(self, spec: BackboneSpec, maps: int = _MAPS) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(spec.token_width)
        self.score = nn.Linear(spec.token_width, maps)
        self.register_buffer("positions", grid_coordinates(spec.grid), persistent=False)
        self.width = 2 * maps

    def forward(self, tokens: Float[Tensor, "batch tokens d"]) -> Float[Tensor, "batch width"]:
        """Return (x, y) in [-1, 1], right and down, for every learnt map."""
        attention = self.score(self.norm(tokens)).float().softmax(dim=1)
        with exact(attention.device):
            return torch.einsum("btm,tc->bmc", attention, self.positions).flatten(1)


class MlpHead(nn.Module):
    """Raw outputs from the pooled feature: twice Linear, LayerNorm, ReLU, dropout."""

    def __init__(self, spec: BackboneSpec, layout: HeadLayout, config: HeadConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim or max(spec.num_features, _MIN_HIDDEN)
        self.summary = SpatialSummary(spec)
        self.norm = nn.LayerNorm(spec.num_features)
        self.layers = nn.Sequential(
            *_hidden_layer(spec.num_features + self.summary.width, hidden, config.dropout),
            *_hidden_layer(hidden, hidden, config.dropout),
        )
        self.output = nn.Linear(hidden, layout.total)
        nn.init.xavier_uniform_(self.output.weight, gain=OUTPUT_GAIN)
        nn.init.zeros_(self.output.bias)

    def forward(
        self,
        features: Features,
        initial: Float[Tensor, " total"],
        estimator: Estimator | None = None,
        prompts: Float[Tensor, "batch n_joints 2"] | None = None,
    ) -> HeadOutput:
        """Return the initial estimate plus what the network adds to it."""
        seen = torch.cat([self.norm(features.pooled), self.summary(features.tokens)], dim=1)
        hidden = self.layers(seen).float()
        with exact(hidden.device):
            return HeadOutput(initial + self.output(hidden))


def _hidden_layer(inputs: int, outputs: int, dropout: float) -> tuple[nn.Module, ...]:
    linear = nn.Linear(inputs, outputs)
    nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return linear, nn.LayerNorm(outputs), nn.ReLU(), nn.Dropout(dropout)
