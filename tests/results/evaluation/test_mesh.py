"""A true mesh overlaps its own silhouette and has no vertex error; moved ones are measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch, Sample, collate
from smil_ray.losses.targets import true_params
from smil_ray.render.camera import Camera
from smil_ray.render.rasterize import hard_mask
from smil_ray.results.evaluation.mesh import MeshSums
from tests.memory_data import make_samples
from tests.partial_labels import two_d_only

SIDE = 64


@pytest.fixture(scope="module")
def insect() -> SmilModel:
    return SmilModel.builtin()


def with_mask(sample: Sample, model: SmilModel) -> Sample:
    """The sample with the mask of its own mesh."""
    batch = collate([sample])
    vertices = model.pose(true_params(batch, model)).skin()
    xy, depth = Camera.from_params(batch.target, batch.intrinsics).project(vertices)
    pixels = xy[0].double().numpy() * SIDE
    mask = hard_mask(pixels, depth[0].double().numpy(), model.faces.numpy(), SIDE, SIDE)
    return replace(
        sample,
        mask=(mask * 255).astype(np.uint8),
        image=np.zeros((SIDE, SIDE, 3), np.uint8),
        present=sample.present | {"mask"},
    )


@pytest.fixture(scope="module")
def batch(insect: SmilModel) -> Batch:
    return collate([with_mask(sample, insect) for sample in make_samples(insect, 3)])


def measured(model: SmilModel, batch: Batch, change: dict[str, torch.Tensor]) -> dict[str, float]:
    sums = MeshSums(model, BodyConfig())
    sums.add(replace(true_params(batch, model), **change), batch)
    return sums.compute()


def test_true_mesh_is_perfect(insect: SmilModel, batch: Batch) -> None:
    found = measured(insect, batch, {})
    assert found["iou"] == 1.0
    assert found["pa_mpvpe_pct_bl"] == pytest.approx(0.0, abs=1e-3)


def test_moved_mesh_loses_overlap_but_no_vertex_error(insect: SmilModel, batch: Batch) -> None:
    shift = torch.tensor([0.3 * insect.body_length, 0.0, 0.0])
    found = measured(insect, batch, {"trans": batch.target.trans + shift})
    assert 0.0 < found["iou"] < 0.7
    assert found["pa_mpvpe_pct_bl"] == pytest.approx(0.0, abs=1e-3)
    bent = measured(insect, batch, {"joint_rot": batch.target.joint_rot * 0.0})
    assert bent["pa_mpvpe_pct_bl"] > 0.5


def test_silhouettes_agree_with_a_loop_over_pixels(insect: SmilModel, batch: Batch) -> None:
    shift = torch.tensor([0.1 * insect.body_length, 0.0, 0.0])
    moved = replace(true_params(batch, insect), trans=batch.target.trans + shift)
    sums = MeshSums(insect, BodyConfig())
    sums.add(moved, batch)
    assert batch.mask is not None
    xy, depth = Camera.from_params(moved, batch.intrinsics).project(insect.pose(moved).skin())
    expected = []
    for i in range(batch.size):
        pixels, z = xy[i].double().numpy() * SIDE, depth[i].double().numpy()
        body = hard_mask(pixels, z, insect.faces.numpy(), SIDE, SIDE)
        both = either = 0
        for row in range(SIDE):
            for column in range(SIDE):
                true = batch.mask[i, 0, row, column] > 127
                both += bool(body[row, column]) and bool(true)
                either += bool(body[row, column]) or bool(true)
        expected.append(both / either)
    np.testing.assert_allclose(sums.per_sample()["iou"].values, expected)


def test_samples_without_labels_are_not_counted(insect: SmilModel, batch: Batch) -> None:
    presence = {
        **batch.presence,
        "mask": torch.tensor([True, False, False]),
        "betas": torch.tensor([False, True, False]),
    }
    sums = MeshSums(insect, BodyConfig())
    sums.add(batch.target, replace(batch, presence=presence))
    found = sums.per_sample()
    np.testing.assert_array_equal(found["iou"].counts, [1, 0, 0])
    np.testing.assert_array_equal(found["pa_mpvpe_pct_bl"].counts, [0, 1, 0])
    none = dict.fromkeys(batch.presence, torch.zeros(3, dtype=torch.bool))
    empty = MeshSums(insect, BodyConfig())
    empty.add(batch.target, replace(batch, presence=none, mask=None))
    assert empty.compute() == {}


def test_samples_with_2d_labels_have_an_overlap_but_no_vertex_error(
    insect: SmilModel, batch: Batch
) -> None:
    present = frozenset({"keypoints_2d", "mask"})
    samples = [with_mask(sample, insect) for sample in make_samples(insect, 3)]
    partial = collate([two_d_only(sample, present) for sample in samples])
    sums = MeshSums(insect, BodyConfig())
    sums.add(true_params(batch, insect), partial)
    assert sums.compute() == {"iou": 1.0}
