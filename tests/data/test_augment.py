"""Augmented labels are those of a camera that saw the augmented picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import AugmentConfig
from smil_ray.core.batch import Sample, collate
from smil_ray.core.params import SmilParams
from smil_ray.core.rotations import axis_angle_to_matrix
from smil_ray.data.augment import (
    AugmentedView,
    Augmenter,
    SimilarityTransform,
    mirrored,
    transformed,
)
from smil_ray.data.replicant.coordinates import project
from tests.data.hdf5.hdf5_samples import make_sample

SIZE = 64
STRONG = AugmentConfig(enabled=True, rotate_deg=180, zoom=0.5, shift=0.3, flip=0.5)


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


def animal(model: SmilModel, seed: int, *, off_centre: bool = True) -> Sample:
    """A posed animal whose keypoints are the model's joints and their projection."""
    rng = np.random.default_rng(seed)
    rotations = rng.normal(scale=0.3, size=(model.n_joints, 3))
    rotations[0] = rng.normal(size=3)
    trans = rng.normal(scale=3.0, size=3)
    matrices = axis_angle_to_matrix(torch.tensor(rotations))
    posed = model.to(dtype=torch.float64).with_shape(torch.zeros(model.n_betas).double())
    joints = posed.with_pose(matrices, torch.tensor(trans)).joints.numpy()
    cam_rot = axis_angle_to_matrix(torch.tensor(rng.normal(size=3))).numpy()
    cam_trans = np.array([0.2, -0.3, 8.0]) - trans @ cam_rot
    centre = rng.uniform(0.4, 0.6, 2) if off_centre else np.full(2, 0.5)
    intrinsics = np.array([2.0, 2.0, *centre])
    points, _ = project(joints, cam_rot, cam_trans, intrinsics)
    n = model.n_joints
    base = make_sample(seed, size=SIZE)
    return replace(
        base,
        global_rot=rotations[0].astype(np.float32),
        joint_rot=rotations[1:].astype(np.float32),
        betas=np.zeros(model.n_betas, np.float32),
        trans=trans.astype(np.float32),
        fov=float(np.degrees(2 * np.arctan(0.25))),
        cam_rot=cam_rot.astype(np.float32),
        cam_trans=cam_trans.astype(np.float32),
        intrinsics=intrinsics.astype(np.float32),
        keypoints_2d=points.astype(np.float32),
        keypoints_3d=joints.astype(np.float32),
        keypoint_visibility=((points >= 0) & (points < 1)).all(axis=1),
        keypoint_presence=np.ones(n, bool),
    )


def projected(sample: Sample) -> np.ndarray:
    points = sample.keypoints_3d.astype(np.float64)
    return project(points, sample.cam_rot, sample.cam_trans, sample.intrinsics)[0]


def posed_joints(sample: Sample, model: SmilModel) -> np.ndarray:
    batch = collate([sample])
    target: SmilParams = batch.target
    joints = model.pose(target).joints
    torch.testing.assert_close(joints, batch.keypoints_3d, atol=2e-4, rtol=0)
    return joints.numpy()


