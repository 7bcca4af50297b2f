"""Where to compute, the CPU or one of the GPUs that PyTorch can use, and how exactly."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from smil_ray.errors import ConfigError

EXPECTED = "auto, cpu, cuda or cuda:N"


def find_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device of a setting; a GPU has its number.

    Args:
        name: `auto` (the first GPU where there is one, else the CPU), `cpu`, `cuda` (the first
            GPU) or `cuda:N`.

    Raises:
        ConfigError: The name is none of these, or there is no such GPU.
    """
    text = str(name)
    found = re.fullmatch(r"cuda(?::(\d+))?", text)
    if text == "cpu" or (text == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if text != "auto" and found is None:
        raise ConfigError("device", expected=EXPECTED, found=repr(text))
    number = int((found and found[1]) or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        raise ConfigError(
            f"device {text}",
            expected=f"cuda:0 to cuda:{count - 1}" if count else "a GPU that PyTorch can use",
            found=f"{count} of them" if count else "none",
            remedy="choose cpu or auto",
        )
    return torch.device("cuda", number)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Multiply and convolve float32 numbers on a GPU in float32 while the block runs.

    PyTorch's own default is TF32, which has 10 bits of mantissa, for convolutions.
    """
    with _products(device, "ieee"):
        yield


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Multiply float32 numbers in float32 while the block runs, whatever is around it.

    For places in a picture and final outputs: bf16 has 8 bits, less than a picture has pixels.
    """
    if device.type == "meta":  # Shapes only; autocast knows no such device.
        yield
        return
    with torch.autocast(device.type, enabled=False), full_precision(device):
        yield


@contextmanager
def tensor_cores(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply and convolve float32 numbers as TF32 while the block runs."""
    with _products(device, "tf32"):
        yield


@contextmanager
def _products(device: torch.device, precision: Literal["ieee", "tf32"]) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends  # Its stubs do not know the settings of operators.
    matrices, convolutions = backends.cuda.matmul, backends.cudnn.conv
    before = matrices.fp32_precision, convolutions.fp32_precision
    try:
        matrices.fp32_precision = convolutions.fp32_precision = precision
        yield
    finally:
        matrices.fp32_precision, convolutions.fp32_precision = before
