"""Parameters to pixels: body model and camera together; conventions_3d.md sections 2, 8 and 9."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import frames, rotations
from smil_ray.core.params import SmilParams
from smil_ray.render.camera import Camera
from smil_ray.render.silhouette.reference import fractions_to_ndc

WORLD_TO_CAMERA = [[0.3, -0.2, 0.9], [-1.1, 0.4, 0.2]]


def random_params(
    model: SmilModel, representation: Literal["6d", "axis_angle"] = "axis_angle"
) -> SmilParams:
    """Two bent animals in a world frame, in front of two different cameras."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return scale * torch.randn(2, *shape, generator=generator, dtype=torch.float64)

    params = SmilParams(
        global_rot=draw(3, scale=1.0),
        joint_rot=draw(model.n_joints - 1, 3),
        betas=draw(model.n_betas),
        trans=draw(3),
        fov=torch.tensor([[25.0], [50.0]], dtype=torch.float64),
        cam_rot=rotations.axis_angle_to_matrix(torch.tensor(WORLD_TO_CAMERA).double()),
        cam_trans=torch.tensor([[0.1, -0.2, 9.0], [0.3, 0.1, 14.0]], dtype=torch.float64),
        log_beta_scales=draw(model.n_joints, 3, scale=0.1),
        betas_trans=draw(model.n_joints, 3, scale=0.01),
    )
    return params.with_representation(representation)


def small_model() -> SmilModel:
    """The builtin insect with every hundredth vertex, for gradients by finite differences."""
    arrays = SmilModel.builtin().source
    kept = slice(None, None, 100)
    count = len(arrays.v_template[kept])
    fewer = replace(
        arrays,
        v_template=arrays.v_template[kept],
        shapedirs=arrays.shapedirs[kept],
        weights=arrays.weights[kept],
        faces=arrays.faces[:1] % count,
        joint_regressor=None,
        static_joints=True,
    )
    return SmilModel.from_arrays(fewer, dtype=torch.float64)


@pytest.mark.parametrize("propagate", [True, False])
@pytest.mark.parametrize("representation", ["axis_angle", "6d"])
def test_gradients_of_every_parameter_through_body_and_camera(
    representation: Literal["6d", "axis_angle"], propagate: bool
) -> None:
    model = small_model()
    values = random_params(model, representation)[:1].as_dict()

    def pixels(*leaves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        params = SmilParams.from_dict(dict(zip(values, leaves, strict=True)))
        body = model.pose(params, propagate_scaling=propagate)
        points = torch.cat([body.joints, body.skin()], dim=1)
        return Camera.from_params(params).project(points)

    leaves = [value.clone().requires_grad_() for value in values.values()]
    assert torch.autograd.gradcheck(pixels, leaves, fast_mode=True)


@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("representation", ["axis_angle", "6d"])
def test_both_reference_frames_show_every_vertex_at_the_same_place(
    frame: str, representation: Literal["6d", "axis_angle"]
) -> None:
    """Section 8: both say exactly the same, and each is undone by the other."""
    model = SmilModel.builtin().to(dtype=torch.float64)
    params = random_params(model, representation)
    moved = frames.change_frame(params, frame)

    def seen(of: SmilParams) -> tuple[torch.Tensor, torch.Tensor]:
        return Camera.from_params(of).project(model.pose(of).skin())

    for found, expected in zip(seen(moved), seen(params), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    points = frames.points_in_frame(model.pose(params).joints, params, frame)
    torch.testing.assert_close(points, model.pose(moved).joints, rtol=1e-12, atol=1e-12)
    root = model.pose(frames.change_frame(params, "root"))
    torch.testing.assert_close(root.joints[:, 0], torch.zeros(2, 3, dtype=torch.float64))


def test_lengths_are_model_units_and_angles_degrees_of_the_pictures_height() -> None:
    """Section 2: an upright bar one unit high, 10 units away, seen with 30 degrees."""
    bar = torch.tensor([[0.0, 0.5, 10.0], [0.0, -0.5, 10.0]])
    camera = Camera.from_fov(30.0, torch.eye(3), torch.zeros(3))
    xy, depth = camera.project(bar)
    height = 10.0 * 2 * torch.tan(torch.deg2rad(torch.tensor(15.0)))
    torch.testing.assert_close(xy[1, 1] - xy[0, 1], 1.0 / height)
    assert depth.tolist() == [10.0, 10.0]


def test_frames_follow_each_other_as_in_the_diagram() -> None:
    """Section 1: model frame to camera to fractions to NDC, for an animal that faces away."""
    model = SmilModel.builtin().to(dtype=torch.float64)
    params = replace(
        random_params(model).map(lambda value: torch.zeros_like(value[:1])),
        fov=torch.tensor([[30.0]], dtype=torch.float64),
        cam_rot=torch.tensor([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]], dtype=torch.float64),
        cam_trans=torch.tensor([[0.0, 0.0, 9.0]], dtype=torch.float64),
    )
    body = model.pose(params)
    index = model.skeleton.index
    xy, depth = Camera.from_params(params).project(body.joints)
    assert depth[0, index["b_h"]] > depth[0, index["b_t"]] > depth[0, index["b_a_5"]]
    assert xy[0, index["l_2_ti_l"], 0] < 0.5 < xy[0, index["l_2_ti_r"], 0]
    assert xy[0, index["l_2_pt_l"], 1] > xy[0, index["l_2_fe_l"], 1]
    torch.testing.assert_close(xy[0, 0], torch.tensor([0.5, 0.5], dtype=torch.float64))
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    wide = torch.tensor([[-1.5, -1.0], [1.5, 1.0]])
    torch.testing.assert_close(fractions_to_ndc(corners, 20, 30), wide)
