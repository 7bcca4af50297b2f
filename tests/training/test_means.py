"""Means of labels: even choices, absent labels, and rotations averaged where they are known."""

import numpy as np
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.batch import collate
from smil_ray.training import means
from tests.memory_data import NoPictures, make_samples

NAN = float("nan")


def test_even_choice_keeps_first_and_last() -> None:
    assert means.evenly(np.arange(10), 3).tolist() == [0, 4, 9]
    assert means.evenly(np.arange(2), 3).tolist() == [0, 1]


def test_even_choice_never_repeats() -> None:
    for count in range(1, 300, 7):
        chosen = means.evenly(np.arange(300), count)
        assert len(set(chosen.tolist())) == count


def test_labels_are_those_of_a_whole_batch_and_no_picture_is_read(insect: SmilModel) -> None:
    samples = make_samples(insect, 5)
    found = means.labels_of(NoPictures(samples), np.array([3, 1]))
    whole = collate([samples[3], samples[1]])
    assert found.names == whole.names
    assert found.image is None
    for name, value in whole.target.as_dict().items():
        torch.testing.assert_close(found.target.as_dict()[name], value, equal_nan=True)


def test_samples_without_a_label_do_not_count() -> None:
    values = torch.tensor([[1.0, 2.0], [NAN, 8.0], [3.0, 4.0]])
    assert means.finite_rows(values).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert means.mean_or_zero(values).tolist() == [2.0, 3.0]
    assert means.mean_or_zero(values[1:2]).tolist() == [0.0, 0.0]


def test_mean_of_turns_about_one_axis_is_the_turn_between() -> None:
    found = means.mean_axis_angle(torch.tensor([[0.0, 0.2, 0.0], [0.0, 1.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.6, 0.0]))


def test_each_joint_is_averaged_over_the_samples_that_know_it() -> None:
    vectors = torch.tensor(
        [
            [[0.4, 0.0, 0.0], [NAN, NAN, NAN], [NAN, 0.0, 0.0]],
            [[0.8, 0.0, 0.0], [0.0, 0.0, 1.5], [NAN, 0.0, 0.0]],
        ]
    )
    found = means.mean_axis_angle(vectors)
    assert found is not None
    torch.testing.assert_close(found[0], torch.tensor([0.6, 0.0, 0.0]))
    torch.testing.assert_close(found[1], torch.tensor([0.0, 0.0, 1.5]))
    assert torch.equal(found[2], torch.zeros(3))


def test_mean_rotation_is_nearer_to_the_mean_matrix_than_its_neighbours() -> None:
    random = torch.Generator().manual_seed(2)
    vectors = torch.randn(50, 3, generator=random, dtype=torch.float64)
    matrices = rotations.axis_angle_to_matrix(vectors)
    found = means.mean_rotation(matrices)
    assert found is not None
    assert torch.allclose(found @ found.mT, torch.eye(3, dtype=found.dtype), atol=1e-12)
    assert torch.det(found) > 0
    distance = torch.dist(found, matrices.mean(dim=0))
    turns = 0.01 * torch.randn(20, 3, generator=random, dtype=torch.float64)
    beside = found @ rotations.axis_angle_to_matrix(turns)
    assert all(torch.dist(other, matrices.mean(dim=0)) > distance for other in beside)


def test_rotations_that_no_sample_knows_have_no_mean() -> None:
    assert means.mean_rotation(torch.full((4, 2, 3, 3), NAN)) is None
    assert means.mean_axis_angle(torch.full((4, 3), NAN)) is None
