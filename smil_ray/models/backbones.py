"""Any timm backbone behind one interface: an RGB image becomes tokens and one pooled feature.

There is no table of backbones: every name that timm knows works, and input size, normalisation
and widths come from timm. The one exception is `_SEED_INPUT_SIZE`.
"""

import difflib
import math
from functools import lru_cache
from typing import Any

import timm
import timm.models
import torch
from jaxtyping import Float, Shaped
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from smil_ray.config import BackboneConfig
from smil_ray.errors import ConfigError
from smil_ray.models.features import BackboneSpec, Features, MapSpec
from smil_ray.models.freezing import TrainableParts
from smil_ray.models.weights.create import create_model

_SEED_INPUT_SIZE = {"resnet50": 512, "resnet101": 512, "resnet152": 512}
"""The seed document trains ResNets at 512 px, where an ant's legs are still some pixels wide; timm
says 224. Every other backbone has timm's size."""


@lru_cache(maxsize=64)
def backbone_spec(
    name: str, input_size: int | None = None, finest_stride: int | None = None
) -> BackboneSpec:
    """Return the facts about the timm backbone `name`, without allocating its weights.

    Args:
        name: timm name.
        input_size: Side of the input image, pixels; None: timm's.
        finest_stride: Pixels per cell of the finest map that is wanted; None: no maps.

    Raises:
        ConfigError: timm does not know the name (the nearest names are given), or the backbone
            cannot work at `input_size`.
    """
    _check_name(name)
    try:
        size, fixed = _input_size(name, input_size)
        with torch.device("meta"):
            model = create_model(name, img_size=size if fixed else None).eval()
            maps = () if finest_stride is None else _map_specs(model, size, finest_stride)
            features = extract(model, torch.zeros(1, 3, size, size), maps)
    # Each timm architecture says in its own way that a size or option does not fit it.
    except (RuntimeError, AssertionError, ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"model.backbone: {name} cannot be built"
            + (f" for input_size {input_size}" if input_size else ""),
            found=str(error).strip().split("\n")[0] or type(error).__name__,
            remedy="choose another input_size (ViTs need a multiple of their patch size) or name",
        ) from error
    data = resolve_data_config({}, model=model)
    return BackboneSpec(
        name=name,
        input_size=size,
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        grid=_grid(model, features.tokens.shape[1]),
        token_width=features.tokens.shape[2],
        num_features=features.pooled.shape[1],
        fixed_size=fixed,
        maps=maps,
    )


def build_backbone(config: BackboneConfig, finest_stride: int | None = None) -> "Backbone":
    """Return the backbone with its weights (`none`, `pretrained` or a file), frozen as asked.

    Args:
        config: Name, weights, size and what is trained.
        finest_stride: See `backbone_spec`.

    Raises:
        ConfigError: Unknown name, unreachable or unreadable weights, unknown blocks.
    """
    spec = backbone_spec(config.name, config.input_size, finest_stride)
    size = spec.input_size if spec.fixed_size else None
    model = create_model(config.name, weights=config.weights, img_size=size)
    return Backbone(model, spec, TrainableParts.of(model, config))


