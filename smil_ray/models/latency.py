"""How long a network takes for one image on the device that it runs on."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from smil_ray.models.placement import place
from smil_ray.models.regressor import Regressor

PASSES = 5
LIMIT_S = 0.5
"""No further pass begins after this time: large networks on a CPU need seconds for each."""


class Latency(NamedTuple):
    """Milliseconds for one image: from pixels to features, and from these to parameters."""

    backbone_ms: float
    head_ms: float

    @property
    def total_ms(self) -> float:
        """What a single prediction costs as the machine is loaded now."""
        return self.backbone_ms + self.head_ms


def measure_latency(
    regressor: Regressor, device: torch.device, backbone_ms: float | None = None
) -> Latency:
    """Return the median times of forward passes with one image, without gradients.

    Of each part one pass more is made, which is not counted. The network ends up on `device`;
    its weights and mode stay as they were.

    Args:
        regressor: The network.
        device: Where to measure.
        backbone_ms: The backbone's time, if it was measured with another head before.
    """
    spec = regressor.backbone.spec
    place(regressor, device)
    was_training = regressor.training
    regressor.eval()
    with torch.no_grad():
        if backbone_ms is None:
            shape = (1, 3, spec.input_size, spec.input_size)
            image = torch.zeros(shape, dtype=torch.uint8, device=device)
            backbone_ms = _median_ms(lambda: regressor.backbone(image), device)
        tokens = torch.zeros(1, sum(spec.widths), device=device)
        intrinsics = torch.tensor([[2.0, 2.0, 0.5, 0.5]], device=device)
        head_ms = _median_ms(lambda: regressor(tokens=tokens, intrinsics=intrinsics), device)
    regressor.train(was_training)
    return Latency(backbone_ms, head_ms)


def _median_ms(forward: Callable[[], object], device: torch.device) -> float:
    times: list[float] = []
    began = time.perf_counter()
    for _ in range(1 + PASSES):
        times.append(_timed_pass(forward, device))
        if time.perf_counter() - began > LIMIT_S and len(times) > 1:
            break
    return 1000 * statistics.median(times[1:])


def _timed_pass(forward: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    forward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
