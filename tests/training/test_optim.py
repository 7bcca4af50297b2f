from typing import Any

import pytest
import torch
from torch import nn

from smil_ray.errors import ConfigError
from smil_ray.models.placement import with_channels_last
from smil_ray.training.optim import (
    Precision,
    build_ema,
    chosen_precision,
    load_optimizer_state,
    set_learning_rate,
)


def test_learning_rate_is_multiplied_by_the_groups_factor() -> None:
    weight = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = torch.optim.AdamW(
        [
            {"params": weight[0], "lr_factor": 1.0},
            {"params": weight[1], "lr_factor": 0.1},
        ]
    )
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]


def test_ema_moves_by_one_minus_decay() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    ema = build_ema(network, 0.9)
    assert ema is not None
    ema.update_parameters(network)  # The first update copies.
    network.weight.data.fill_(1.0)
    ema.update_parameters(network)
    assert next(ema.module.parameters()).item() == pytest.approx(0.1)


def test_ema_without_decay_is_none() -> None:
    assert build_ema(nn.Linear(1, 1), None) is None


def test_precision_fp16_on_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="fp16"):
        Precision("fp16", torch.device("cpu"))


def test_precision_clips_and_returns_the_norm_before() -> None:
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision = Precision("fp32", torch.device("cpu"))
    precision.backward((weight * torch.tensor([3.0, 4.0])).sum())
    norm = precision.step(optimizer, clip_norm=1.0)
    assert float(norm) == pytest.approx(5.0)
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.6, -0.8]))
    assert weight.grad is None


def test_precision_bf16_casts_matrix_products() -> None:
    with Precision("bf16", torch.device("cpu")).autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "device", "capability", "chosen"),
    [
        ("auto", "cpu", None, "fp32"),
        ("auto", "cuda:0", (7, 5), "fp32"),
        ("auto", "cuda:0", (8, 0), "bf16"),
        ("fp32", "cuda:0", (9, 0), "fp32"),
        ("bf16", "cpu", None, "bf16"),
    ],
)
def test_precision_is_bf16_where_a_gpu_has_it(
    name: str, device: str, capability: Any, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert chosen_precision(name, torch.device(device)) == chosen


def test_precision_auto_on_a_cpu_casts_nothing() -> None:
    precision = Precision("auto", torch.device("cpu"))
    with precision.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32
    assert precision.name == "fp32"


@pytest.mark.parametrize("from_gpu", [True, False])
def test_optimizer_state_of_another_layout_gives_the_same_step(from_gpu: bool) -> None:
    """Channels last is how a GPU's weights lie; the fused kernel pairs numbers by place."""

    def stepped(layouts: tuple[bool, bool]) -> torch.Tensor:
        """Take a step after a state whose layout is the first, with weights of the second."""
        torch.manual_seed(0)
        saved, network = nn.Conv2d(4, 6, 3), nn.Conv2d(4, 6, 3)
        for each, last in zip((saved, network), layouts, strict=True):
            if last:
                with_channels_last(each)
        optimizers = [
            torch.optim.AdamW(each.parameters(), lr=0.1, fused=True) for each in (saved, network)
        ]
        pictures = torch.randn(2, 4, 8, 8)
        saved(pictures).square().mean().backward()
        optimizers[0].step()
        load_optimizer_state(optimizers[1], optimizers[0].state_dict())
        network(pictures).square().mean().backward()
        optimizers[1].step()
        return network.weight.detach().contiguous()

    expected = stepped((False, False))
    torch.testing.assert_close(stepped((from_gpu, not from_gpu)), expected, atol=1e-5, rtol=1e-4)
