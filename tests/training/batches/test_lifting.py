"""Bodies without pictures: what is drawn from labels, and what a network learns from it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.core.batch import Batch, Sample, collate
from smil_ray.losses.objective import Objective
from smil_ray.training.assemble import assemble
from smil_ray.training.batches import lifting
from smil_ray.training.batches.lifting import LabelledPoses, as_seen
from smil_ray.training.loop import fit
from smil_ray.training.reports import Hooks
from tests.memory_data import MemoryData, tiny_config
from tests.partial_labels import two_d_only


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)


@pytest.fixture(scope="module")
def labels(samples: list[Sample]) -> Batch:
    return collate(samples)


@pytest.fixture(scope="module")
def objective(insect: SmilModel) -> Objective:
    config = tiny_config(model={"joint_scales": "pca", "joint_translations": "pca"})
    return Objective(insect, config.loss, config.body, config.model)


def poses_of(labels: Batch, insect: SmilModel) -> LabelledPoses:
    found = LabelledPoses.of(labels, insect.skeleton)
    assert found is not None
    return found


def test_without_a_cut_bodies_are_those_of_the_labels(
    labels: Batch, insect: SmilModel, objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifting, "_CUT_AT_BRANCHES", 0.0)
    monkeypatch.setattr(lifting, "_CUT_ELSEWHERE", 0.0)
    batch, _ = poses_of(labels, insect).draw(40, objective)
    rows = [labels.names.index(name) for name in batch.names]
    known = labels.keypoint_presence[rows]
    torch.testing.assert_close(batch.target.joint_rot, labels.target.joint_rot[rows])
    torch.testing.assert_close(
        batch.keypoints_3d[known], labels.keypoints_3d[rows][known], atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        batch.keypoints_2d[known], labels.keypoints_2d[rows][known], atol=1e-4, rtol=1e-4
    )


def test_limbs_come_from_several_samples_and_hang_together(
    labels: Batch, insect: SmilModel
) -> None:
    poses = poses_of(labels, insect)
    own = torch.arange(200) % labels.size
    donors = poses._donors(own, labels.size)  # pyright: ignore[reportPrivateUsage]
    assert torch.equal(donors[:, 0], own)
    parents = np.array(insect.skeleton.parents[1:])
    same = (donors[:, 1:] == donors[:, parents]).float().mean(dim=0)
    branches = np.array([len(insect.skeleton.children[parent]) > 1 for parent in parents])
    assert 0.4 < float(same[branches].mean()) < 0.6
    assert float(same[~branches].mean()) > 0.9


def test_joints_of_a_body_are_where_its_own_parameters_put_them(
    labels: Batch, insect: SmilModel
) -> None:
    config = tiny_config()
    objective = Objective(insect, config.loss, config.body, config.model)
    batch, _ = poses_of(labels, insect).draw(30, objective)
    result = objective(batch.target, batch, 0.0)
    assert float(result.total) < 1e-6
    assert not batch.presence["mask"].any()


def test_places_are_off_by_as_much_as_they_say() -> None:
    xy = torch.full((400, 20, 2), 0.5)
    seen = as_seen(xy, torch.zeros(400, 4))
    distance = (seen.xy - xy).square().sum(dim=-1).sqrt()
    for low, high in ((0.0, 0.02), (0.02, 0.06), (0.06, 0.2)):
        chosen = (seen.error[..., 0] > low) & (seen.error[..., 0] <= high)
        ratio = (
            distance[chosen].square().mean().sqrt()
            / seen.error[..., 0][chosen].square().mean().sqrt()
        )
        assert 0.9 < float(ratio) < 1.1


def test_joints_beyond_the_picture_are_lost_at_its_border() -> None:
    seen = as_seen(torch.tensor([[[0.5, 0.5], [1.7, 0.2]]]), torch.zeros(1, 4))
    assert float(seen.error[0, 1]) > 0.14
    assert bool((seen.xy <= 1.0).all())


def test_the_same_seed_draws_the_same(
    labels: Batch, insect: SmilModel, objective: Objective
) -> None:
    poses = poses_of(labels, insect)
    first = poses.draw(6, objective)
    torch.manual_seed(5)
    again = poses.draw(6, objective)
    assert torch.equal(first[1].xy, again[1].xy)
    assert first[0].names == again[0].names


def test_samples_without_a_pose_are_not_drawn(
    samples: list[Sample], insect: SmilModel, objective: Objective
) -> None:
    mixed = [two_d_only(sample) for sample in samples[:8]] + list(samples[8:])
    batch, _ = poses_of(collate(mixed), insect).draw(50, objective)
    assert set(batch.names) <= {sample.name for sample in samples[8:]}
    none = collate([two_d_only(sample) for sample in samples])
    assert LabelledPoses.of(none, insect.skeleton) is None


def trained(config: Config, data: MemoryData, insect: SmilModel, folder: Path) -> list[dict]:
    history: list[dict[str, float]] = []
    hooks = Hooks(log=lambda _step, _epoch, figures: history.append(figures))
    fit(assemble(config, data, insect), config, folder=folder, hooks=hooks)
    return [found for found in history if "train/loss/total" in found]


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_a_head_that_looks_at_joints_learns_to_lift(
    data: MemoryData, insect: SmilModel, tmp_path: Path, frame: str
) -> None:
    head = {"type": "joint_tokens", "hidden_dim": 32, "depth": 1, "num_heads": 2, "dropout": 0.0}
    config = tiny_config(
        model={"head": head, "reference_frame": frame, "camera": "known"},
        data={"limit": None},
        train={"epochs": 12, "lifted_poses": 4.0},
        optim={"learning_rate": 3e-3},
    )
    losses = [found["train/loss/lifting"] for found in trained(config, data, insect, tmp_path)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_other_heads_and_none_wanted_draw_nothing(
    data: MemoryData, insect: SmilModel, tmp_path: Path
) -> None:
    for name, head, count in (
        ("mlp", {"type": "mlp"}, 2.0),
        ("off", {"type": "joint_tokens"}, 0.0),
    ):
        config = tiny_config(model={"head": head}, train={"epochs": 1, "lifted_poses": count})
        for found in trained(config, data, insect, tmp_path / name):
            assert "train/loss/lifting" not in found
