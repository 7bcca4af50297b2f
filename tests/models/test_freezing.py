"""What is frozen has no gradient, no BatchNorm update and no dropout."""

import pytest
import torch
from torch import nn

from smil_ray.config import BackboneConfig, PartialFreeze
from smil_ray.errors import ConfigError
from smil_ray.models.backbones import build_backbone

SMALL = ["test_resnet", "test_vit", "mobilenetv3_small_100"]


def build(name="test_resnet", freeze: bool | PartialFreeze = True):
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(name=name, input_size=64, freeze=freeze))


@pytest.mark.parametrize("name", SMALL)
def test_frozen_backbone_in_training_is_deterministic_and_unchanged(name, images):
    backbone = build(name)
    for module in backbone.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    first, second = backbone(images()), backbone(images())
    assert torch.equal(first.pooled, second.pooled)
    assert not first.tokens.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
    assert not any(module.training for module in backbone.model.modules())


@pytest.mark.parametrize("name", SMALL)
def test_frozen_backbone_never_trains_a_parameter(name):
    backbone = build(name)
    assert backbone.frozen
    assert backbone.always_frozen
    assert backbone.trainable_parameters() == []
    assert not backbone.set_epoch(1000)
    assert backbone.frozen


def test_trained_backbone_has_gradients_and_moves_batchnorm(images):
    backbone = build(freeze=False).train()
    before = next(m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)).running_mean
    assert before is not None
    kept = before.clone()
    backbone(images()).tokens.sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.model.parameters())
    assert not torch.equal(before, kept)


@pytest.mark.parametrize("name", SMALL)
def test_partial_freeze_opens_the_last_blocks_at_its_epoch(name, images):
    backbone = build(name, PartialFreeze(unfreeze_at_epoch=3, last_blocks=1)).train()
    assert backbone.frozen
    assert not backbone.always_frozen
    assert not backbone.set_epoch(2)
    assert backbone.set_epoch(3)
    trained = {id(p) for p in backbone.parameters() if p.requires_grad}
    assert trained == {id(p) for p in backbone.trainable_parameters()}
    assert 0 < len(trained) < len(list(backbone.parameters()))
    features = backbone(images())
    (features.tokens.sum() + features.pooled.sum()).backward()
    for parameter in backbone.parameters():
        assert (parameter.grad is not None) == (id(parameter) in trained)


def test_partial_freeze_keeps_the_frozen_part_in_evaluation_mode(images):
    backbone = build("test_resnet", PartialFreeze(last_blocks=1)).train()
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not norms[0].training
    assert norms[-1].training
    kept = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    backbone(images())
    moved = [
        not torch.equal(norm.running_mean, old)
        for norm, old in zip(norms, kept, strict=True)
        if norm.running_mean is not None
    ]
    assert moved == [norm.training for norm in norms]


def test_partial_freeze_without_blocks_opens_everything():
    backbone = build("test_vit", PartialFreeze(unfreeze_at_epoch=1))
    assert backbone.set_epoch(1)
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_partial_freeze_goes_back_when_the_epoch_does():
    backbone = build("test_vit", PartialFreeze(unfreeze_at_epoch=1))
    backbone.set_epoch(1)
    assert backbone.set_epoch(0)
    assert backbone.frozen


def test_partial_freeze_of_more_blocks_than_there_are_is_refused():
    with pytest.raises(ConfigError, match=r"last_blocks.*at most.*found 500"):
        build("test_vit", PartialFreeze(last_blocks=500))


def test_eval_mode_holds_for_a_trained_backbone():
    backbone = build(freeze=False).eval()
    assert not any(module.training for module in backbone.modules())