class Backbone(nn.Module):
    """A timm model without classifier; takes RGB 0-255, normalises on the device.

    What is frozen has no gradient and stays in evaluation mode whatever `train()` says: its
    BatchNorm statistics do not move and it has no dropout.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, spec: BackboneSpec, parts: TrainableParts) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        self._parts = parts
        self._epoch = 0
        for name, value in (("mean", spec.mean), ("std", spec.std)):
            scaled = torch.tensor(value).view(3, 1, 1) * 255.0
            self.register_buffer(name, scaled, persistent=False)
        self.set_epoch(0)

    @property
    def frozen(self) -> bool:
        """True when no part of the backbone is trained at the current epoch."""
        return not any(parameter.requires_grad for parameter in self.model.parameters())

    @property
    def always_frozen(self) -> bool:
        """True when the backbone is never trained, so that its features may be cached."""
        return self._parts.first_epoch is None

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained at some epoch."""
        return [p for module in self._parts.modules for p in module.parameters()]

    def set_epoch(self, epoch: int) -> bool:
        """Freeze or unfreeze as planned for `epoch`; return true when that changed something.

        After a change, a DistributedDataParallel wrapper has to be built again.
        """
        before = [parameter.requires_grad for parameter in self.model.parameters()]
        self._epoch = epoch
        self._parts.apply(self.model, epoch)
        self.train(self.training)
        return before != [parameter.requires_grad for parameter in self.model.parameters()]

    def train(self, mode: bool = True) -> "Backbone":
        """Set training mode for the parts that are trained; the rest stays in evaluation mode."""
        super().train(mode)
        self._parts.set_mode(self.model, self._epoch, mode)
        return self

    def forward(self, image: Shaped[Tensor, "batch 3 h w"]) -> Features:
        """Return the features of RGB images, uint8 or float 0-255, resized where they must be."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            # Convolutions are faster so, and the same whatever the layout of `image`.
            pixels = image.to(self.mean.dtype, memory_format=torch.channels_last)
            size = (self.spec.input_size, self.spec.input_size)
            if pixels.shape[-2:] != size:
                pixels = nn.functional.interpolate(
                    pixels, size=size, mode="bilinear", antialias=True, align_corners=False
                )
            return extract(self.model, (pixels - self.mean) / self.std, self.spec.maps)


def extract(
    model: nn.Module, pixels: Float[Tensor, "batch 3 h w"], maps: tuple[MapSpec, ...] = ()
) -> Features:
    """Return tokens, pooled feature and finer maps of a timm model for normalised pixels.

    Raises:
        ConfigError: The model gives several maps or none.
    """
    features, finer = _forward_features(model, pixels, [one.stage for one in maps])
    if not isinstance(features, Tensor) or features.ndim not in (2, 3, 4):
        raise ConfigError(
            f"model.backbone: {type(model).__name__} has no single feature map",
            remedy="choose a backbone with one, e.g. resnet50 or vit_base_patch16_224",
        )
    pooled = model.forward_head(features, pre_logits=True)  # pyright: ignore[reportCallIssue]
    return Features(_tokens(model, features), pooled.flatten(1), finer)


def _forward_features(
    model: Any, pixels: Float[Tensor, "batch 3 h w"], indices: list[int]
) -> tuple[Any, tuple[Tensor, ...]]:
    if not indices:
        return model.forward_features(pixels), ()
    # Some architectures stop after the last of `indices` unless told to go on.
    features, finer = model.forward_intermediates(
        pixels, indices=indices, stop_early=False, output_fmt="NCHW"
    )
    return features, tuple(finer)


def _map_specs(model: Any, size: int, finest_stride: int) -> tuple[MapSpec, ...]:
    """Return the last map of each scale from `finest_stride` on but the coarsest.

    The tokens have the scale of the coarsest.
    """
    _, maps = model.forward_intermediates(torch.zeros(1, 3, size, size), output_fmt="NCHW")
    last_of_grid = {tuple(one.shape[-2:]): i for i, one in enumerate(maps)}
    coarsest = min(grid[0] for grid in last_of_grid)
    return tuple(
        MapSpec(index, maps[index].shape[1], grid)
        for grid, index in last_of_grid.items()
        if coarsest < grid[0] <= math.ceil(size / finest_stride)
    )


def _tokens(model: nn.Module, features: Tensor) -> Tensor:
    if features.ndim == 2:
        return features[:, None]
    if features.ndim == 3:
        return features[:, getattr(model, "num_prefix_tokens", 0) :]
    if getattr(model, "output_fmt", "NCHW") == "NHWC":
        return features.flatten(1, 2)
    return features.flatten(2).transpose(1, 2)


def _grid(model: nn.Module, n_tokens: int) -> tuple[int, int]:
    """Rows and columns of the tokens: the patch grid if it fits, else a square, else one row."""
    patches = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if patches is not None and patches[0] * patches[1] == n_tokens:
        return int(patches[0]), int(patches[1])
    side = round(n_tokens**0.5)
    return (side, side) if side * side == n_tokens else (1, n_tokens)


def _input_size(name: str, input_size: int | None) -> tuple[int, bool]:
    default = timm.models.get_pretrained_cfg(name)
    if default is None:
        raise ValueError("timm has no settings for it")
    size = _SEED_INPUT_SIZE.get(name.split(".")[0], default.input_size[-1])
    return input_size or size, bool(default.fixed_input_size)


def _check_name(name: str) -> None:
    if timm.is_model(name) and ":" not in name and "/" not in name:
        return
    near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.3)
    raise ConfigError(
        "model.backbone.name",
        expected="a timm model name",
        found=repr(name),
        remedy=f"the nearest are {', '.join(near)}" if near else "see timm.list_models()",
    )
