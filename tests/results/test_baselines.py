"""Mean pose and nearest neighbour: what a network has to beat."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.batch import Batch, Sample, collate
from smil_ray.errors import DataError
from smil_ray.results.baselines import MeanPose, NearestNeighbour
from tests.memory_data import make_samples


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return make_samples(SmilModel.builtin(), 6)


def without(sample: Sample, *labels: str) -> Sample:
    """Return a sample that lacks labels, as a data set without them gives it."""
    absent = {name: np.full_like(getattr(sample, name), np.nan) for name in labels}
    return replace(sample, **absent, present=sample.present - set(labels))


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_mean_of_identical_poses_is_that_pose(samples: list[Sample], frame: str) -> None:
    batch = collate([samples[2]] * 3, frame)
    found = MeanPose.of([batch, batch])(batch)
    assert found.batch_size == 3
    for name, expected in batch.target.as_dict().items():
        value = found.as_dict()[name]
        if name.endswith("_rot") and value.shape[-1] == 3 and name != "cam_rot":
            value, expected = map(rotations.axis_angle_to_matrix, (value, expected))
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-4, msg=name)


def test_mean_rotation_lies_between_and_mean_depth_is_geometric(samples: list[Sample]) -> None:
    def turned(angle: float, depth: float) -> Sample:
        return replace(
            samples[0],
            global_rot=np.array([0.0, angle, 0.0], np.float32),
            trans=np.array([0.0, 0.0, depth], np.float32),
        )

    mean = MeanPose.of([collate([turned(0.2, 4.0), turned(1.0, 16.0)])]).params
    torch.testing.assert_close(mean.global_rot, torch.tensor([[0.0, 0.6, 0.0]]))
    torch.testing.assert_close(mean.trans, torch.tensor([[0.0, 0.0, 8.0]]))


def test_absent_labels_do_not_count(samples: list[Sample]) -> None:
    lacking = without(samples[1], "betas", "global_rot", "joint_rot")
    mean = MeanPose.of([collate([samples[0], lacking])]).params
    target = collate([samples[0]]).target
    torch.testing.assert_close(mean.betas, target.betas)
    same = map(rotations.axis_angle_to_matrix, (mean.joint_rot, target.joint_rot))
    torch.testing.assert_close(*same, atol=1e-4, rtol=1e-4)


def test_joint_that_no_sample_knows_rests_and_betas_are_the_mean_shape(
    samples: list[Sample],
) -> None:
    joint_rot = samples[0].joint_rot.copy()
    joint_rot[7] = np.nan
    lacking = without(replace(samples[0], joint_rot=joint_rot), "betas")
    mean = MeanPose.of([collate([lacking])]).params
    assert torch.equal(mean.joint_rot[0, 7], torch.zeros(3))
    assert torch.equal(mean.betas, torch.zeros_like(mean.betas))


@pytest.mark.parametrize("label", ["global_rot", "joint_rot"])
def test_data_without_rotations_have_no_baseline(samples: list[Sample], label: str) -> None:
    batch = collate([without(sample, label) for sample in samples])
    for baseline in (MeanPose, NearestNeighbour):
        with pytest.raises(DataError, match="no training sample has"):
            baseline.of([batch])


def test_no_training_samples_are_an_error() -> None:
    for baseline in (MeanPose, NearestNeighbour):
        with pytest.raises(DataError, match="no training sample"):
            baseline.of([])


def test_picture_seen_in_training_gets_its_own_labels(samples: list[Sample]) -> None:
    found = NearestNeighbour.of([collate(samples[:4]), collate(samples[4:])])
    again = collate([replace(sample, name=f"again {sample.name}") for sample in samples])
    for name, expected in again.target.as_dict().items():
        torch.testing.assert_close(found(again).as_dict()[name], expected, msg=name)


def test_sample_is_never_its_own_neighbour(samples: list[Sample]) -> None:
    twin = replace(samples[0], name="twin", trans=samples[0].trans + 1.0)
    found = NearestNeighbour.of([collate([*samples, twin])])
    predicted = found(collate([samples[0]]))
    torch.testing.assert_close(predicted.trans, collate([twin]).target.trans)


def test_neighbour_without_a_pose_is_left_out(samples: list[Sample]) -> None:
    batch = collate([without(samples[0], "joint_rot"), samples[1]])
    found = NearestNeighbour.of([batch])
    assert found.names == (samples[1].name,)
    again = collate([replace(samples[0], name="again")])
    torch.testing.assert_close(found(again).trans, collate([samples[1]]).target.trans)


def test_cached_features_have_no_neighbours(samples: list[Sample]) -> None:
    batch: Batch = replace(collate(samples), image=None)
    with pytest.raises(DataError, match="cached features"):
        NearestNeighbour.of([batch])
