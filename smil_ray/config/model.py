"""Settings of the network and of the body model whose parameters it predicts."""

from typing import Annotated, Literal

from pydantic import Field

from smil_ray.config.base import Epoch, Fraction, Positive, Settings

SHAPE_FAMILY = "builtin"
"""The body model that `body.model` names when nothing else is said; also `SMILImageRegressor`s."""
NO_FILES = ("none", "pretrained")
"""What `model.backbone.weights` may be besides a file."""

RotationRepresentation = Literal["6d", "axis_angle"]
ReferenceFrame = Literal["camera", "root"]
JointDeformation = Literal["ignore", "pca", "per_joint", "from_betas"]


class BodyConfig(Settings):
    """The SMIL model that parameters refer to: `builtin` or a .pkl/.npz file."""

    model: str = SHAPE_FAMILY
    rest_joints: Literal["auto", "regressed", "static"] = "auto"
    propagate_scaling: bool = True


class PartialFreeze(Settings):
    """Train the last `last_blocks` blocks of the backbone from `unfreeze_at_epoch` on."""

    unfreeze_at_epoch: Epoch = 0
    last_blocks: Annotated[int, Field(ge=1)] | None = None


class BackboneConfig(Settings):
    """A timm backbone; its input size, normalisation and width come from timm.

    `finest_stride`: input pixels per cell of the finest map that it gives besides its tokens; null
    follows from the head. A number lets heads that look at maps and heads that do not share one
    feature cache.
    """

    name: str = "test_resnet"
    weights: str = "none"
    freeze: bool | PartialFreeze = False
    input_size: Annotated[int, Field(ge=16)] | None = None
    learning_rate_factor: Positive = 1.0
    finest_stride: Literal[2, 4, 8, 16] | None = None


class HeadConfig(Settings):
    """The regression head on top of the backbone's tokens.

    `hidden_dim` null follows from the backbone's width (`joint_tokens`: 128). `iterations` and
    `queries` (query tokens that share the work) are the transformer decoder's, `finest_stride`
    (input pixels per cell of the joints' heat maps) and `refinements` (how often it compares its
    estimate with where it sees the joints, and corrects it) are those of `joint_tokens`, `depth`
    and `num_heads` are of both. `prompt_share`: share of the training samples for which it is told
    the places of some joints, so that it can be told at prediction as well (`joint_tokens`).
    """

    type: Literal["mlp", "transformer_decoder", "joint_tokens"] = "transformer_decoder"
    hidden_dim: Annotated[int, Field(ge=8)] | None = None
    dropout: Fraction = 0.1
    depth: Annotated[int, Field(ge=1)] = 3
    num_heads: Annotated[int, Field(ge=1)] = 8
    iterations: Annotated[int, Field(ge=1)] = 3
    queries: Annotated[int, Field(ge=1)] = 1
    finest_stride: Literal[2, 4, 8, 16] = 4
    refinements: Annotated[int, Field(ge=0, le=8)] = 1
    prompt_share: Fraction = 0.0


class ModelConfig(Settings):
    """The network: backbone, head and how it expresses its outputs.

    `camera: known` makes the field of view an input of the network, so that depth is metric; data
    sets give it, `predict` has to be told.
    """

    backbone: BackboneConfig = BackboneConfig()
    head: HeadConfig = HeadConfig()
    rotation_representation: RotationRepresentation = "6d"
    reference_frame: ReferenceFrame = "camera"
    camera: Literal["predicted", "known"] = "predicted"
    joint_scales: JointDeformation = "ignore"
    joint_translations: JointDeformation = "ignore"
