"""A data set of photographs with 2D labels trains, validates and starts at the right size."""

import math
from pathlib import Path

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Sample, collate
from smil_ray.errors import ConfigError
from smil_ray.losses.labels import metric_for_labels, weights_for_labels
from smil_ray.training.apparent_size import log_extent_of_keypoints
from smil_ray.training.assemble import assemble
from smil_ray.training.loop import fit
from smil_ray.training.reports import Hooks
from tests.memory_data import MemoryData, tiny_config
from tests.partial_labels import two_d_only

FIGURES_2D = {"kp2d_px_input", "pck@5px_input", "pck@0.05_bbox", "pck@0.10_bbox", "pck_auc_bbox"}
COUNTS = {"n_samples", "n_joints_2d", "n_joints_3d", "n_samples_pa"}


@pytest.fixture(scope="module")
def photographs(samples: list[Sample]) -> MemoryData:
    return MemoryData([two_d_only(sample) for sample in samples])


def test_a_data_set_with_2d_labels_only_trains(
    photographs: MemoryData, insect: SmilModel, tmp_path: Path
) -> None:
    config = tiny_config(
        data={"limit": None},
        train={"epochs": 10},
        optim={"learning_rate": 3e-3},
        model={"head": {"type": "joint_tokens"}},
    )
    config, _ = weights_for_labels(config, photographs.presence_counts())
    config, reason = metric_for_labels(config, photographs.presence_counts())
    assert reason
    history: list[dict[str, float]] = []
    parts = assemble(config, photographs, insect)
    hooks = Hooks(log=lambda _step, _epoch, figures: history.append(figures))
    result = fit(parts, config, folder=tmp_path, hooks=hooks)
    assert result.status == "finished"
    found = {name.removeprefix("val/") for name in result.metrics if name.startswith("val/")}
    assert {name for name in found if not name.startswith("loss/")} == FIGURES_2D | COUNTS
    assert result.metrics["val/n_joints_3d"] == 0
    losses = [f["train/loss/keypoint_2d"] for f in history if "train/loss/keypoint_2d" in f]
    assert losses[-1] < 0.8 * losses[0]


def test_a_known_camera_needs_cameras(photographs: MemoryData, insect: SmilModel) -> None:
    config = tiny_config(model={"camera": "known"}, loss={"base_weights": {"keypoint_2d": 1.0}})
    with pytest.raises(ConfigError, match=r"model\.camera: known; expected a camera .* 0 of 24"):
        assemble(config, photographs, insect)


def test_apparent_size_of_2d_labels_is_near_the_cameras(
    samples: list[Sample], insect: SmilModel
) -> None:
    batch = collate(samples)
    tangent = torch.tan(torch.deg2rad(batch.target.fov[:, 0]) / 2)
    true = float((batch.target.trans[:, 2] * tangent).log().mean())
    found = log_extent_of_keypoints(collate([two_d_only(s) for s in samples]), insect)
    assert found == pytest.approx(true, abs=math.log(1.25))


def test_apparent_size_is_unknown_without_labels(samples: list[Sample], insect: SmilModel) -> None:
    assert log_extent_of_keypoints(collate([two_d_only(samples[0], frozenset())]), insect) is None
