"""The procedural insect: joints of real models, closed, symmetric, sane in every direction."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from smil_ray.body import builtin_insect
from smil_ray.body._builtin_anatomy import SHAPE_NAMES
from smil_ray.body.model_file.arrays import ModelArrays
from smil_ray.body.model_file.reading import read_model_file, write_npz
from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from tests.body.mesh_checks import crossings, is_closed, volume

MIRROR = np.array([1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def insect() -> ModelArrays:
    return builtin_insect.build()


@pytest.fixture(scope="module")
def vertex_mirror(insect: ModelArrays) -> np.ndarray:
    place = {tuple(point): index for index, point in enumerate(insect.v_template + 0.0)}
    return np.array([place[tuple(point)] for point in insect.v_template * MIRROR + 0.0])


def test_joints_are_those_of_real_models_in_the_same_order(
    insect: ModelArrays, real_data: Path
) -> None:
    assert insect.skeleton == read_model_file(real_data / "models" / "SMILy_STICK.pkl").skeleton


def test_size_is_within_what_was_promised(insect: ModelArrays) -> None:
    assert insect.skeleton.n_joints == 55
    assert 1000 <= len(insect.faces) <= 2500
    assert insect.shapedirs.shape[-1] == len(SHAPE_NAMES) >= 5
    extent = np.ptp(insect.v_template, axis=0)
    np.testing.assert_allclose(extent, [1.9, 1.1, 0.45], atol=0.1)
    assert SmilModel.builtin().body_length == pytest.approx(1.2, abs=0.1)


def test_head_is_in_front_left_is_positive_y_and_feet_are_below(insect: ModelArrays) -> None:
    index, joints = insect.skeleton.index, insect.rest_joints
    assert joints[index["b_h"], 0] > joints[index["b_t"], 0] > joints[index["b_a_5"], 0]
    for name, joint in index.items():
        if name.endswith("_l"):
            assert joints[joint, 1] > 0
        if name.endswith("_pt_l"):
            assert joints[joint, 2] < insect.v_template[:, 2].min() + 0.06


def test_rest_joints_are_the_regressed_ones(insect: ModelArrays) -> None:
    assert insect.joint_regressor is not None
    np.testing.assert_allclose(insect.joint_regressor.sum(axis=1), 1.0, atol=1e-12)
    regressed = insect.joint_regressor @ insect.v_template
    np.testing.assert_allclose(regressed, insect.rest_joints, atol=1e-11)


def test_skinning_weights_are_smooth_and_sum_to_one(insect: ModelArrays) -> None:
    weights = insect.weights
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    assert ((weights > 0.05) & (weights < 0.95)).any(axis=1).sum() > 200
    assert (weights.max(axis=0) > 0.4).all()


def test_surface_is_closed_and_faces_outwards(insect: ModelArrays) -> None:
    assert is_closed(insect.faces)
    assert volume(insect.v_template, insect.faces) > 0
    used = np.unique(insect.faces)
    np.testing.assert_array_equal(used, np.arange(len(insect.v_template)))
    edges = 3 * len(insect.faces) // 2
    assert len(used) - edges + len(insect.faces) == 2, "one piece without handles"


def test_rest_pose_does_not_intersect_itself(insect: ModelArrays) -> None:
    assert crossings(insect.v_template, insect.faces) == []


@pytest.mark.slow
@pytest.mark.parametrize("amount", [-3.0, 3.0])
@pytest.mark.parametrize("beta", range(len(SHAPE_NAMES)))
def test_shapes_of_three_deviations_do_not_intersect_themselves(
    insect: ModelArrays, beta: int, amount: float
) -> None:
    shaped = insect.v_template + amount * insect.shapedirs[..., beta]
    assert crossings(shaped, insect.faces) == []
    assert volume(shaped, insect.faces) > 0


def test_no_face_is_degenerate(insect: ModelArrays) -> None:
    a, b, c = (insect.v_template[insect.faces[:, k]] for k in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    assert area.min() > 1e-6


def test_left_and_right_are_equal_exactly(insect: ModelArrays, vertex_mirror: np.ndarray) -> None:
    joints = list(insect.skeleton.mirror)
    np.testing.assert_array_equal(insect.v_template[vertex_mirror], insect.v_template * MIRROR)
    turned = insect.shapedirs * MIRROR[:, None]
    np.testing.assert_array_equal(insect.shapedirs[vertex_mirror], turned)
    np.testing.assert_array_equal(insect.weights[vertex_mirror][:, joints], insect.weights)
    np.testing.assert_allclose(insect.rest_joints[joints], insect.rest_joints * MIRROR, atol=1e-15)
    faces = {frozenset(face) for face in insect.faces.tolist()}
    assert faces == {frozenset(face) for face in vertex_mirror[insect.faces].tolist()}
    assert insect.scaledirs is not None
    assert insect.transdirs is not None
    np.testing.assert_array_equal(insect.scaledirs[:, joints], insect.scaledirs)
    np.testing.assert_array_equal(insect.transdirs[:, joints], insect.transdirs * MIRROR)


def test_joint_limits_are_mirrored_contain_rest_and_are_moderate(insect: ModelArrays) -> None:
    limits = insect.joint_limits
    assert limits is not None
    mirrored = limits[list(insect.skeleton.mirror)]
    np.testing.assert_array_equal(mirrored[:, 1], limits[:, 1])
    np.testing.assert_array_equal(mirrored[:, [0, 2], 0], -limits[:, [0, 2], 1])
    assert (limits[..., 0] < 0).all()
    assert (limits[..., 1] > 0).all()
    assert np.abs(limits[1:]).max() < 2.1


def test_data_made_with_narrower_limits_still_fit_the_insect(insect: ModelArrays) -> None:
    model = SmilModel.from_arrays(insect)
    for earlier, today in builtin_insect.EARLIER_HASHES.items():
        assert today == model.content_hash
        assert model.matches(earlier)
    assert model.matches(model.content_hash)
    assert model.matches(insect.content_hash(with_limits=True))
    assert not model.matches("0" * 64)


@pytest.mark.parametrize("beta", range(len(SHAPE_NAMES)))
def test_every_shape_direction_moves_vertices_and_joints_together(
    insect: ModelArrays, beta: int
) -> None:
    assert insect.joint_regressor is not None
    direction = insect.shapedirs[..., beta]
    assert 0.008 < np.linalg.norm(direction, axis=1).max() < 0.2
    moved = insect.joint_regressor @ direction
    other = [b for b in range(len(SHAPE_NAMES)) if b != beta]
    flat = insect.shapedirs.reshape(-1, len(SHAPE_NAMES))
    fit = np.linalg.lstsq(flat[:, other], flat[:, beta], rcond=None)[0]
    assert np.linalg.norm(flat[:, other] @ fit - flat[:, beta]) > 0.2 * np.linalg.norm(direction)
    girth = SHAPE_NAMES[beta] == "abdomen girth"
    assert (np.linalg.norm(moved, axis=1).max() > 0.005) != girth


def test_directions_lengthen_what_their_name_says(insect: ModelArrays) -> None:
    model = SmilModel.from_arrays(insect, dtype=torch.float64)
    index = insect.skeleton.index

    def bone(name: str, above: str, beta: str) -> float:
        betas = torch.zeros(len(SHAPE_NAMES), dtype=torch.float64)
        before = model.with_shape(betas).rest_joints
        betas[SHAPE_NAMES.index(beta)] = 1.0
        after = model.with_shape(betas).rest_joints
        lengths = [(j[index[name]] - j[index[above]]).norm().item() for j in (before, after)]
        return lengths[1] / lengths[0]

    assert bone("b_a_5", "b_a_4", "body length") == pytest.approx(1.08, abs=1e-3)
    assert bone("l_2_ti_l", "l_2_fe_l", "leg length") == pytest.approx(1.12, abs=1e-3)
    assert bone("an_3_r", "an_2_r", "antenna length") == pytest.approx(1.15, abs=1e-3)
    assert bone("an_1_r", "b_h", "head size") == pytest.approx(1.10, abs=1e-2)


def test_mirrored_pose_gives_the_mirrored_body(
    insect: ModelArrays, vertex_mirror: np.ndarray
) -> None:
    model = SmilModel.from_arrays(insect, dtype=torch.float64)
    pose = 0.3 * torch.randn(
        55, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    turned = pose[list(insect.skeleton.mirror)] * torch.tensor([-1.0, 1.0, -1.0])
    betas = torch.ones(len(SHAPE_NAMES), dtype=torch.float64)
    one, two = (
        model.with_shape(betas).with_pose(rotations.axis_angle_to_matrix(p)).skin().numpy()
        for p in (pose, turned)
    )
    np.testing.assert_allclose(two, one[vertex_mirror] * MIRROR, atol=1e-12)


def test_hash_is_the_same_every_time_and_survives_the_npz_form(
    insect: ModelArrays, tmp_path: Path
) -> None:
    builtin_insect.build.cache_clear()
    again = builtin_insect.build()
    assert again.content_hash() == insect.content_hash()
    stored = read_model_file(write_npz(insect, tmp_path / "insect.npz"))
    assert stored.content_hash() == insect.content_hash()
    assert pickle.loads(pickle.dumps(SmilModel.builtin())).content_hash == insect.content_hash()
