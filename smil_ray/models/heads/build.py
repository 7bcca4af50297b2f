"""The regression heads by name.

To add one: a module whose constructor takes `(spec, layout, config)` and whose forward takes
`(features, initial, estimator)` and returns a `HeadOutput`; then a line in `HEADS` and in
`HeadConfig.type`.
"""

from torch import nn

from smil_ray.config import HeadConfig, ModelConfig
from smil_ray.core.params import HeadLayout
from smil_ray.models.features import BackboneSpec
from smil_ray.models.heads.joint_tokens import JointTokensHead
from smil_ray.models.heads.mlp import MlpHead
from smil_ray.models.heads.transformer import TransformerHead

HEADS: dict[str, type[nn.Module]] = {
    "mlp": MlpHead,
    "transformer_decoder": TransformerHead,
    "joint_tokens": JointTokensHead,
}


def build_head(config: HeadConfig, spec: BackboneSpec, layout: HeadLayout) -> nn.Module:
    """Return the head that gives the raw numbers of `layout` for the features of `spec`."""
    return HEADS[config.type](spec, layout, config)


def finest_stride(config: ModelConfig) -> int | None:
    """Return the pixels per cell of the finest map of the backbone; None: tokens suffice."""
    if config.backbone.finest_stride is not None or config.head.type != "joint_tokens":
        return config.backbone.finest_stride
    return config.head.finest_stride


def corrects_itself(config: HeadConfig) -> bool:
    """Return whether the head needs to know where its estimate puts the joints."""
    return config.type == "joint_tokens" and config.refinements > 0