@given(seed=st.integers(0, 10_000), epoch=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_augmented_keypoints_equal_projection_and_pose_of_augmented_labels(
    model: SmilModel, seed: int, epoch: int
) -> None:
    sample = Augmenter(STRONG, model.skeleton, seed)(animal(model, seed), epoch)
    np.testing.assert_allclose(projected(sample), sample.keypoints_2d, atol=5e-4)
    posed_joints(sample, model)
    focal = 0.5 / np.tan(np.radians(sample.fov) / 2)
    assert focal == pytest.approx(sample.intrinsics[1], rel=1e-5)


def test_mirror_twice_gives_the_sample_back(model: SmilModel) -> None:
    sample = animal(model, 3)
    twice = mirrored(mirrored(sample, model.skeleton), model.skeleton)
    for field, value in vars(sample).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(getattr(twice, field), value, atol=1e-5, err_msg=field)


def test_mirror_swaps_left_and_right_joints_in_the_picture(model: SmilModel) -> None:
    sample = animal(model, 4)
    flipped = mirrored(sample, model.skeleton)
    index = model.skeleton.index
    left, right = index["l_1_ti_l"], index["l_1_ti_r"]
    expected = [1 - sample.keypoints_2d[left, 0], sample.keypoints_2d[left, 1]]
    np.testing.assert_allclose(flipped.keypoints_2d[right], expected, atol=1e-6)
    np.testing.assert_array_equal(flipped.image, sample.image[:, ::-1])


@pytest.mark.parametrize(
    "move",
    [
        SimilarityTransform(angle=0.5),
        SimilarityTransform(scale=1.4),
        SimilarityTransform(scale=0.8),
        SimilarityTransform(shift=(0.1, -0.2)),
        SimilarityTransform(1.0, 1.2),
    ],
)
def test_move_carries_pixels_where_it_carries_points(
    model: SmilModel, move: SimilarityTransform
) -> None:
    sample = animal(model, 5)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    spot = np.array([0.45, 0.55])
    distance = np.hypot((columns + 0.5) / SIZE - spot[0], (rows + 0.5) / SIZE - spot[1])
    mask = np.round(255 * np.exp(-((distance / 0.06) ** 2))).astype(np.uint8)
    after = transformed(replace(sample, mask=mask), move).mask
    assert after is not None
    weights = after.astype(float) / after.sum()
    centre = [(weights * (columns + 0.5)).sum() / SIZE, (weights * (rows + 0.5)).sum() / SIZE]
    np.testing.assert_allclose(centre, move.points(spot), atol=0.003)


def test_shift_moves_pictures_by_up_to_its_share_of_the_side(model: SmilModel) -> None:
    still = {"rotate_deg": 0.0, "zoom": 0.0, "enabled": True}
    sample = animal(model, 3, off_centre=False)
    centres = []
    for epoch in range(60):
        augment = Augmenter(AugmentConfig(shift=0.2, **still), model.skeleton, 1)
        after = augment(sample, epoch)
        centres.append(after.intrinsics[2:] - 0.5)
        np.testing.assert_allclose(
            after.keypoints_2d - sample.keypoints_2d, np.tile(centres[-1], (55, 1)), atol=1e-6
        )
    assert 0.17 < np.abs(centres).max() <= 0.2 + 1e-6
    unmoved = Augmenter(AugmentConfig(**still), model.skeleton, 1)(sample, 0)
    np.testing.assert_array_equal(unmoved.keypoints_2d, sample.keypoints_2d)


def test_joint_that_leaves_the_frame_is_not_visible(model: SmilModel) -> None:
    sample = animal(model, 6)
    after = transformed(sample, SimilarityTransform(shift=(0.9, 0.0)))
    outside = (after.keypoints_2d[:, 0] >= 1.0) | (after.keypoints_2d[:, 0] < 0.0)
    assert outside.any()
    assert not after.keypoint_visibility[outside].any()


def test_same_seed_epoch_and_name_give_the_same_sample_and_others_differ(model: SmilModel) -> None:
    sample, augmenter = animal(model, 7), Augmenter(STRONG, model.skeleton, 13)
    one, same, other = augmenter(sample, 2), augmenter(sample, 2), augmenter(sample, 3)
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.keypoints_2d, same.keypoints_2d)
    assert (one.keypoints_2d != other.keypoints_2d).any()


def test_augmentation_off_returns_the_sample_itself(model: SmilModel) -> None:
    sample = animal(model, 8)
    assert Augmenter(AugmentConfig(), model.skeleton, 0)(sample, 0) is sample


def test_absent_labels_stay_absent(model: SmilModel) -> None:
    blank = {
        name: np.full_like(getattr(animal(model, 9), name), np.nan)
        for name in ("global_rot", "joint_rot", "trans", "keypoints_3d")
    }
    sample = replace(animal(model, 9), mask=None, present=frozenset({"camera"}), **blank)
    after = mirrored(transformed(sample, SimilarityTransform(0.3, 1.1)), model.skeleton)
    assert after.mask is None
    for name in blank:
        assert np.isnan(getattr(after, name)).all(), name


def test_view_changes_with_the_epoch(model: SmilModel) -> None:
    class Two:
        def __len__(self) -> int:
            return 2

        def __getitems__(self, indices: list[int]) -> list[Sample]:
            return [animal(model, i) for i in indices]

    view = AugmentedView(Two(), Augmenter(STRONG, model.skeleton, 1))
    first = view.__getitems__([0, 1])
    view.set_epoch(1)
    second = view.__getitems__([0, 1])
    assert (first[0].keypoints_2d != second[0].keypoints_2d).any()
