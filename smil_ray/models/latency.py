"""How long a network takes for one image on the device that it runs on."""

import statistics
import time

import torch

from smil_ray.models.regressor import Regressor

PASSES = 5
LIMIT_S = 0.5
"""No further pass begins after this time: large networks on a CPU need seconds for each."""


def latency_ms(regressor: Regressor, device: torch.device) -> float:
    """Return the median time of a forward pass with one image, milliseconds.

    The pass goes from pixels to parameters, backbone included, without gradients, after one pass
    that is not counted. It is what a single prediction costs as the machine is loaded now. The
    network ends up on `device`; its weights and mode stay as they were.
    """
    size = regressor.backbone.spec.input_size
    regressor.to(device)
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device)
    was_training = regressor.training
    regressor.eval()
    times: list[float] = []
    began = time.perf_counter()
    with torch.no_grad():
        for _ in range(1 + PASSES):
            times.append(_timed_pass(regressor, image))
            if time.perf_counter() - began > LIMIT_S and len(times) > 1:
                break
    regressor.train(was_training)
    return 1000 * statistics.median(times[1:])


def _timed_pass(regressor: Regressor, image: torch.Tensor) -> float:
    began = time.perf_counter()
    regressor(image)
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - began
