"""Default loss weights follow the labels of the data; written ones are left alone."""

import pytest

from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict, load_config
from smil_ray.core.batch import LABELS
from smil_ray.losses.labels import metric_for_labels, weights_for_labels

DEFAULTS = Config().loss.base_weights


def counts(*absent: str) -> dict[str, int]:
    return {label: 0 if label in absent else 5 for label in LABELS}


def test_complete_data_keep_every_default() -> None:
    config, absent = weights_for_labels(Config(), counts())
    assert absent == ()
    assert config.loss.base_weights == DEFAULTS


def test_terms_without_labels_are_left_out_and_named() -> None:
    config, absent = weights_for_labels(Config(), counts("global_rot", "joint_rot", "betas"))
    assert set(absent) == {"global_rot", "joint_rot", "betas"}
    left = {term: weight for term, weight in DEFAULTS.items() if term not in absent}
    assert config.loss.base_weights == left


def test_other_settings_stay() -> None:
    given = {"loss": {"ignored_joints": ["b_a_5"], "normalise": False}, "train": {"epochs": 3}}
    config, absent = weights_for_labels(config_from_dict(given), counts("betas"))
    assert absent == ("betas",)
    assert (config.loss.ignored_joints, config.loss.normalise) == (("b_a_5",), False)
    assert config.train.epochs == 3


def test_unmentioned_labels_count_as_absent() -> None:
    _, absent = weights_for_labels(Config(), {"keypoints_2d": 3})
    assert "keypoint_2d" not in absent
    assert {"keypoint_3d", "global_rot", "fov"} <= set(absent)


@pytest.mark.parametrize("override", ["loss.base_weights={betas: 1.0}", "loss.base_weights.fov=0"])
def test_written_weights_are_left_alone(override: str) -> None:
    given = load_config(None, [override])
    config, absent = weights_for_labels(given, counts("betas"))
    assert (config, absent) == (given, ())


def test_metric_stays_where_the_data_have_poses() -> None:
    assert metric_for_labels(Config(), counts("betas", "mask")) == (Config(), "")


def test_data_with_2d_labels_alone_are_selected_by_2d_joints() -> None:
    config, reason = metric_for_labels(Config(), {"keypoints_2d": 5})
    assert (config.train.select_metric, config.train.select_mode) == ("val/pck_auc_bbox", "max")
    assert "keypoints_3d" in reason
    assert "val/pck_auc_bbox" in reason


@pytest.mark.parametrize("given", [{"select_metric": "val/pose_score"}, {"select_mode": "min"}])
def test_metric_that_was_written_down_stays(given: dict) -> None:
    config = config_from_dict({"train": given})
    assert metric_for_labels(config, {"keypoints_2d": 5}) == (config, "")
