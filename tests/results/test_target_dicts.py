"""Targets as dictionaries: the seed's `y` and output dictionaries mean what a batch means."""

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.batch import Batch, collate
from smil_ray.core.xy import to_xy
from smil_ray.errors import DataError
from smil_ray.results.target_dicts import batch_from_dict
from tests.memory_data import make_samples

POSE_TENSORS = ("betas", "trans", "fov", "cam_rot", "cam_trans", "global_rot", "joint_rot")


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


def assert_same(found: Batch, expected: Batch, atol: float = 1e-5) -> None:
    for name in POSE_TENSORS:
        one, other = (batch.target.as_dict()[name] for batch in (found, expected))
        if name in ("global_rot", "joint_rot"):
            one, other = map(rotations.to_matrix, (one, other))
        torch.testing.assert_close(one, other, atol=atol, rtol=1e-4, msg=name)


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_y_of_a_data_set_is_its_batch(model: SmilModel, frame: str) -> None:
    sample = make_samples(model, 1)[0]
    expected = collate([sample], frame)
    found = batch_from_dict(to_xy(sample, frame)[1], model, frame)
    assert_same(found, expected)
    assert found.reference_frame == frame
    for name in ("keypoints_2d", "keypoints_3d", "intrinsics"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), atol=1e-5, rtol=1e-5
        )
    assert torch.equal(found.keypoint_visibility, expected.keypoint_visibility)
    assert {k: bool(v) for k, v in found.presence.items()} == {
        k: bool(v) for k, v in expected.presence.items()
    }


@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
def test_output_dictionary_is_its_parameters(model: SmilModel, representation: str) -> None:
    expected = collate(make_samples(model, 1))
    values = expected.target.with_representation(representation).as_dict()
    assert_same(batch_from_dict(values, model, "camera"), expected, atol=1e-4)


def test_values_may_lack_the_batch_axis_and_be_arrays(model: SmilModel) -> None:
    expected = collate(make_samples(model, 1))
    values = {name: value[0].numpy() for name, value in expected.target.as_dict().items()}
    assert_same(batch_from_dict(values, model, "camera"), expected)


def test_what_is_not_there_is_absent(model: SmilModel) -> None:
    found = batch_from_dict({"betas": np.zeros(model.n_betas), "cam_fov": None}, model, "camera")
    present = {label for label, value in found.presence.items() if bool(value)}
    assert present == {"betas"}
    assert bool(found.target.trans.isnan().all())
    assert not bool(found.keypoint_presence.any())


def test_weights_of_scales_and_translations_are_read(model: SmilModel) -> None:
    weights = np.arange(model.n_scale_weights, dtype=np.float64)
    found = batch_from_dict({"scale_weights": weights}, model, "camera")
    np.testing.assert_array_equal(found.scale_weights[0].numpy(), weights)
    assert bool(found.presence["scale_weights"])
    assert not bool(found.presence["trans_weights"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"betas": np.zeros(99)}, r"Target 'betas'; expected shape \(6,\); found \(99,\)"),
        ({"joint_angles": np.zeros((54, 3))}, r"Target 'joint_angles'; expected shape \(55, 3\)"),
        ({"keypoints_2d": np.zeros((55, 3))}, r"Target 'keypoints_2d'; expected shape \(55, 2\)"),
    ],
)
def test_wrong_sizes_are_named(model: SmilModel, values: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        batch_from_dict(values, model, "camera")
