import pytest
import torch
from torch import nn

from smil_ray.errors import ConfigError
from smil_ray.training.optim import Precision, build_ema, set_learning_rate


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
