"""Small backbones and networks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from smil_ray.config import BackboneConfig, HeadConfig, ModelConfig
from smil_ray.models.decoder import ScaleBasis, TargetStatistics
from smil_ray.models.regressor import Regressor, build_regressor

N_JOINTS, N_BETAS = 7, 4


@pytest.fixture
def images() -> Callable[..., Tensor]:
    """Random RGB images, uint8 (n, 3, size, size)."""

    def make(count: int = 2, size: int = 64, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (count, 3, size, size)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    return make


@pytest.fixture
def make_regressor() -> Callable[..., Regressor]:
    """Network for 7 joints and 4 betas; keywords go to ModelConfig, BackboneConfig, HeadConfig."""

    def make(
        backbone: dict[str, Any] | None = None, head: dict[str, Any] | None = None, **model: Any
    ) -> Regressor:
        torch.manual_seed(0)
        config = ModelConfig(
            backbone=BackboneConfig(**{"input_size": 64, **(backbone or {})}),
            head=HeadConfig(**{"hidden_dim": 32, **(head or {})}),
            **model,
        )
        directions = torch.linspace(-0.1, 0.1, N_BETAS * N_JOINTS * 3).reshape(
            N_BETAS, N_JOINTS, 3
        )
        return build_regressor(
            config,
            n_joints=N_JOINTS,
            n_betas=N_BETAS,
            statistics=TargetStatistics(fov_deg=25.0, log_extent=0.5),
            basis=ScaleBasis(directions, directions),
        )

    return make
