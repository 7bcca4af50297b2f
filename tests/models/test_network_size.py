"""Sizes of networks."""

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BackboneConfig, BodyConfig, HeadConfig, ModelConfig
from smil_ray.models.decoder import TargetStatistics
from smil_ray.models.describe import describe
from smil_ray.models.kinematics import Kinematics
from smil_ray.models.regressor import build_regressor


def test_describe_counts_parameters_and_operations(make_regressor):
    regressor = make_regressor({"name": "test_vit", "freeze": True}, {"type": "mlp"})
    size = describe(regressor)
    assert size.parameters == sum(p.numel() for p in regressor.parameters())
    assert size.trainable == size.head_parameters
    assert size.parameters == size.head_parameters + size.backbone_parameters
    assert size.gflops > 0
    assert "test_vit + mlp, 64 px" in str(size)


@pytest.mark.parametrize("head", ["mlp", "transformer_decoder"])
def test_describe_leaves_the_network_as_it_was(head, make_regressor, images):
    regressor = make_regressor(head={"type": head}).train()
    before = {key: value.clone() for key, value in regressor.state_dict().items()}
    describe(regressor)
    assert regressor.training
    assert all(torch.equal(v, before[k]) for k, v in regressor.state_dict().items())


def test_a_head_that_corrects_itself_is_counted_with_its_corrections():
    insect = SmilModel.builtin()
    counted = []
    for refinements in (0, 1):
        head = HeadConfig(type="joint_tokens", hidden_dim=32, num_heads=4, refinements=refinements)
        config = ModelConfig(
            backbone=BackboneConfig(name="test_resnet", input_size=64),
            head=head,
        )
        regressor = build_regressor(
            config,
            n_joints=insect.n_joints,
            n_betas=insect.n_betas,
            statistics=TargetStatistics(fov_deg=25.0, log_extent=0.5),
            kinematics=Kinematics(insect, BodyConfig()),
        )
        counted.append(describe(regressor).gflops)
    assert counted[0] < counted[1]


def test_describe_of_resnet50_is_what_is_known_of_it(make_regressor):
    # 4.1 G multiply-adds at 224 px (He et al. 2016), two operations each.
    regressor = make_regressor({"name": "resnet50", "input_size": 224}, {"type": "mlp"})
    size = describe(regressor)
    assert size.backbone_parameters == pytest.approx(23.5e6, rel=0.01)
    assert size.gflops == pytest.approx(8.2, rel=0.02)


def test_backbone_is_not_counted_again_if_its_operations_are_known(make_regressor):
    regressor = make_regressor(head={"type": "transformer_decoder"})
    size = describe(regressor)
    assert 0 < size.backbone_gflops < size.gflops
    regressor.backbone.forward = None  # Whoever calls it fails.
    assert describe(regressor, size.backbone_gflops) == size
