"""Places of joints that are given take the place of heat maps."""

import torch

from smil_ray.config import HeadConfig
from smil_ray.core.params import HeadLayout
from smil_ray.models.features import BackboneSpec
from smil_ray.models.heads._look import cell_centres
from smil_ray.models.heads._prompts import prompted
from smil_ray.models.heads.joint_tokens import JointTokensHead

SPEC = BackboneSpec("vit", 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (2, 2), 20, 24, False)
LAYOUT = HeadLayout(n_joints=4, n_betas=2, representation="6d")
NAN = float("nan")


def head_and_features(share: float = 0.5):
    torch.manual_seed(0)
    settings = {"hidden_dim": 32, "dropout": 0.0, "refinements": 0, "prompt_share": share}
    head = JointTokensHead(SPEC, LAYOUT, HeadConfig(type="joint_tokens", **settings))
    generator = torch.Generator().manual_seed(1)
    return head, SPEC.unpack(torch.randn(2, sum(SPEC.widths), generator=generator))


def places(**given: tuple[float, float]) -> torch.Tensor:
    prompts = torch.full((2, 4, 2), NAN)
    for joint, place in given.items():
        prompts[:, int(joint[1:])] = torch.tensor(place)
    return prompts


def test_a_given_place_is_a_narrow_peak_and_the_others_stay():
    cells = cell_centres((8, 8))
    logits = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    found = prompted(logits, places(j1=(0.3, 0.9), j2=(1.4, -0.2)), cells)
    assert torch.equal(found[:, [0, 3]], logits[:, [0, 3]])
    peak = found[0, 1].flatten().argmax()
    torch.testing.assert_close(cells[peak], torch.tensor([0.3125, 0.9375]))
    assert found[0, 1].flatten().softmax(dim=0).max() > 0.5
    # Beyond the picture: its nearest corner.
    assert found[0, 2].flatten().argmax() == 7


def test_no_place_given_is_as_if_nothing_were_asked():
    head, features = head_and_features()
    zero = torch.zeros(LAYOUT.total)
    plain, asked = head(features, zero), head(features, zero, None, places())
    torch.testing.assert_close(plain.raw, asked.raw)


def test_a_given_place_reaches_the_other_joints_but_not_the_own_maps():
    head, features = head_and_features()
    zero = torch.zeros(LAYOUT.total)
    plain, told = head(features, zero), head(features, zero, None, places(j2=(0.9, 0.1)))
    before, after = (
        LAYOUT.split(found.raw)["joint_rot"].unflatten(1, (3, 6)) for found in (plain, told)
    )
    for joint in range(3):
        assert (before[:, joint] - after[:, joint]).abs().max() > 1e-6, joint
    for own, same in zip(plain.keypoints[:2], told.keypoints[:2], strict=True):
        assert torch.equal(own, same)


def test_the_root_is_where_it_is_given():
    head, features = head_and_features()
    found = head(features, torch.zeros(LAYOUT.total), None, places(j0=(0.2, 0.7)))
    expected = 1 - 2 * torch.tensor([[0.2, 0.7], [0.2, 0.7]])
    torch.testing.assert_close(LAYOUT.split(found.raw)["root_ndc"], expected, atol=0.1, rtol=0)


def test_every_weight_has_a_gradient_with_and_without_prompts():
    for prompts in (places(), places(j1=(0.5, 0.5))):
        head, features = head_and_features()
        found = head(features, torch.zeros(LAYOUT.total), None, prompts)
        (found.raw.sum() + found.keypoints.scale.sum() + found.keypoints.logits.sum()).backward()
        assert all(parameter.grad is not None for parameter in head.parameters())
