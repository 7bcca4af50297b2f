"""Names of devices on machines with and without GPUs; the GPUs are pretended."""

from typing import Any

import pytest
import torch

from smil_ray.core.device import find_device, full_precision, tensor_cores
from smil_ray.errors import ConfigError


@pytest.fixture(params=[0, 2])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    return request.param


def test_auto_is_the_first_gpu_or_the_cpu(gpus: int) -> None:
    assert find_device("auto") == (torch.device("cuda", 0) if gpus else torch.device("cpu"))
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", torch.device("cuda", 1)])
def test_gpus_have_their_number(gpus: int, name: str | torch.device) -> None:
    if gpus:
        assert find_device(name) == torch.device("cuda", 0 if name == "cuda" else 1)
        return
    with pytest.raises(ConfigError, match=r"found none; choose cpu or auto\.$"):
        find_device(name)


def test_a_gpu_too_many_is_refused(gpus: int) -> None:
    expected = "expected cuda:0 to cuda:1; found 2 of them" if gpus else "expected a GPU"
    with pytest.raises(ConfigError, match=expected):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:", "cuda:-1", "cuda:x", "CPU", ""])
def test_unknown_devices_are_one_sentence(gpus: int, name: str) -> None:
    with pytest.raises(ConfigError, match="expected auto, cpu, cuda or cuda:N") as error:
        find_device(name)
    assert "\n" not in str(error.value)


def products() -> tuple[str, str]:
    backends: Any = torch.backends
    return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision


def test_gpus_multiply_as_asked_and_as_before_afterwards() -> None:
    before = products()
    gpu = torch.device("cuda", 0)
    with tensor_cores(gpu):
        assert products() == ("tf32", "tf32")
        with full_precision(gpu):
            assert products() == ("ieee", "ieee")
        assert products() == ("tf32", "tf32")
    assert products() == before


def test_a_cpu_has_nothing_to_set() -> None:
    before = products()
    with tensor_cores(torch.device("cpu")):
        assert products() == before
