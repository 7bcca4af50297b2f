"""Which joints a network is told while it trains."""

import torch

from smil_ray.training.batches.prompts import MOST_PROMPTS, drawn

JOINTS = 12


def seen(share: float = 0.7) -> torch.Tensor:
    return torch.rand(400, JOINTS, generator=torch.Generator().manual_seed(0)) < share


def test_only_known_joints_are_told():
    torch.manual_seed(1)
    known = seen()
    told = drawn(known, 1.0)
    assert told.any(dim=1).all()
    assert not (told & ~known).any()


def test_from_one_to_most_joints_are_told_all_numbers_alike():
    torch.manual_seed(1)
    found = drawn(seen(1.1), 1.0).sum(dim=1).bincount(minlength=MOST_PROMPTS + 1)
    assert found[0] == 0
    assert len(found) == MOST_PROMPTS + 1
    assert found[1:].min() > 25


def test_every_joint_is_told_as_often():
    torch.manual_seed(1)
    share = drawn(seen(1.1), 1.0).float().mean(dim=0)
    assert share.max() - share.min() < 0.15


def test_a_share_of_the_samples_is_told():
    torch.manual_seed(1)
    assert 0.2 < float(drawn(seen(1.1), 0.3).any(dim=1).float().mean()) < 0.4
    assert not drawn(seen(1.1), 0.0).any()


def test_the_same_seed_tells_the_same():
    torch.manual_seed(3)
    first = drawn(seen(), 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, drawn(seen(), 0.5))
