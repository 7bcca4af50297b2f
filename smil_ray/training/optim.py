"""AdamW with a slower backbone, mixed precision, clipping and the running mean of weights."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from smil_ray.config import OptimConfig
from smil_ray.core.device import tensor_cores
from smil_ray.errors import ConfigError
from smil_ray.models.regressor import Regressor


def build_optimizer(regressor: Regressor, config: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW over everything that is ever trained; see `Regressor.parameter_groups`."""
    groups = regressor.parameter_groups(config.weight_decay)
    # One kernel over all weights: four times as fast as PyTorch's default on a CPU.
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimiser's state, but not its weight decay, which is the configuration's.

    Means of gradients get the memory layout of their weights: those of a run on a GPU may lie
    channels last, and AdamW's fused kernel would pair numbers by their place in memory.

    Raises:
        ValueError: The state belongs to other weights.
    """
    decays = [group["weight_decay"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, decay in zip(optimizer.param_groups, decays, strict=True):
        group["weight_decay"] = decay
        for weight in group["params"]:
            own = optimizer.state.get(weight, {})
            for name, value in own.items():
                if value.shape == weight.shape and value.stride() != weight.stride():
                    own[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group `learning_rate` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["lr_factor"]


def build_ema(regressor: nn.Module, decay: float | None) -> AveragedModel | None:
    """Return the exponential running mean of the weights; buffers are copied, not averaged."""
    if decay is None:
        return None
    return AveragedModel(regressor, multi_avg_fn=get_ema_multi_avg_fn(decay))


BF16_CAPABILITY = (8, 0)
"""Compute capability from which on a GPU multiplies bf16 (Ampere)."""


def chosen_precision(precision: str, device: torch.device) -> str:
    """Return `optim.precision` with `auto` decided: bf16 on a GPU that has it, else fp32."""
    if precision != "auto":
        return precision
    is_gpu = device.type == "cuda"
    has_it = is_gpu and torch.cuda.get_device_capability(device) >= BF16_CAPABILITY
    return "bf16" if has_it else "fp32"


class Precision:
    """Casts forward passes and scales gradients as `precision` says.

    Attributes:
        name: fp32, bf16 or fp16.

    Raises:
        ConfigError: fp16 is asked for on a CPU.
    """

    def __init__(self, precision: str, device: torch.device) -> None:
        precision = chosen_precision(precision, device)
        if precision == "fp16" and device.type == "cpu":
            raise ConfigError("optim.precision fp16 needs a GPU", remedy="use bf16 or fp32")
        self.name = precision
        self._device = device
        self._dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self._scaler = GradScaler(device.type, enabled=precision == "fp16")

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Be the context of forward passes; losses are computed outside of it."""
        cast = nullcontext()
        if self._dtype is not None:
            cast = torch.autocast(self._device.type, dtype=self._dtype)
        with tensor_cores(self._device), cast:
            yield

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        with tensor_cores(self._device):
            self._scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer, clip_norm: float | None) -> Tensor:
        """Clip, step, clear; return the gradient norm before clipping."""
        self._scaler.unscale_(optimizer)
        parameters = list(_with_gradient(optimizer))
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip_norm or float("inf"))
        self._scaler.step(optimizer)
        self._scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the gradient scaler (empty without one)."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        if state:
            self._scaler.load_state_dict(state)


def _with_gradient(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from (parameter for parameter in group["params"] if parameter.grad is not None)
