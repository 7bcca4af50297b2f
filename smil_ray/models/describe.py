"""How large a network is: parameters and floating-point operations, without running it."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from smil_ray.models.features import Features
from smil_ray.models.heads.output import EstimatedJoints, Estimator
from smil_ray.models.regressor import Regressor


@dataclass(frozen=True)
class NetworkSize:
    """Size of a network.

    Attributes:
        parameters: All weights.
        trainable: Weights that have a gradient at the current epoch.
        backbone_parameters: Weights of the backbone.
        head_parameters: Weights of the head.
        gflops: Billions of floating-point operations for one image, forward; a multiply-add
            counts as two.
        backbone_gflops: The backbone's share of them.
        input_size: Side of the input image, pixels.
    """

    backbone: str
    head: str
    input_size: int
    parameters: int
    trainable: int
    backbone_parameters: int
    head_parameters: int
    gflops: float
    backbone_gflops: float

    def as_dict(self) -> dict[str, str | int | float]:
        """Return the fields as plain values, e.g. for tracking."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.backbone} + {self.head}, {self.input_size} px: "
            f"{self.parameters / 1e6:.2f} M parameters ({self.trainable / 1e6:.2f} M trained; "
            f"backbone {self.backbone_parameters / 1e6:.2f} M, "
            f"head {self.head_parameters / 1e6:.2f} M), {self.gflops:.2f} GFLOP per image"
        )


def describe(regressor: Regressor, backbone_gflops: float | None = None) -> NetworkSize:
    """Return the size of `regressor`; print it or take `.as_dict()`.

    Args:
        regressor: The network.
        backbone_gflops: Its backbone's, if they were counted with another head before.
    """
    if backbone_gflops is None:
        backbone_gflops = _backbone_flops(regressor) / 1e9
    return NetworkSize(
        backbone=regressor.config.backbone.name,
        head=regressor.config.head.type,
        input_size=regressor.backbone.spec.input_size,
        parameters=_count(regressor),
        trainable=sum(p.numel() for p in regressor.parameters() if p.requires_grad),
        backbone_parameters=_count(regressor.backbone),
        head_parameters=_count(regressor.head),
        gflops=backbone_gflops + _head_flops(regressor) / 1e9,
        backbone_gflops=backbone_gflops,
    )


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _backbone_flops(regressor: Regressor) -> int:
    size = regressor.backbone.spec.input_size
    return _flops(regressor.backbone, torch.empty(1, 3, size, size, device="meta"))


def _head_flops(regressor: Regressor) -> int:
    spec = regressor.backbone.spec
    features = Features(
        torch.empty(1, spec.n_tokens, spec.token_width, device="meta"),
        torch.empty(1, spec.num_features, device="meta"),
        tuple(torch.empty(1, m.channels, *m.grid, device="meta") for m in spec.maps),
    )
    initial = regressor.decoder.initial.to("meta")
    return _flops(regressor.head, features, initial, _no_joints(regressor.decoder.layout.n_joints))


def _no_joints(count: int) -> Estimator:
    """Return an estimator that computes nothing: posing the joints is not counted."""
    shapes = {
        "xy": (1, count, 2),
        "position": (1, count, 3),
        "rotation": (1, count, 3, 3),
        "extent": (1, 1, 1),
        "below": (count, count),
        "child_mean": (count, count),
    }
    joints = EstimatedJoints(
        **{name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    )
    return lambda _raw: joints


def _flops(module: torch.nn.Module, *inputs: Any) -> int:
    """Count on the meta device, where shapes are computed and numbers are not."""
    was_training = module.training
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        functional_call(module, _on_meta(module), inputs)
    module.train(was_training)
    return counter.get_total_flops()


def _on_meta(module: torch.nn.Module) -> dict[str, Tensor]:
    named = (*module.named_parameters(), *module.named_buffers())
    return {name: torch.empty_like(value, device="meta") for name, value in named}
