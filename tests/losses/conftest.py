"""Labelled batches of the built-in insect, and predictions that equal their labels."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import LABELS, Batch
from smil_ray.core.frames import change_frame, points_in_frame
from smil_ray.core.params import (
    SmilParams,
    log_scales_from_weights,
    translations_from_weights,
)
from smil_ray.losses.prior import ParameterPrior
from smil_ray.render.camera import Camera
from smil_ray.render.silhouette.soft import soft_silhouette


@pytest.fixture(scope="session")
def insect() -> SmilModel:
    return SmilModel.builtin()


@pytest.fixture(scope="session")
def prior(insect, make_truth) -> ParameterPrior:
    """What is likely by 60 random animals."""
    target = make_truth(count=60, seed=9)[1].target
    found = ParameterPrior.fit(target.joint_rot, target.betas)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def make_truth(insect) -> Callable[..., tuple[SmilParams, Batch]]:
    """Random animals before a camera: exact parameters and the batch labelled with them."""

    def make(
        count: int = 3,
        frame: str = "camera",
        representation: str = "6d",
        seed: int = 0,
        image_size: int = 64,
    ) -> tuple[SmilParams, Batch]:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        scale_weights, trans_weights = (
            0.3 * normal(count, insect.n_betas),
            5.0 * normal(count, insect.n_betas),
        )
        scaledirs, transdirs = insect.scaledirs, insect.transdirs
        assert scaledirs is not None
        assert transdirs is not None
        fov = 20.0 + 3.0 * normal(count, 1)
        depth = 1.3 * insect.body_length / torch.tan(torch.deg2rad(fov) / 2)
        eye = torch.eye(3).expand(count, 3, 3)
        truth = SmilParams(
            global_rot=normal(count, 3),
            joint_rot=0.15 * normal(count, insect.skeleton.n_pose, 3),
            betas=0.3 * normal(count, insect.n_betas),
            trans=torch.cat([0.2 * normal(count, 2), depth], dim=1),
            fov=fov,
            cam_rot=eye,
            cam_trans=torch.zeros(count, 3),
            log_beta_scales=log_scales_from_weights(scale_weights, scaledirs),
            betas_trans=translations_from_weights(trans_weights, transdirs),
        )
        joints = insect.pose(truth).joints
        xy, _ = Camera.from_params(truth).project(joints)
        target = change_frame(truth, frame)
        batch = Batch(
            names=tuple(f"s{index}" for index in range(count)),
            reference_frame=frame,
            image=torch.randint(
                0, 256, (count, 3, image_size, image_size), generator=generator, dtype=torch.uint8
            ),
            mask=torch.zeros(count, 1, image_size, image_size, dtype=torch.uint8),
            target=replace(target, log_beta_scales=None, betas_trans=None),
            intrinsics=Camera.from_params(truth).intrinsics,
            scale_weights=scale_weights,
            trans_weights=trans_weights,
            keypoints_2d=xy,
            keypoints_3d=points_in_frame(joints, truth, frame),
            keypoint_visibility=((xy > 0) & (xy < 1)).all(dim=-1),
            keypoint_presence=torch.ones(xy.shape[:2], dtype=torch.bool),
            body_length=torch.full((count,), insect.body_length),
            presence={label: torch.ones(count, dtype=torch.bool) for label in LABELS},
        )
        return target.with_representation(representation), batch

    return make


@pytest.fixture(scope="session")
def perturb() -> Callable[..., SmilParams]:
    """Parameters moved a little at random, with gradient; returns leaves of the graph."""

    def move(params: SmilParams, size: float = 0.05, seed: int = 1) -> SmilParams:
        generator = torch.Generator().manual_seed(seed)

        def noisy(value: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(value.shape, generator=generator).to(value.dtype)
            return (value.detach() + size * noise).requires_grad_()

        return params.map(noisy)

    return move


@pytest.fixture(scope="session")
def silhouette_kernels() -> None:
    """Compile, or read from the cache, so that no test's time holds the compiler's."""
    points = torch.tensor([[[0.2, 0.2], [0.8, 0.2], [0.2, 0.8]]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    soft_silhouette(points, torch.ones(1, 3), faces, 8, 8).sum().backward()
