"""The mean pose scores 1, its figures need no picture, and nothing but the data changes them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig, Config
from smil_ray.core.batch import Sample, collate
from smil_ray.errors import ConfigError
from smil_ray.training.assemble import assemble, assemble_beside
from smil_ray.training.checkpoint.folder import load_newest
from smil_ray.training.loop import fit
from smil_ray.training.validation.mean_pose import (
    MeanPose,
    mean_pose_figures,
    relative_figures,
    training_labels,
    verdict,
)
from smil_ray.training.validation.metrics import MetricSums
from tests.memory_data import SIZE, MemoryData, NoPictures, tiny_config

TRAIN, VAL = np.arange(16), np.arange(16, 24)


def figures_on(samples: list[Sample], model: SmilModel) -> dict[str, float]:
    data = MemoryData(samples)
    return mean_pose_figures(training_labels(data, TRAIN), data, VAL, model, BodyConfig())


def test_figures_are_those_of_a_predictor_on_whole_batches(
    insect: SmilModel, samples: list[Sample]
) -> None:
    data = NoPictures(samples)
    found = mean_pose_figures(training_labels(data, TRAIN), data, VAL, insect, BodyConfig())
    sums = MetricSums(insect.skeleton, SIZE)
    held_out = collate(samples[16:])
    sums.add(MeanPose.of([collate(samples[:16])])(held_out), held_out, insect)
    assert found == pytest.approx(sums.compute())


def test_mean_pose_scores_one_and_half_its_errors_a_half(
    insect: SmilModel, samples: list[Sample]
) -> None:
    mean = figures_on(samples, insect)
    own = relative_figures(mean, mean)
    assert set(own.values()) == {1.0}
    assert {"pose_score", "pa_mpjpe_of_mean_pose", "rot_joint_of_mean_pose"} <= set(own)
    better = mean | {"pa_mpjpe_pct_bl": mean["pa_mpjpe_pct_bl"] / 2}
    assert relative_figures(better, mean)["pose_score"] == pytest.approx(0.75)
    folded = mean | {
        "mpjpe_ra_pct_bl": mean["mpjpe_ra_pct_bl"] * 0.8,
        "pa_mpjpe_pct_bl": mean["pa_mpjpe_pct_bl"] * 5,
    }
    assert relative_figures(folded, mean)["pose_score"] > 1.0


@pytest.mark.parametrize("absent", ["joint_rot", "camera", "keypoints_3d"])
def test_without_a_pose_or_3d_joints_there_is_no_score(
    insect: SmilModel, samples: list[Sample], absent: str
) -> None:
    poor = [replace(s, present=s.present - {absent}) for s in samples]
    if absent == "joint_rot":
        poor = [replace(s, joint_rot=np.full_like(s.joint_rot, np.nan)) for s in poor]
    if absent == "camera":
        poor = [replace(s, cam_rot=np.full_like(s.cam_rot, np.nan)) for s in poor]
    assert figures_on(poor, insect) == {}
    assert relative_figures({"pa_mpjpe_pct_bl": 3.0}, {}) == {}
    none = dict.fromkeys(Config().loss.base_weights, 0.0)
    config = tiny_config(loss={"base_weights": {**none, "keypoint_2d": 1.0}})
    with pytest.raises(ConfigError, match=r"val/pose_score.*3D joints.*pck_auc_bbox"):
        assemble(config, MemoryData(poor), insect)


def test_samples_without_labels_are_left_out_of_the_mean(
    insect: SmilModel, samples: list[Sample]
) -> None:
    lacking = [
        replace(s, joint_rot=np.full_like(s.joint_rot, np.nan), present=s.present - {"joint_rot"})
        if number % 2
        else s
        for number, s in enumerate(samples[:16])
    ]
    held_out = samples[16:]
    kept = [*samples[0:16:2], *samples[0:16:2], *held_out]
    found = figures_on([*lacking, *held_out], insect)
    # Betas and positions are means over all: only what depends on rotations alone is the same.
    assert found["rot_deg_joint"] == pytest.approx(
        figures_on(kept, insect)["rot_deg_joint"], rel=1e-5
    )


def test_score_of_a_run_is_relative_to_the_whole_training_split(
    insect: SmilModel, data: MemoryData
) -> None:
    whole = assemble(tiny_config(data={"limit": None}), data, insect)
    part = assemble(tiny_config(data={"limit": 2}), data, insect)
    assert len(part.splits.train) == 2
    assert part.mean_pose == whole.mean_pose
    beside = assemble_beside(part, tiny_config(data={"limit": 2}, train={"epochs": 1}))
    assert beside.mean_pose == part.mean_pose


def test_resumed_run_reports_the_same_score(
    insect: SmilModel, data: MemoryData, tmp_path: Path
) -> None:
    def run(folder: Path, resume: bool, **train: Any) -> dict[str, float]:
        config = tiny_config(train={"epochs": 2, **train})
        checkpoint = load_newest(folder / "checkpoints") if resume else None
        parts = assemble(config, data, insect)
        return fit(parts, config, folder=folder, resume=checkpoint).metrics

    through = run(tmp_path / "through", False)
    run(tmp_path / "broken", False, stop_epoch=1)
    resumed = run(tmp_path / "broken", True)
    assert through["val/pose_score"] == resumed["val/pose_score"]
    mean = assemble(tiny_config(), data, insect).mean_pose
    expected = (
        through["val/mpjpe_ra_pct_bl"] / mean["mpjpe_ra_pct_bl"]
        + through["val/pa_mpjpe_pct_bl"] / mean["pa_mpjpe_pct_bl"]
    ) / 2
    assert through["val/pose_score"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ratio", "said"), [(0.8, r"beats .* 4 against 5 .*20 % lower"), (1.0, "does not beat")]
)
def test_verdict_says_whether_the_mean_pose_is_beaten(ratio: float, said: str) -> None:
    figures = {"val/pa_mpjpe_pct_bl": 5.0 * ratio, "val/pa_mpjpe_of_mean_pose": ratio}
    assert re.search(said, verdict(figures))
    assert verdict({"val/pa_mpjpe_pct_bl": 5.0}) == ""
