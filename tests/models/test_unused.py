"""Trainable parameters without an output are found by the graph alone."""

from typing import Any

import pytest
import torch
from torch import nn

from smil_ray.models.unused import unused_parameters


@pytest.mark.parametrize("head", ["mlp", "transformer_decoder", "joint_tokens"])
@pytest.mark.parametrize(
    "freeze", [True, False, {"last_blocks": 1}, {"unfreeze_at_epoch": 1}], ids=str
)
@pytest.mark.parametrize("extra", [{}, {"camera": "known", "joint_scales": "pca"}], ids=str)
def test_networks_use_all_that_they_train(
    make_regressor, head: str, freeze: Any, extra: dict[str, Any]
):
    whole = {"refinements": 0} if head == "joint_tokens" else {}  # Those need a body model.
    regressor = make_regressor(backbone={"freeze": freeze}, head={"type": head, **whole}, **extra)
    for epoch in (0, 1):
        regressor.set_epoch(epoch)
        assert unused_parameters(regressor) == ()


def test_parameters_without_an_output_are_named(make_regressor):
    regressor = make_regressor(head={"type": "mlp"})
    regressor.head.left_over = nn.Linear(2, 2)
    regressor.head.left_over.bias.requires_grad_(False)
    assert unused_parameters(regressor) == ("head.left_over.weight",)


def test_looking_changes_nothing(make_regressor):
    regressor = make_regressor(head={"type": "mlp"}).train()
    before = {key: value.clone() for key, value in regressor.state_dict().items()}
    random = torch.get_rng_state()
    unused_parameters(regressor)
    assert regressor.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, before[k]) for k, v in regressor.state_dict().items())
    assert all(p.grad is None for p in regressor.parameters())
