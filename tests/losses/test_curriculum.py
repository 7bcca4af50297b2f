"""Schedules against tables of literal numbers, at every boundary."""

from pathlib import Path

import pytest

from smil_ray.config import LossConfig, OptimConfig
from smil_ray.config.reading import load_config
from smil_ray.losses.curriculum import (
    last_stage_epoch,
    learning_rate_at,
    used_terms,
    weights_at,
)

SEED = Path(__file__).parents[2] / "experiments" / "configs" / "seed_baseline.yaml"


@pytest.mark.parametrize(
    ("epoch", "keypoint_2d", "keypoint_3d", "silhouette", "betas"),
    [
        (0, 0.0, 0.0, 0.0, 0.0005),
        (9, 0.0, 0.0, 0.0, 0.0005),
        (9.999, 0.0, 0.0, 0.0, 0.0005),
        (10, 0.01, 0.02, 0.01, 0.001),
        (29.999, 0.01, 0.02, 0.01, 0.001),
        (30, 0.02, 0.05, 0.01, 0.001),
        (99, 0.02, 0.05, 0.01, 0.001),
    ],
)
def test_weights_of_the_seed_change_at_their_epochs(
    epoch, keypoint_2d, keypoint_3d, silhouette, betas
):
    weights = weights_at(load_config(SEED).loss, epoch)
    assert weights == {
        "global_rot": 0.001,
        "joint_rot": 0.001,
        "betas": betas,
        "trans": 0.0005,
        "fov": 0.001,
        "cam_rot": 0.01,
        "cam_trans": 0.001,
        "log_beta_scales": 0.0005,
        "betas_trans": 0.0005,
        "keypoint_2d": keypoint_2d,
        "keypoint_3d": keypoint_3d,
        "silhouette": silhouette,
    }


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [
        (0, 1.25e-6),
        (39.999, 1.25e-6),
        (40, 1e-6),
        (59.999, 1e-6),
        (60, 5e-7),
        (79.999, 5e-7),
        (80, 1e-7),
        (99, 1e-7),
    ],
)
def test_learning_rate_of_the_seed_changes_at_its_epochs(epoch, rate):
    config = load_config(SEED)
    assert learning_rate_at(config.optim, epoch, config.train.epochs) == rate


def test_seed_baseline_holds_the_published_settings():
    config = load_config(SEED)
    assert config.model.backbone.name == "vit_large_patch16_224"
    assert config.model.backbone.freeze is True
    assert config.model.head.type == "transformer_decoder"
    assert config.model.rotation_representation == "6d"
    assert config.loss.ignored_joints == ("b_a_5",)
    assert (config.data.batch_size, config.train.epochs, config.train.seed) == (8, 100, 13)
    assert (config.data.val_fraction, config.data.test_fraction) == (0.05, 0.10)


LINEAR = LossConfig(
    base_weights={"betas": 1.0, "fov": 2.0},
    stages=(
        {"epoch": 10, "weights": {"betas": 3.0, "keypoint_2d": 1.0}},
        {"epoch": 12, "weights": {"betas": 0.0}},
        {"epoch": 20, "weights": {"fov": 0.0}},
    ),  # pyright: ignore[reportArgumentType]
    transition="linear",
    ramp_epochs=4,
)


@pytest.mark.parametrize(
    ("epoch", "betas", "keypoint_2d", "fov"),
    [
        (0, 1.0, 0.0, 2.0),
        (10, 1.0, 0.0, 2.0),
        (11, 1.5, 0.25, 2.0),
        (12, 2.0, 0.5, 2.0),
        (13, 1.5, 0.75, 2.0),
        (14, 1.0, 1.0, 2.0),
        (16, 0.0, 1.0, 2.0),
        (20, 0.0, 1.0, 2.0),
        (22, 0.0, 1.0, 1.0),
        (24, 0.0, 1.0, 0.0),
        (100, 0.0, 1.0, 0.0),
    ],
)
def test_linear_ramp_starts_from_wherever_the_weight_is(epoch, betas, keypoint_2d, fov):
    assert weights_at(LINEAR, epoch) == pytest.approx(
        {"betas": betas, "keypoint_2d": keypoint_2d, "fov": fov}
    )


def test_last_stage_epoch_is_where_weights_come_to_rest():
    assert last_stage_epoch(LINEAR) == 24
    assert last_stage_epoch(load_config(SEED).loss) == 30
    assert last_stage_epoch(LossConfig()) == 0


def test_used_terms_are_those_with_a_weight_at_some_epoch():
    config = LossConfig(
        base_weights={"betas": 1.0, "fov": 0.0},
        stages=((5, {"keypoint_2d": 1.0}),),  # pyright: ignore[reportArgumentType]
    )
    assert used_terms(config) == {"betas", "keypoint_2d"}


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(0, 0.01), (1, 0.505), (2, 1.0), (6, 0.55), (10, 0.1), (50, 0.1)],
)
def test_warm_up_and_cosine_meet_at_the_full_rate(epoch, rate):
    config = OptimConfig(
        learning_rate=1.0, warmup_epochs=2.0, schedule="cosine", final_fraction=0.1
    )
    assert learning_rate_at(config, epoch, 10) == pytest.approx(rate)


def test_cosine_scales_the_rate_of_the_stage():
    config = OptimConfig(
        learning_rate=1.0,
        warmup_epochs=0.0,
        final_fraction=0.0,
        stages=((5, 0.5),),  # pyright: ignore[reportArgumentType]
    )
    assert learning_rate_at(config, 5, 10) == pytest.approx(0.25)


def test_constant_rate_stays_after_warm_up():
    config = OptimConfig(learning_rate=0.3, warmup_epochs=1.0, schedule="constant")
    assert [learning_rate_at(config, epoch, 4) for epoch in (1, 2, 4)] == [0.3, 0.3, 0.3]


def test_warm_up_longer_than_the_training_stays_finite():
    config = OptimConfig(learning_rate=1.0, warmup_epochs=9.0)
    assert learning_rate_at(config, 3, 3) == pytest.approx(0.34)
