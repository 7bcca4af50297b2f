import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Batch, Sample, collate
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.training.validation import metrics as module
from smil_ray.training.validation.metrics import MetricSums
from tests.memory_data import SIZE, MemoryData
from tests.training.validation.test_procrustes import umeyama


@pytest.fixture
def batch(samples: list[Sample]) -> Batch:
    return collate(samples[:5])


@pytest.fixture
def guess(batch: Batch) -> SmilParams:
    """The truth, disturbed."""
    generator = torch.Generator().manual_seed(0)

    def disturbed(value: torch.Tensor, size: float) -> torch.Tensor:
        return value + size * torch.randn(value.shape, generator=generator)

    target = batch.target
    return replace(
        target,
        global_rot=disturbed(target.global_rot, 0.2),
        joint_rot=disturbed(target.joint_rot, 0.1),
        betas=disturbed(target.betas, 0.3),
        trans=disturbed(target.trans, 0.05),
        fov=target.fov + 1.0,
    )


def measured(params: SmilParams, batch: Batch, model: SmilModel) -> dict[str, float]:
    sums = MetricSums(model.skeleton, SIZE)
    sums.add(params, batch, model)
    return sums.compute()


def test_metrics_of_the_truth_are_perfect(insect: SmilModel, batch: Batch) -> None:
    found = measured(batch.target, batch, insect)
    for name in ("mpjpe_pct_bl", "mpjpe_ra_pct_bl", "pa_mpjpe_pct_bl", "kp2d_px_input"):
        assert found[name] == pytest.approx(0.0, abs=1e-3)
    assert found["pck@0.05_bbox"] == found["pck@5px_input"] == 1.0
    assert found["n_samples"] == found["n_samples_pa"] == 5


def test_metrics_equal_a_loop_over_samples(
    insect: SmilModel, batch: Batch, guess: SmilParams
) -> None:
    found = measured(guess, batch, insect)
    predicted = insect.pose(guess).joints.double().numpy()
    true = batch.keypoints_3d.double().numpy()
    percent = 100.0 / insect.body_length
    absolute, rooted, aligned = [], [], []
    for p, t in zip(predicted, true, strict=True):
        absolute += np.linalg.norm(p - t, axis=1).tolist()
        rooted += np.linalg.norm((p - p[0]) - (t - t[0]), axis=1).tolist()
        aligned += np.linalg.norm(umeyama(p, t) - t, axis=1).tolist()
    assert found["mpjpe"] == pytest.approx(np.mean(absolute), rel=1e-6)
    assert found["mpjpe_pct_bl"] == pytest.approx(np.mean(absolute) * percent, rel=1e-6)
    assert found["mpjpe_ra_pct_bl"] == pytest.approx(np.mean(rooted) * percent, rel=1e-6)
    assert found["pa_mpjpe_pct_bl"] == pytest.approx(np.mean(aligned) * percent, rel=1e-6)
    assert found["fov_deg"] == pytest.approx(1.0)


