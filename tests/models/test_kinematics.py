"""Where an estimate puts the joints, against the body model and the camera."""

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig, ModelConfig
from smil_ray.core.frames import points_in_camera
from smil_ray.core.params import SmilParams
from smil_ray.models.decoder import ParameterDecoder, ScaleBasis, TargetStatistics
from smil_ray.models.kinematics import Kinematics
from smil_ray.render.camera import Camera


@pytest.fixture(scope="module")
def insect() -> SmilModel:
    return SmilModel.builtin()


def estimate(insect: SmilModel, **settings) -> SmilParams:
    config = ModelConfig(**settings)
    basis = ScaleBasis(insect.scaledirs, insect.transdirs)
    statistics = TargetStatistics(fov_deg=30.0, log_extent=1.0)
    decoder = ParameterDecoder(config, insect.n_joints, insect.n_betas, statistics, basis)
    generator = torch.Generator().manual_seed(4)
    raw = decoder.initial + 0.2 * torch.randn(3, decoder.layout.total, generator=generator)
    return decoder(raw)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"reference_frame": "root"},
        {"rotation_representation": "axis_angle"},
        {"joint_scales": "pca", "joint_translations": "pca"},
    ],
    ids=str,
)
def test_joints_are_the_body_models(insect, settings):
    params = estimate(insect, **settings)
    intrinsics = torch.tensor([[2.0, 2.0, 0.45, 0.6]]).expand(3, 4)
    found = Kinematics(insect, BodyConfig())(params, intrinsics)
    joints = insect.pose(params).joints
    xy, _ = Camera.from_params(params, intrinsics).project(joints)
    cam = points_in_camera(joints, params)
    torch.testing.assert_close(found.xy, xy, atol=1e-5, rtol=1e-5)
    relative = (cam - cam[:, :1]) / insect.body_length
    torch.testing.assert_close(found.position, relative, atol=1e-4, rtol=1e-4)
    depth = cam[:, 0, 2] / insect.body_length
    extent = depth * torch.tan(torch.deg2rad(params.fov[:, 0]) / 2)
    torch.testing.assert_close(found.extent[:, 0, 0], extent)


def test_a_joints_axes_turn_with_everything_above_it(insect):
    params = estimate(insect)
    found = Kinematics(insect, BodyConfig())(params, None)
    matrices = params.rotation_matrices()
    joint = insect.n_joints - 1
    chain = [joint]
    while insect.skeleton.parents[chain[-1]] >= 0:
        chain.append(insect.skeleton.parents[chain[-1]])
    expected = torch.eye(3).expand(3, 3, 3)
    for link in reversed(chain):
        expected = expected @ matrices[:, link]
    torch.testing.assert_close(found.rotation[:, joint], expected, atol=1e-5, rtol=1e-5)


def test_what_hangs_on_what(insect):
    kinematics = Kinematics(insect, BodyConfig())
    found = kinematics(estimate(insect), None)
    parents = insect.skeleton.parents
    for joint in range(insect.n_joints):
        above, link = set(), parents[joint]
        while link >= 0:
            above.add(link)
            link = parents[link]
        assert set(found.below[:, joint].nonzero()[:, 0].tolist()) == above
    counts = torch.tensor([sum(p == j for p in parents) for j in range(insect.n_joints)])
    torch.testing.assert_close(found.child_mean.sum(dim=1), (counts > 0).float())
    assert torch.equal((found.child_mean > 0).sum(dim=1), counts)
