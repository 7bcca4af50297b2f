"""The regression heads by name.

To add one: a module whose constructor takes `(spec, total, config)` and whose forward takes
`(features, initial)` and returns raw outputs; then a line in `HEADS` and in `HeadConfig.type`.
"""

from torch import nn

from smil_ray.config import HeadConfig
from smil_ray.models.backbones import BackboneSpec
from smil_ray.models.heads.mlp import MlpHead
from smil_ray.models.heads.transformer import TransformerHead

HEADS: dict[str, type[nn.Module]] = {"mlp": MlpHead, "transformer_decoder": TransformerHead}


def build_head(config: HeadConfig, spec: BackboneSpec, total: int) -> nn.Module:
    """Return the head that gives `total` raw numbers for the features of `spec`."""
    return HEADS[config.type](spec, total, config)
