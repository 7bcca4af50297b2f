"""One batch can be learnt by heart: every gradient points where it should."""

import itertools
import math

import pytest
import torch

from smil_ray.config import BackboneConfig, BodyConfig, HeadConfig, LossConfig, ModelConfig
from smil_ray.losses.objective import Objective
from smil_ray.models.decoder import ScaleBasis, TargetStatistics
from smil_ray.models.kinematics import Kinematics
from smil_ray.models.regressor import build_regressor

WARMUP, SIZE = 20, 64
HEADS = {
    "joint_tokens": {"hidden_dim": 64, "num_heads": 4},
    "mlp": {},
    "transformer_decoder": {"hidden_dim": 128, "num_heads": 4, "depth": 2, "iterations": 2},
}
STEPS = {"joint_tokens": 150, "mlp": 120, "transformer_decoder": 120}
LIMITS = {"joint_tokens": (1.0, 0.5), "mlp": (2.0, 1.0), "transformer_decoder": (2.0, 1.0)}
"""Mean 2D error in pixels and root-aligned MPJPE in percent of body length, at most."""
RATES = {"joint_tokens": 2e-3, "mlp": 5e-4, "transformer_decoder": 5e-4}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "head", "representation", "frame"),
    list(
        itertools.product(
            ("test_resnet", "test_vit"),
            ("mlp", "transformer_decoder", "joint_tokens"),
            ("6d", "axis_angle"),
            ("camera", "root"),
        )
    ),
)
def test_one_batch_is_learnt_by_heart(backbone, head, representation, frame, insect, make_truth):
    _, batch = make_truth(count=4, frame=frame, image_size=SIZE)
    config = ModelConfig(
        backbone=BackboneConfig(name=backbone, input_size=SIZE),
        head=HeadConfig(type=head, dropout=0.0, **HEADS[head]),
        rotation_representation=representation,
        reference_frame=frame,
        joint_scales="pca",
        joint_translations="pca",
    )
    torch.manual_seed(0)
    statistics = TargetStatistics(20.0, math.log(1.3 * insect.body_length))
    regressor = build_regressor(
        config,
        n_joints=insect.n_joints,
        n_betas=insect.n_betas,
        statistics=statistics,
        basis=ScaleBasis(insect.scaledirs, insect.transdirs),
        kinematics=Kinematics(insect, BodyConfig()),
    ).train()
    objective = Objective(insect, LossConfig(), BodyConfig(), config)
    steps, rate = STEPS[head], RATES[head]
    optimiser = torch.optim.AdamW(regressor.parameters(), lr=rate)
    for step in range(steps):
        for group in optimiser.param_groups:
            cosine = (1 + math.cos(math.pi * step / steps)) / 2
            group["lr"] = rate * cosine * min(1.0, (step + 1) / WARMUP)
        optimiser.zero_grad()
        params = regressor(batch.image, intrinsics=batch.intrinsics)
        objective(params, batch, 0).total.backward()
        torch.nn.utils.clip_grad_norm_(regressor.parameters(), 1.0)
        optimiser.step()
    # BatchNorm's running statistics lag; memory is judged as the batch was learnt.
    with torch.no_grad():
        params = regressor(batch.image, intrinsics=batch.intrinsics)
        joints, xy = objective.posed(params, batch)
    seen = batch.keypoint_visibility
    pixels = ((xy - batch.keypoints_2d) * SIZE).norm(dim=-1)[seen].mean()
    errors = (joints - joints[:, :1]) - (batch.keypoints_3d - batch.keypoints_3d[:, :1])
    mpjpe_pct = 100 * errors.norm(dim=-1).mean() / insect.body_length
    most_pixels, most_percent = LIMITS[head]
    assert pixels.item() < most_pixels
    assert mpjpe_pct.item() < most_percent
