"""Attention: the absorbed way equals the spread one, and both equal PyTorch's own."""

import pytest
import torch
from torch import nn

from smil_ray.models.attention import Attention, normed_linear

BATCH, TOKENS, WIDTH, HEADS = 2, 7, 16, 4


def inputs(queries: int, *, requires_grad: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(queries)
    asked = torch.randn(BATCH, queries, WIDTH, dtype=torch.float64, generator=generator)
    seen = torch.randn(BATCH, TOKENS, WIDTH, dtype=torch.float64, generator=generator)
    return asked.requires_grad_(requires_grad), seen.requires_grad_(requires_grad)


def attention(*, is_absorbed: bool) -> Attention:
    torch.manual_seed(3)
    made = Attention(WIDTH, HEADS).double()
    nn.init.normal_(made.key_value.bias)
    made.is_absorbed = is_absorbed
    return made


def test_fewer_looks_than_the_tokens_are_wide_are_absorbed():
    assert Attention(256, 8, looks=3).is_absorbed
    assert Attention(768, 8, looks=24).is_absorbed
    assert not Attention(256, 8, looks=24).is_absorbed
    assert not Attention(256, 8).is_absorbed


@pytest.mark.parametrize("is_absorbed", [False, True])
@pytest.mark.parametrize("queries", [1, 3])
def test_attention_equals_that_of_pytorch(queries, is_absorbed):
    own = attention(is_absorbed=is_absorbed)
    reference = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    weight = torch.cat([own.query.weight, own.key_value.weight])
    bias = torch.cat([own.query.bias, own.key_value.bias])
    reference.in_proj_weight.data, reference.in_proj_bias.data = weight.data, bias.data
    reference.out_proj.load_state_dict(own.output.state_dict())
    asked, seen = inputs(queries)
    expected, _ = reference(asked, seen, seen)
    torch.testing.assert_close(own(asked, own.memory(seen)), expected)


@pytest.mark.parametrize("queries", [1, 3])
def test_both_ways_have_the_same_gradients(queries):
    found = []
    for is_absorbed in (False, True):
        own = attention(is_absorbed=is_absorbed)
        asked, seen = inputs(queries, requires_grad=True)
        memory = own.memory(seen)
        rounds = own(own(asked, memory), memory)  # Twice, as the decoder does.
        rounds.sin().sum().backward()
        gradients = [value.grad for value in (asked, seen, *own.parameters())]
        assert all(gradient is not None for gradient in gradients)
        found.append(gradients)
    # That of the keys' bias is zero, whichever way.
    torch.testing.assert_close(found[0], found[1], atol=1e-12, rtol=1e-9)


def test_absorbed_attention_passes_gradcheck():
    own = attention(is_absorbed=True)
    asked, seen = inputs(2, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, s: own(a, own.memory(s)), (asked, seen))


def test_norm_and_linear_together_equal_them_one_after_the_other():
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(WIDTH).double(), nn.Linear(WIDTH, 5).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    _, x = inputs(1, requires_grad=True)
    values = (x, *norm.parameters(), *linear.parameters())
    found, expected = normed_linear(x, norm, linear), linear(norm(x))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), values),
        torch.autograd.grad(expected.sin().sum(), values),
    )
