"""The head that looks at each joint: what lies under heat maps, and what becomes of it."""

import pytest
import torch

from smil_ray.config import HeadConfig
from smil_ray.core.params import HeadLayout
from smil_ray.errors import ConfigError
from smil_ray.models.features import BackboneSpec, Features, MapSpec
from smil_ray.models.heads._look import look_under
from smil_ray.models.heads.joint_tokens import JointTokensHead

SPEC = BackboneSpec(
    "x",
    32,
    (0.5, 0.5, 0.5),
    (0.5, 0.5, 0.5),
    (2, 2),
    20,
    24,
    False,
    (MapSpec(0, 6, (8, 8)), MapSpec(1, 10, (4, 4))),
)
PLAIN = BackboneSpec("vit", 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (2, 2), 20, 24, False)


def build(layout: HeadLayout, spec: BackboneSpec = SPEC, **settings) -> JointTokensHead:
    torch.manual_seed(0)
    # What refinements do is in test_refinement.
    settings = {"hidden_dim": 32, "dropout": 0.0, "refinements": 0, **settings}
    config = HeadConfig(type="joint_tokens", **settings)
    return JointTokensHead(spec, layout, config)


def features(spec: BackboneSpec = SPEC, batch: int = 2) -> Features:
    generator = torch.Generator().manual_seed(1)
    return spec.unpack(torch.randn(batch, sum(spec.widths), generator=generator))


def test_look_under_a_single_hot_cell_is_that_cell():
    logits = torch.full((1, 2, 4, 4), -1e4)
    logits[0, 0, 1, 3] = 0.0
    logits[0, 1, 2, 0] = 0.0
    fine, coarse = torch.randn(1, 5, 4, 4), torch.randn(1, 3, 2, 2)
    rows = (torch.arange(4) + 0.5) / 4
    cells = torch.stack([rows.repeat(4), rows.repeat_interleave(4)], dim=-1)
    look = look_under(logits, [coarse, fine], cells)
    torch.testing.assert_close(look.xy, torch.tensor([[[0.875, 0.375], [0.125, 0.625]]]))
    under_first = torch.cat([coarse[0, :, 0, 1], fine[0, :, 1, 3]])
    under_second = torch.cat([coarse[0, :, 1, 0], fine[0, :, 2, 0]])
    torch.testing.assert_close(look.features[0], torch.stack([under_first, under_second]))
    assert look.spread.max() < 1e-3


def test_look_under_equals_sums_cell_by_cell():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 1, 2, 3, generator=generator)
    level = torch.randn(1, 4, 2, 3, generator=generator)
    cells = torch.rand(6, 2, generator=generator)
    look = look_under(logits, [level], cells)
    share = (logits.exp() / logits.exp().sum()).flatten().tolist()
    values = level.flatten(2)[0].T
    mean = sum(s * v for s, v in zip(share, values, strict=True))
    place = sum(s * c for s, c in zip(share, cells, strict=True))
    spread = sum(s * (c - place).square().sum() for s, c in zip(share, cells, strict=True)) ** 0.5
    torch.testing.assert_close(look.features[0, 0], mean)
    torch.testing.assert_close(look.xy[0, 0], place)
    torch.testing.assert_close(look.spread[0, 0, 0], spread)


@pytest.mark.parametrize("spec", [SPEC, PLAIN], ids=["with finer maps", "tokens only"])
def test_heat_maps_are_as_fine_as_asked(spec):
    layout = HeadLayout(n_joints=5, n_betas=2, representation="6d")
    found = build(layout, spec, finest_stride=4)(features(spec), torch.zeros(layout.total))
    assert found.keypoints is not None
    assert found.keypoints.logits.shape == (2, 5, 8, 8)
    assert found.raw.shape == (2, layout.total)


@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
def test_each_joints_token_gives_that_joints_outputs(representation):
    layout = HeadLayout(
        n_joints=4,
        n_betas=2,
        representation=representation,
        scale_width=12,
        translation_width=12,
        per_joint=frozenset({"scales", "translations"}),
    )
    head = build(layout)
    torch.nn.init.zeros_(head.outputs.of_all.weight)
    head.outputs.bias.data[2] = 1.0
    parts = layout.split(head(features(), torch.zeros(layout.total)).raw)
    width = layout.joint_groups["joint_rot"]
    rotations = parts["joint_rot"].unflatten(1, (3, width))
    assert (rotations[:, 1] == 1).all()
    assert (rotations[:, [0, 2]] == 0).all()
    for group in ("scales", "translations"):
        rows = parts[group].unflatten(1, (4, 3))
        assert (rows[:, 2] == 1).all()
        assert (rows[:, [0, 1, 3]] == 0).all()


def test_root_starts_where_its_heat_map_sees_it():
    layout = HeadLayout(n_joints=3, n_betas=2, representation="6d")
    head = build(layout)
    found = head(features(), torch.zeros(layout.total))
    assert found.keypoints is not None
    ndc = layout.split(found.raw)["root_ndc"]
    torch.testing.assert_close(ndc, 1 - 2 * found.keypoints.xy[:, 0], atol=0.1, rtol=0)


def test_scale_of_the_error_has_no_part_in_the_tokens():
    layout = HeadLayout(n_joints=3, n_betas=2, representation="6d")
    head = build(layout)
    found = head(features(), torch.zeros(layout.total))
    assert found.keypoints is not None
    found.keypoints.scale.sum().backward()
    assert head.scale.weight.grad is not None
    assert head.joint.grad is None


def test_width_that_attention_heads_cannot_share_is_refused():
    layout = HeadLayout(n_joints=3, n_betas=2, representation="6d")
    config = HeadConfig(type="joint_tokens", hidden_dim=40, num_heads=8)
    with pytest.raises(ConfigError, match=r"multiple of 16.*found 40.*48"):
        JointTokensHead(SPEC, layout, config)