def test_metrics_2d_equal_a_loop_over_joints(
    insect: SmilModel, batch: Batch, guess: SmilParams
) -> None:
    found = measured(guess, batch, insect)
    joints = insect.pose(guess).joints.double().numpy()
    errors, hits, boxed = [], [], []
    for i in range(batch.size):
        focal = 0.5 / math.tan(math.radians(float(guess.fov[i])) / 2)
        xy = (0.5 - focal * joints[i, :, :2] / joints[i, :, 2:]) * SIZE
        true = batch.keypoints_2d[i].double().numpy() * SIZE
        seen = batch.keypoint_visibility[i].numpy()
        side = np.ptp(true[seen], axis=0).max()
        for joint in np.flatnonzero(seen):
            error = np.hypot(*(xy[joint] - true[joint]))
            errors.append(error)
            hits.append(error <= 5)
            boxed.append(error <= 0.05 * side)
    assert found["kp2d_px_input"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert found["pck@5px_input"] == pytest.approx(np.mean(hits))
    assert found["pck@0.05_bbox"] == pytest.approx(np.mean(boxed))
    assert found["n_joints_2d"] == len(errors)


def test_metrics_pck_auc_is_the_mean_of_pck_over_thresholds(
    insect: SmilModel, batch: Batch, guess: SmilParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    thresholds = tuple(np.linspace(0.0, module.AUC_LIMIT, 2001)[1:].tolist())
    sums = MetricSums(insect.skeleton, SIZE)
    monkeypatch.setattr(module, "BOX_THRESHOLDS", (0.05,))
    sums.add(guess, batch, insect)
    found = sums.compute()["pck_auc_bbox"]
    hits = []
    for threshold in thresholds[::20]:
        monkeypatch.setattr(module, "BOX_THRESHOLDS", (threshold,))
        at = MetricSums(insect.skeleton, SIZE)
        at.add(guess, batch, insect)
        hits.append(at.compute()[f"pck@{threshold:.2f}_bbox"])
    assert 0.05 < found < 0.95
    assert found == pytest.approx(np.mean(hits), abs=0.01)


def test_metrics_rotation_equals_scipys_magnitude(
    insect: SmilModel, batch: Batch, guess: SmilParams
) -> None:
    found = measured(guess, batch, insect)
    pairs = [
        (guess.global_rot, batch.target.global_rot),
        (guess.joint_rot, batch.target.joint_rot),
    ]
    for name, (a, b) in zip(("rot_deg_global", "rot_deg_joint"), pairs, strict=True):
        first = Rotation.from_rotvec(a.reshape(-1, 3).numpy())
        second = Rotation.from_rotvec(b.reshape(-1, 3).numpy())
        expected = np.rad2deg((first.inv() * second).magnitude()).mean()
        assert found[name] == pytest.approx(expected, abs=2e-3)


def test_metrics_do_not_depend_on_reference_frame(
    insect: SmilModel, samples: list[Sample], guess: SmilParams, batch: Batch
) -> None:
    in_camera = measured(guess, batch, insect)
    in_root = measured(change_frame(guess, "root"), collate(samples[:5], "root"), insect)
    for name, value in in_camera.items():
        assert in_root[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name


def test_metrics_of_batches_are_sums_not_means_of_means(
    insect: SmilModel, batch: Batch, guess: SmilParams, samples: list[Sample]
) -> None:
    sums = MetricSums(insect.skeleton, SIZE)
    for part in (slice(0, 1), slice(1, 5)):
        sums.add(guess[part], collate(samples[part]), insect)
    whole = measured(guess, batch, insect)
    for name, value in sums.compute().items():
        assert value == pytest.approx(whole[name], rel=1e-6), name


def test_metrics_absent_labels_are_left_out(insect: SmilModel, samples: list[Sample]) -> None:
    poor = [
        replace(s, keypoints_3d=s.keypoints_3d * np.nan, present=frozenset({"camera", "betas"}))
        for s in samples[:3]
    ]
    truth = collate(samples[:3]).target
    found = measured(truth, collate(poor), insect)
    assert "pa_mpjpe_pct_bl" not in found
    assert "kp2d_px_input" not in found
    assert found["betas_mae"] == 0.0
    assert found["n_joints_3d"] == 0


def test_metrics_sample_with_two_joints_is_not_aligned(
    insect: SmilModel, samples: list[Sample]
) -> None:
    presence = np.zeros(insect.n_joints, dtype=bool)
    presence[:2] = True
    batch = collate([replace(samples[0], keypoint_presence=presence), samples[1]])
    found = measured(batch.target, batch, insect)
    assert found["n_samples_pa"] == 1
    assert found["n_joints_3d"] == 2 + insect.n_joints


def test_metrics_joint_behind_the_camera_is_a_miss(insect: SmilModel, batch: Batch) -> None:
    behind = replace(batch.target, trans=-batch.target.trans)
    found = measured(behind, batch, insect)
    assert found["pck@0.10_bbox"] == 0.0
    assert found["kp2d_px_input"] == pytest.approx(SIZE * 2**0.5)


def test_metrics_of_samples_weighted_by_counts_give_the_totals(
    insect: SmilModel, samples: list[Sample], guess: SmilParams
) -> None:
    presence = np.ones(insect.n_joints, dtype=bool)
    presence[3:] = False
    uneven = collate([replace(samples[0], keypoint_presence=presence), *samples[1:5]])
    sums = MetricSums(insect.skeleton, SIZE, keeps_samples=True)
    sums.add(
        guess[slice(0, 2)],
        collate([replace(samples[0], keypoint_presence=presence), samples[1]]),
        insect,
    )
    sums.add(guess[slice(2, 5)], collate(samples[2:5]), insect)
    whole = measured(guess, uneven, insect)
    for name, found in sums.per_sample().items():
        known = found.counts > 0
        mean = np.average(found.values[known], weights=found.counts[known])
        assert mean == pytest.approx(whole[name], rel=1e-6), name
        assert len(found.values) == 5


def test_metrics_of_groups_average_to_the_total(
    insect: SmilModel, batch: Batch, guess: SmilParams
) -> None:
    sums = MetricSums(insect.skeleton, SIZE)
    sums.add(guess, batch, insect)
    for name, groups in sums.per_group().items():
        counts = [count for _, count in groups.values()]
        mean = np.average([value for value, _ in groups.values()], weights=counts)
        assert mean == pytest.approx(sums.compute()[name], rel=1e-9), name
    assert {"legs", "antennae", "body"} <= set(sums.per_group()["rot_deg_joint"])


def test_metrics_per_joint_average_to_the_total(
    insect: SmilModel, data: MemoryData, batch: Batch, guess: SmilParams
) -> None:
    sums = MetricSums(insect.skeleton, SIZE)
    sums.add(guess, batch, insect)
    joints = sums.per_joint()["pa_mpjpe_pct_bl"]
    assert list(joints) == list(insect.skeleton.joint_names)
    assert np.mean(list(joints.values())) == pytest.approx(sums.compute()["pa_mpjpe_pct_bl"])
