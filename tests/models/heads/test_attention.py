"""Attention: the absorbed way equals the spread one, and both equal PyTorch's own."""

import pytest
import torch
from torch import nn

from smil_ray.models.heads import _attention as module
from smil_ray.models.heads._attention import AbsorbedProjection, Attention

BATCH, TOKENS, WIDTH, SEEN_WIDTH, HEADS = 2, 7, 16, 12, 4


def inputs(queries: int, *, requires_grad: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(queries)
    asked = torch.randn(BATCH, queries, WIDTH, dtype=torch.float64, generator=generator)
    seen = torch.randn(BATCH, TOKENS, SEEN_WIDTH, dtype=torch.float64, generator=generator)
    return asked.requires_grad_(requires_grad), seen.requires_grad_(requires_grad)


def attention(*, is_absorbed: bool) -> Attention:
    torch.manual_seed(3)
    made = Attention(WIDTH, SEEN_WIDTH, HEADS, rounds=2).double()
    nn.init.normal_(made.value.bias)
    made.is_absorbed = is_absorbed
    return made


def test_fewer_looks_than_the_tokens_are_wide_are_absorbed():
    assert Attention(256, 768, 8, queries=1, rounds=3).is_absorbed
    assert Attention(768, 768, 8, queries=8, rounds=3).is_absorbed
    assert not Attention(256, 768, 8, queries=8, rounds=3).is_absorbed
    assert not Attention(256, 768, 8).is_absorbed


def test_heads_are_as_wide_as_they_share_the_width_but_at_most_64():
    for width, expected in ((256, 256), (512, 512), (768, 512), (1024, 512)):
        made = Attention(width, 96, 8)
        assert made.query.weight.shape == (expected, width)
        assert made.key.weight.shape == made.value.weight.shape == (expected, 96)
        assert made.output.weight.shape == (width, expected)


@pytest.mark.parametrize("queries", [1, 3])
def test_both_ways_are_equal_with_narrow_heads(queries, monkeypatch):
    monkeypatch.setattr(module, "HEAD_WIDTH", 3)
    asked, seen = inputs(queries)
    spread, absorbed = (attention(is_absorbed=way) for way in (False, True))
    assert spread.query.weight.shape == (3 * HEADS, WIDTH)
    found, expected = (made(asked, made.memory(seen)) for made in (absorbed, spread))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("is_absorbed", [False, True])
@pytest.mark.parametrize("queries", [1, 3])
def test_attention_equals_that_of_pytorch(queries, is_absorbed):
    own = attention(is_absorbed=is_absorbed)
    sizes = {"kdim": SEEN_WIDTH, "vdim": SEEN_WIDTH, "batch_first": True}
    reference = nn.MultiheadAttention(WIDTH, HEADS, **sizes).double()
    for name, layer in (("q", own.query), ("k", own.key), ("v", own.value)):
        getattr(reference, f"{name}_proj_weight").data = layer.weight.data
    nothing = torch.zeros(WIDTH).double()
    reference.in_proj_bias.data = torch.cat([own.query.bias.data, nothing, own.value.bias.data])
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
    torch.testing.assert_close(found[0], found[1], atol=1e-12, rtol=1e-9)


def test_absorbed_attention_passes_gradcheck():
    own = attention(is_absorbed=True)
    asked, seen = inputs(2, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, s: own(a, own.memory(s)), (asked, seen))


def test_absorbed_attention_asks_no_gradient_of_tokens_that_need_none():
    own = attention(is_absorbed=True)
    asked, seen = inputs(1)
    memory = own.memory(seen)
    assert isinstance(memory, AbsorbedProjection)
    assert not memory.seen.requires_grad
    assert own(asked, memory).requires_grad
