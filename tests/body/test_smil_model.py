"""SmilModel: stages, batch axes, dtypes, frames, errors."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smil_ray.body import lbs, posed_body
from smil_ray.body.model_file import reading as model_file
from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.params import SmilParams
from smil_ray.core.skeleton import chain_length
from smil_ray.errors import ConfigError, ModelFileError
from tests.body.small_models import small_arrays


@pytest.fixture(scope="module")
def small() -> SmilModel:
    return SmilModel.from_arrays(small_arrays(), dtype=torch.float64)


def some_params(model: SmilModel, batch: int = 3) -> SmilParams:
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(batch, *shape, generator=random, dtype=model.dtype)

    return SmilParams(
        global_rot=draw(3),
        joint_rot=draw(model.n_joints - 1, 3),
        betas=draw(model.n_betas),
        trans=10 * draw(3),
        fov=torch.full((batch, 1), 30.0, dtype=model.dtype),
        cam_rot=torch.eye(3, dtype=model.dtype).expand(batch, 3, 3),
        cam_trans=torch.zeros(batch, 3, dtype=model.dtype),
        log_beta_scales=draw(model.n_joints, 3),
        betas_trans=draw(model.n_joints, 3),
    )


def test_identity_pose_gives_the_shaped_vertices_back(small: SmilModel) -> None:
    shaped = small.with_shape(torch.ones(2, dtype=torch.float64))
    eye = torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    posed = shaped.with_pose(eye)
    torch.testing.assert_close(posed.skin(), shaped.vertices)
    torch.testing.assert_close(posed.joints, shaped.rest_joints)
    expected = small.v_template + small.shapedirs.sum(-1)
    torch.testing.assert_close(shaped.vertices, expected)


def test_trans_is_the_position_of_the_root_joint_whatever_the_shape(small: SmilModel) -> None:
    params = some_params(small)
    torch.testing.assert_close(small.pose(params).joints[:, 0], params.trans)


@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3), (2, 1, 3)])
def test_any_leading_axes_give_the_same_as_one_by_one(
    small: SmilModel, batch: tuple[int, ...]
) -> None:
    random = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*batch, *shape, generator=random, dtype=torch.float64)

    betas, pose, scales, offsets, trans = draw(2), draw(5, 3), draw(5, 3), draw(5, 3), draw(3)
    matrices = rotations.axis_angle_to_matrix(pose)
    body = small.with_shape(betas, scales, offsets).with_pose(matrices, trans)
    assert body.joints.shape == (*batch, 5, 3)
    assert body.skin().shape == (*batch, 8, 3)
    assert body.regressed_joints().shape == (*batch, 5, 3)
    for index in np.ndindex(*batch):
        one = small.with_shape(betas[index], scales[index], offsets[index])
        posed = one.with_pose(matrices[index], trans[index])
        torch.testing.assert_close(body.skin()[index], posed.skin())


def test_one_shape_broadcasts_over_many_poses_and_one_pose_over_many_shapes(
    small: SmilModel,
) -> None:
    random = torch.Generator().manual_seed(2)
    poses = rotations.axis_angle_to_matrix(
        torch.randn(4, 5, 3, generator=random, dtype=torch.float64)
    )
    betas = torch.randn(4, 2, generator=random, dtype=torch.float64)
    many_poses = small.with_shape(betas[0]).with_pose(poses, torch.zeros(3, dtype=torch.float64))
    many_shapes = small.with_shape(betas).with_pose(poses[0])
    assert many_poses.skin().shape == many_shapes.skin().shape == (4, 8, 3)
    again = small.with_shape(betas[2]).with_pose(poses[0])
    torch.testing.assert_close(many_shapes.skin()[2], again.skin())


@pytest.mark.parametrize("propagate", [True, False])
def test_scaling_a_joint_reaches_its_children_only_when_propagated(
    small: SmilModel, propagate: bool
) -> None:
    log_scales = torch.zeros(5, 3, dtype=torch.float64)
    log_scales[2] = np.log(2.0)
    eye = torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    betas = torch.zeros(2, dtype=torch.float64)
    plain = small.with_shape(betas).with_pose(eye)
    scaled = small.with_shape(betas, log_scales).with_pose(eye, propagate_scaling=propagate)
    size = torch.linalg.det(scaled.transforms[4, :3, :3])
    torch.testing.assert_close(size, torch.tensor(8.0 if propagate else 1.0, dtype=torch.float64))
    bone, longer = (p.joints[4] - p.joints[2] for p in (plain, scaled))
    torch.testing.assert_close(longer, 2.0 * bone)


@pytest.mark.parametrize("propagate", [True, False])
def test_scale_of_the_root_changes_nothing(small: SmilModel, propagate: bool) -> None:
    """Section 9: the root is never scaled, so its children have nothing to take back."""
    params = some_params(small)
    assert params.log_beta_scales is not None
    without = params.log_beta_scales.clone()
    without[:, 0] = 0.0
    expected, found = (
        small.pose(replace(params, log_beta_scales=scales), propagate_scaling=propagate).skin()
        for scales in (without, params.log_beta_scales)
    )
    assert torch.equal(found, expected)


def test_regressed_rest_joints_do_not_depend_on_the_order_of_a_matrix_product() -> None:
    arrays = small_arrays(seed=4)
    assert arrays.joint_regressor is not None
    one_by_one = np.zeros((5, 3))
    for joint, row in enumerate(arrays.joint_regressor):
        for share, point in zip(row, arrays.v_template, strict=True):
            one_by_one[joint] += share * point
    np.testing.assert_array_equal(arrays.regressed(arrays.v_template), one_by_one)
    directions = arrays.regressed(arrays.shapedirs)
    assert directions.shape == (5, 3, 2)
    np.testing.assert_allclose(
        directions, np.einsum("jv,vcb->jcb", arrays.joint_regressor, arrays.shapedirs)
    )


def test_translations_move_a_joint_with_y_flipped(small: SmilModel) -> None:
    offsets = torch.zeros(5, 3, dtype=torch.float64)
    offsets[1] = torch.tensor([0.1, 0.2, 0.3])
    offsets[0] = 5.0
    eye = torch.eye(3, dtype=torch.float64).expand(5, 3, 3)
    betas = torch.zeros(2, dtype=torch.float64)
    plain = small.with_shape(betas).with_pose(eye).joints
    moved = small.with_shape(betas, translations=offsets).with_pose(eye).joints
    expected = torch.zeros(5, 3, dtype=torch.float64)
    expected[1] = torch.tensor([0.1, -0.2, 0.3])
    torch.testing.assert_close(moved - plain, expected)


def test_rest_joints_follow_the_shape_unless_static(small: SmilModel) -> None:
    betas = torch.tensor([1.0, -1.0], dtype=torch.float64)
    regressed = small.with_shape(betas).rest_joints
    assert small.joint_regressor is not None
    shaped = small.with_shape(betas)
    torch.testing.assert_close(regressed, small.joint_regressor @ shaped.vertices)
    static = small.with_shape(betas, rest="static").rest_joints
    torch.testing.assert_close(static, small.rest_joints)
    of_file = SmilModel.from_arrays(small_arrays(static=True), dtype=torch.float64)
    torch.testing.assert_close(of_file.with_shape(betas).rest_joints, static)
    torch.testing.assert_close(of_file.with_shape(betas, rest="regressed").rest_joints, regressed)


def test_regressed_joints_are_the_regressor_times_the_vertices(small: SmilModel) -> None:
    body = small.pose(some_params(small))
    assert small.joint_regressor is not None
    torch.testing.assert_close(body.regressed_joints(), small.joint_regressor @ body.skin())
    assert not torch.allclose(body.regressed_joints(), body.joints)


def test_joints_only_path_never_touches_a_vertex(
    small: SmilModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.pose(some_params(small))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the joints-only path touched the vertices")

    monkeypatch.setattr(posed_body.ShapedBody, "planar_vertices", refuse)
    monkeypatch.setattr(lbs, "skin", refuse)
    assert small.pose(some_params(small)).joints.shape == (3, 5, 3)


def test_float32_agrees_with_float64(small: SmilModel) -> None:
    single = small.to(dtype=torch.float32)
    assert single.dtype == torch.float32
    params = some_params(small)
    vertices = single.pose(params.map(lambda value: value.float())).skin()
    torch.testing.assert_close(vertices.double(), small.pose(params).skin(), rtol=0, atol=1e-5)


def test_round_trip_through_float32_loses_nothing(small: SmilModel) -> None:
    again = small.to(dtype=torch.float32).to(dtype=torch.float64)
    assert torch.equal(again.v_template, small.v_template)
    assert small.to() is small


def test_pickled_model_is_equal_and_small(small: SmilModel) -> None:
    small.pose(some_params(small)).skin()
    again = pickle.loads(pickle.dumps(small))
    assert again.dtype == torch.float64
    assert again.content_hash == small.content_hash
    assert torch.equal(again.weights, small.weights)


def test_body_length_is_the_length_of_the_trunk_chain(small: SmilModel) -> None:
    assert small.joint_regressor is not None
    joints = (small.joint_regressor @ small.v_template).numpy()
    expected = chain_length(joints, small.skeleton.body_chain)
    assert small.body_length == pytest.approx(float(expected))


def test_wrong_number_of_betas_is_refused(small: SmilModel) -> None:
    with pytest.raises(ConfigError, match=r"small.*2 betas.*found 3"):
        small.with_shape(torch.zeros(1, 3, dtype=torch.float64))


def test_model_without_regressor_has_static_joints_only() -> None:
    arrays = replace(small_arrays(static=True), joint_regressor=None)
    model = SmilModel.from_arrays(arrays)
    body = model.with_shape(torch.zeros(2)).with_pose(torch.eye(3).expand(5, 3, 3))
    torch.testing.assert_close(body.joints, model.rest_joints)
    with pytest.raises(ModelFileError, match="no joint regressor"):
        model.with_shape(torch.zeros(2), rest="regressed")
    with pytest.raises(ModelFileError, match="no joint regressor"):
        body.regressed_joints()


def test_open_takes_builtin_or_a_file(tmp_path: Path) -> None:
    path = model_file.write_npz(small_arrays(), tmp_path / "small.npz")
    assert SmilModel.open("builtin").name == "builtin"
    assert SmilModel.open(path).content_hash == SmilModel.from_arrays(small_arrays()).content_hash
    with pytest.raises(ModelFileError, match=r"absent\.pkl.*'builtin'"):
        SmilModel.open("absent.pkl")


def test_saved_model_is_read_back_equal(small: SmilModel, tmp_path: Path) -> None:
    again = SmilModel.load(small.save(tmp_path / "small.npz"))
    assert again.content_hash == small.content_hash
    assert again.name == small.name


def test_model_of_one_shape_poses_as_a_model_with_zero_betas_does() -> None:
    arrays = small_arrays(posedirs=True)
    rigid = replace(arrays, shapedirs=np.zeros((8, 3, 0)), scaledirs=None, transdirs=None)
    model, shaped = (SmilModel.from_arrays(a, dtype=torch.float64) for a in (rigid, arrays))
    assert model.n_betas == 0
    params = some_params(model)
    zero = replace(params, betas=torch.zeros(3, 2, dtype=torch.float64))
    found, expected = model.pose(params), shaped.pose(zero)
    torch.testing.assert_close(found.joints, expected.joints)
    torch.testing.assert_close(found.skin(), expected.skin())
