"""Every head: near the initial estimate at first, aware of positions, and real feedback."""

from typing import get_args

import pytest
import torch

from smil_ray.config import HeadConfig
from smil_ray.core.params import HeadLayout
from smil_ray.errors import ConfigError
from smil_ray.models.features import BackboneSpec, Features
from smil_ray.models.heads._attention import AbsorbedProjection
from smil_ray.models.heads.build import HEADS, build_head
from smil_ray.models.heads.mlp import SpatialSummary
from smil_ray.models.heads.transformer import TransformerHead, hidden_width

SPEC = BackboneSpec("x", 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (3, 4), 20, 24, False)
LAYOUT = HeadLayout(n_joints=3, n_betas=2, representation="6d")
TOTAL = LAYOUT.total


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(1)
    return Features(
        torch.randn(2, 12, 20, generator=generator), torch.randn(2, 24, generator=generator)
    )


def build(kind, **settings):
    torch.manual_seed(0)
    # What refinements do is in test_refinement.
    config = HeadConfig(type=kind, hidden_dim=32, refinements=0, **settings)
    return build_head(config, SPEC, LAYOUT)


def test_registry_has_the_types_of_the_config():
    assert set(HEADS) == set(get_args(HeadConfig.model_fields["type"].annotation))


@pytest.mark.parametrize("kind", list(HEADS))
def test_head_at_first_is_near_the_initial_estimate(kind, features):
    initial = torch.arange(TOTAL).float()
    raw = build(kind).eval()(features, initial).raw
    assert raw.shape == (2, TOTAL)
    assert (raw - initial).abs().max() < 0.25


@pytest.mark.parametrize("kind", list(HEADS))
def test_head_tells_where_a_feature_lies(kind, features):
    head = build(kind).eval()
    moved = Features(features.tokens.flip(1), features.pooled)
    zero = torch.zeros(TOTAL)
    assert not torch.allclose(head(features, zero).raw, head(moved, zero).raw, atol=1e-6)


@pytest.mark.parametrize("kind", list(HEADS))
def test_head_heeds_the_pooled_feature(kind, features):
    head = build(kind).eval()
    other = Features(features.tokens, features.pooled.flip(1))
    zero = torch.zeros(TOTAL)
    assert not torch.allclose(head(features, zero).raw, head(other, zero).raw, atol=1e-6)


@pytest.mark.parametrize("kind", list(HEADS))
def test_head_gives_every_parameter_a_gradient(kind, features):
    head = build(kind)
    found = head(features, torch.zeros(TOTAL))
    outputs = [found.raw, *(found.keypoints or ())]
    torch.stack([value.sum() for value in outputs]).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize("kind", list(HEADS))
def test_head_has_dropout_in_training_only(kind, features):
    head = build(kind, dropout=0.5)
    zero = torch.zeros(TOTAL)
    assert not torch.equal(head(features, zero).raw, head(features, zero).raw)
    head.eval()
    assert torch.equal(head(features, zero).raw, head(features, zero).raw)


def test_summary_of_a_bright_cell_is_its_place():
    summary = SpatialSummary(SPEC, maps=1)
    torch.nn.init.constant_(summary.score.weight, 0.0)
    summary.score.weight.data[0, 0] = 50.0
    tokens = torch.zeros(1, 12, 20)
    tokens[0, 7, 0] = 5.0
    # Cell 7 of 3 x 4 is row 1, column 3: the middle of the picture's height, its right border.
    torch.testing.assert_close(summary(tokens), torch.tensor([[0.75, 0.0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("queries", [1, 4])
def test_decoder_corrects_another_estimate_otherwise(queries, features):
    head = build("transformer_decoder", queries=queries).eval()
    assert isinstance(head, TransformerHead)
    memories = head.memories(features)
    first = torch.zeros(2, TOTAL)
    second = first.clone()
    second[:, 3] = 1.0
    queries = head.first_queries(features)
    told_first = head.increment(memories, queries, first)
    assert (told_first - head.increment(memories, queries, second)).abs().max() > 1e-5


@pytest.mark.parametrize("queries", [1, 4])
def test_decoder_makes_nothing_of_frozen_tokens_that_needs_a_gradient(queries, features):
    head = build("transformer_decoder", queries=queries, num_heads=1)
    assert isinstance(head, TransformerHead)
    for memory in head.memories(features):
        assert isinstance(memory, AbsorbedProjection)
        assert not memory.seen.requires_grad


def test_decoder_with_more_iterations_feeds_each_estimate_back(features):
    once = build("transformer_decoder", iterations=1).eval()
    thrice = build("transformer_decoder", iterations=3).eval()
    thrice.load_state_dict(once.state_dict())
    assert isinstance(thrice, TransformerHead)
    zero = torch.zeros(TOTAL)
    memories, queries = thrice.memories(features), thrice.first_queries(features)
    estimate = once(features, zero).raw
    for _ in range(2):
        estimate = estimate + thrice.increment(memories, queries, estimate)
    torch.testing.assert_close(thrice(features, zero).raw, estimate)
    assert not torch.allclose(estimate, 3 * once(features, zero).raw, atol=1e-7)


def test_decoder_width_of_null_follows_the_backbone_within_limits():
    config = HeadConfig(num_heads=8)
    assert hidden_width(SPEC, config) == 256
    wide = BackboneSpec("x", 64, SPEC.mean, SPEC.std, (3, 4), 2048, 2048, False)
    assert hidden_width(wide, config) == 1024
    odd = BackboneSpec("x", 64, SPEC.mean, SPEC.std, (3, 4), 577, 577, False)
    assert hidden_width(odd, config) == 584


def test_decoder_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ConfigError, match=r"hidden_dim.*multiple of 8.*found 36.*40"):
        hidden_width(SPEC, HeadConfig(hidden_dim=36, num_heads=8))
