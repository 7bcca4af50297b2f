"""Raw outputs to SMIL parameters: known cameras, the first guess."""

import math

import pytest
import torch

from smil_ray.config import ModelConfig
from smil_ray.core import rotations
from smil_ray.errors import ConfigError
from smil_ray.models.decoder import ParameterDecoder, TargetStatistics

N_JOINTS = 5
STATISTICS = TargetStatistics(fov_deg=30.0, log_extent=0.7)


def decoder(statistics: TargetStatistics = STATISTICS, **settings) -> ParameterDecoder:
    return ParameterDecoder(ModelConfig(**settings), N_JOINTS, 3, statistics, None)


def random_pose(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.6 * torch.randn(N_JOINTS - 1, 3, generator=generator)


def test_known_camera_gives_its_own_field_of_view_and_metric_depth():
    known = decoder(camera="known")
    intrinsics = torch.tensor([[1.7, 1.7, 0.5, 0.5], [3.0, 2.5, 0.4, 0.6]])
    params = known(known.initial.expand(2, -1), intrinsics)
    half = torch.tensor([[0.5 / 1.7], [0.5 / 2.5]])
    torch.testing.assert_close(torch.tan(torch.deg2rad(params.fov) / 2), half)
    torch.testing.assert_close(params.trans[:, 2:], math.exp(0.7) / half)


def test_known_camera_that_nobody_gives_is_one_sentence():
    known = decoder(camera="known")
    with pytest.raises(ConfigError, match=r"camera: known.*--fov-deg"):
        known(known.initial[None], None)


def test_predicted_camera_does_not_heed_the_focal_length():
    predicted = decoder()
    one = predicted(predicted.initial[None], torch.tensor([[1.7, 1.7, 0.5, 0.5]]))
    other = predicted(predicted.initial[None], torch.tensor([[9.0, 9.0, 0.5, 0.5]]))
    assert torch.equal(one.trans, other.trans)
    assert float(one.fov) == pytest.approx(30.0)


@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
def test_first_guess_is_the_mean_of_the_training_split(representation):
    pose = random_pose()
    root = torch.tensor([0.3, -1.2, 0.5])
    statistics = TargetStatistics(
        fov_deg=30.0,
        log_extent=0.7,
        root_rot=(tuple(root.tolist()),),
        joint_rot=tuple(tuple(row) for row in pose.tolist()),
        betas=(0.1, -0.2, 0.3),
    )
    start = decoder(statistics, rotation_representation=representation)
    params = start(start.initial[None])
    torch.testing.assert_close(
        rotations.to_matrix(params.joint_rot)[0], rotations.to_matrix(pose), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        rotations.to_matrix(params.global_rot)[0], rotations.to_matrix(root)
    )
    torch.testing.assert_close(params.betas, torch.tensor([[0.1, -0.2, 0.3]]))
