"""Corrections of an estimate: what is compared, and that nothing flows back through it."""

import pytest
import torch

from smil_ray.config import HeadConfig
from smil_ray.core import rotations
from smil_ray.core.params import HeadLayout
from smil_ray.models.features import BackboneSpec
from smil_ray.models.heads._look import Look
from smil_ray.models.heads._refinement import COMPARED_WIDTH, best_turn, compare
from smil_ray.models.heads.joint_tokens import JointTokensHead
from smil_ray.models.heads.output import EstimatedJoints

PARENTS = (-1, 0, 1, 2, 0)
"""A chain of three on the root, and another child of it."""
SPEC = BackboneSpec("vit", 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (2, 2), 20, 24, False)
LAYOUT = HeadLayout(n_joints=5, n_betas=2, representation="6d")


def descent() -> tuple[torch.Tensor, torch.Tensor]:
    below, children = torch.zeros(5, 5), torch.zeros(5, 5)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            children[parent, joint] = 1.0
        while parent >= 0:
            below[parent, joint] = 1.0
            parent = PARENTS[parent]
    return below, children / children.sum(dim=1, keepdim=True).clamp_min(1.0)


def joints(seed: int = 0) -> EstimatedJoints:
    generator = torch.Generator().manual_seed(seed)
    below, children = descent()
    turn = rotations.axis_angle_to_matrix(torch.randn(2, 5, 3, generator=generator))
    return EstimatedJoints(
        xy=torch.rand(2, 5, 2, generator=generator),
        position=torch.randn(2, 5, 3, generator=generator),
        rotation=turn,
        extent=torch.full((2, 1, 1), 0.8),
        below=below,
        child_mean=children,
    )


def test_best_turn_equals_the_sum_over_pairs():
    found = joints()
    way = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(3))
    turn = best_turn(found.position, way, found.below)
    for sample in range(2):
        for joint in range(5):
            levers = found.position[sample] - found.position[sample, joint]
            hanging = found.below[joint].bool()
            moment = torch.cross(levers, way[sample], dim=-1)[hanging].sum(dim=0)
            squares = levers.square().sum(dim=-1)[hanging].sum()
            expected = moment / (squares + 1e-3)
            torch.testing.assert_close(turn[sample, joint], expected, atol=1e-4, rtol=1e-4)


def test_best_turn_finds_a_small_rotation_across_the_lever_arm():
    """A single point on a lever arm, turned about an axis across it, tells the whole rotation."""
    below = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    position = torch.tensor([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]])
    small = torch.tensor([0.0, 0.0, 1e-3])
    turned = position @ rotations.axis_angle_to_matrix(small).mT
    found = best_turn(position, turned - position, below)
    torch.testing.assert_close(found[0, 0], small, atol=1e-6, rtol=1e-3)
    assert not found[0, 1].any(), "nothing hangs on a leaf"


def test_an_estimate_that_is_seen_where_it_is_needs_no_turn():
    found = joints()
    look = Look(torch.zeros(2, 5, 3), found.xy, torch.full((2, 5, 1), 0.1))
    compared = compare(look, found)
    assert compared.shape == (2, 5, COMPARED_WIDTH)
    assert not compared[..., :2].any()
    assert not compared[..., -6:].any()


def test_ways_are_in_the_joints_own_axes():
    """Turning animal and ways together about the line of sight leaves the turn as it was."""
    found = joints()
    way = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(5))
    spin = rotations.axis_angle_to_matrix(torch.tensor([0.0, 0.0, 0.7]))
    own = found.rotation.mT @ best_turn(found.position, way, found.below)[..., None]
    spun = best_turn(found.position @ spin.mT, way @ spin.mT, found.below)
    own_spun = (spin @ found.rotation).mT @ spun[..., None]
    torch.testing.assert_close(own, own_spun, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_what_is_far_off_stays_bounded(far):
    found = joints()
    look = Look(torch.zeros(2, 5, 3), found.xy + far, torch.full((2, 5, 1), 0.1))
    assert compare(look, found).abs().max() <= 10.0


def head_and_features(refinements):
    torch.manual_seed(0)
    settings = {"hidden_dim": 32, "dropout": 0.0, "refinements": refinements}
    head = JointTokensHead(SPEC, LAYOUT, HeadConfig(type="joint_tokens", **settings))
    generator = torch.Generator().manual_seed(1)
    return head, SPEC.unpack(torch.randn(2, sum(SPEC.widths), generator=generator))


def test_every_refinement_sees_the_estimate_before_it():
    head, features = head_and_features(2)
    asked = []

    def estimator(raw):
        asked.append(raw)
        return joints()

    found = head(features, torch.zeros(LAYOUT.total), estimator)
    assert len(asked) == 2
    assert not torch.equal(asked[0], asked[1])
    assert not torch.equal(asked[1], found.raw)


def test_a_refinement_heeds_where_the_estimate_is():
    head, features = head_and_features(1)
    zero = torch.zeros(LAYOUT.total)
    one = head(features, zero, lambda _raw: joints(0)).raw
    assert (one - head(features, zero, lambda _raw: joints(1)).raw).abs().max() > 1e-4


def test_every_weight_has_a_gradient_and_none_comes_through_the_estimate():
    head, features = head_and_features(2)
    grown = []

    def estimator(raw):
        grown.append(torch.is_grad_enabled())
        return joints()

    found = head(features, torch.zeros(LAYOUT.total), estimator)
    assert found.keypoints is not None
    (found.raw.sum() + found.keypoints.scale.sum() + found.keypoints.logits.sum()).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert grown == [False, False]


def test_refinements_without_an_estimator_are_a_programming_error():
    head, features = head_and_features(1)
    with pytest.raises(ValueError, match="estimator"):
        head(features, torch.zeros(LAYOUT.total))
