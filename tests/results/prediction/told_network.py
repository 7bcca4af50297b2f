"""A network that takes places of joints as prompts, with random weights."""

from dataclasses import replace
from pathlib import Path

import torch

from smil_ray.config import ModelConfig
from smil_ray.models.decoder import TargetStatistics
from smil_ray.models.kinematics import Kinematics
from smil_ray.models.regressor import build_regressor
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor

HEAD = {"type": "joint_tokens", "hidden_dim": 32, "num_heads": 4, "depth": 1, "prompt_share": 0.3}


def told_network(run: Path) -> LoadedRegressor:
    """The body model and settings of a run, with another network."""
    loaded = load_regressor(run)
    backbone = {"name": "test_resnet", "input_size": 64, "weights": "none"}
    config = ModelConfig.model_validate({"backbone": backbone, "head": HEAD})
    torch.manual_seed(0)
    network = build_regressor(
        config,
        n_joints=loaded.model.n_joints,
        n_betas=loaded.model.n_betas,
        statistics=TargetStatistics(fov_deg=30.0, log_extent=0.5),
        kinematics=Kinematics(loaded.model, loaded.config.body),
    )
    return replace(loaded, regressor=network.eval().requires_grad_(False))
