"""Which parts of a backbone are trained, and from which epoch on."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from smil_ray.config import BackboneConfig, PartialFreeze
from smil_ray.errors import ConfigError

_CONTAINERS = ("blocks", "stages", "layers")
"""Where timm's models keep their blocks; ResNets have `layer1` to `layer4` instead."""


@dataclass(frozen=True)
class TrainableParts:
    """Modules of a backbone that are trained from `first_epoch` on (None: never)."""

    first_epoch: int | None
    modules: tuple[nn.Module, ...]

    @classmethod
    def of(cls, model: nn.Module, config: BackboneConfig) -> "TrainableParts":
        """Return what `config.freeze` asks for.

        Raises:
            ConfigError: `last_blocks` for a backbone whose blocks cannot be told, or too many.
        """
        if not isinstance(config.freeze, PartialFreeze):
            return cls(None, ()) if config.freeze else cls(0, (model,))
        last = config.freeze.last_blocks
        modules = (model,) if last is None else _last_blocks(model, config.name, last)
        return cls(config.freeze.unfreeze_at_epoch, modules)

    def at(self, epoch: int) -> tuple[nn.Module, ...]:
        """Return the modules that are trained at `epoch`."""
        return self.modules if self.first_epoch is not None and epoch >= self.first_epoch else ()

    def apply(self, model: nn.Module, epoch: int) -> None:
        """Give exactly the parameters that are trained at `epoch` a gradient."""
        wanted = {id(p) for module in self.at(epoch) for p in module.parameters()}
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in wanted)
            if id(parameter) not in wanted:
                parameter.grad = None

    def set_mode(self, model: nn.Module, epoch: int, mode: bool) -> None:
        """Put everything in evaluation mode, then what is trained at `epoch` in `mode`."""
        model.eval()
        for module in self.at(epoch):
            module.train(mode)


def _last_blocks(model: nn.Module, name: str, count: int) -> tuple[nn.Module, ...]:
    """Return the last `count` blocks and whatever follows them (norms, final convolution)."""
    children = dict(model.named_children())
    found = [key for key in children if key in _CONTAINERS or key in _resnet_layers(children)]
    blocks = _flatten(children[key] for key in found)
    if count > len(blocks):
        raise ConfigError(
            "model.backbone.freeze.last_blocks",
            expected=f"at most the {len(blocks)} blocks of {name}",
            found=count,
            remedy="lower it, or set it to null to train the whole backbone",
        )
    order = list(children)
    tail = [children[key] for key in order[order.index(found[-1]) + 1 :]]
    return (*blocks[-count:], *tail)


def _resnet_layers(children: Iterable[str]) -> tuple[str, ...]:
    return tuple(key for key in children if key.startswith("layer") and key[5:].isdigit())


def _flatten(containers: Iterable[nn.Module]) -> list[nn.Module]:
    """Blocks of containers in forward order; a stage is opened into its blocks."""
    blocks: list[nn.Module] = []
    for container in containers:
        for block in container.children():
            inner = getattr(block, "blocks", block)
            opened = isinstance(inner, (nn.Sequential, nn.ModuleList))
            blocks.extend(inner.children() if opened else [block])
    return blocks
