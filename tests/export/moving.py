"""An insect that moves before a camera, with every kind of parameter."""

from dataclasses import replace

import numpy as np
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.params import SmilParams
from smil_ray.export.animation import Animation


def moving(
    n: int = 4, *, scaled: bool = True, propagate: bool = True, model: SmilModel | None = None
) -> Animation:
    """An animal with one shape, 25 frames a second, every second frame from the tenth on."""
    model = model or SmilModel.builtin()
    rng = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng)

    frames = 10 + 2 * np.arange(n)
    params = SmilParams(
        global_rot=torch.tensor([[2.5, -0.2, 1.9]]) + 0.3 * normal(n, 3),
        joint_rot=0.3 * normal(n, model.n_joints - 1, 3),
        betas=0.5 * normal(1, model.n_betas).expand(n, -1),
        trans=torch.tensor([[0.3, -0.2, 5.0]]) + 0.1 * normal(n, 3),
        fov=torch.full((n, 1), 30.0),
        cam_rot=torch.eye(3).repeat(n, 1, 1),
        cam_trans=torch.zeros(n, 3),
        log_beta_scales=0.2 * normal(1, model.n_joints, 3).expand(n, -1, -1) if scaled else None,
        betas_trans=0.02 * normal(1, model.n_joints, 3).expand(n, -1, -1) if scaled else None,
    )
    focal = 600.0 + 20.0 * np.arange(n)
    centre = np.full(n, 170.0), np.full(n, 115.0)
    return Animation(
        name="film",
        model=model,
        body=BodyConfig(propagate_scaling=propagate),
        params=params,
        frames=frames,
        time_s=frames / 25.0,
        camera_px=np.stack([focal, focal, *centre], axis=1),
        size_px=(320, 240),
    )


def of_two_shapes() -> Animation:
    """The same animal, whose shape is another in the last frame."""
    animation = moving()
    betas = animation.params.betas.clone()
    betas[-1] += 1.0
    return replace(animation, params=replace(animation.params, betas=betas))


def camera_joints(animation: Animation) -> np.ndarray:
    """Joints in the camera frame, model units."""
    params, body = animation.params, animation.body
    posed = animation.model.pose(params, propagate_scaling=body.propagate_scaling)
    return posed.joints.double().numpy()


def camera_vertices(animation: Animation) -> np.ndarray:
    """Vertices in the camera frame, model units."""
    params, body = animation.params, animation.body
    posed = animation.model.pose(params, propagate_scaling=body.propagate_scaling)
    return posed.skin().double().numpy()
