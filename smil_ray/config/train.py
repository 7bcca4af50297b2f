"""Settings of training: how long, by which metric, and what is kept."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from smil_ray.config.base import Positive, Settings


class TrainConfig(Settings):
    """How long to train, what counts as better and what is kept.

    A run ends after `stop_epoch`, if that is set, on the schedules of a run of all `epochs`.
    Every `overlay_every_epochs` epochs and at the end, `overlay_samples` validation samples are
    drawn, and with `plots` the curves of the run. For each picture of a batch, heads that look at
    joints also learn from `lifted_poses` poses of the training labels that no picture belongs to
    (`training.batches.lifting`). `init_from` is a run folder (its best
    checkpoint) or a checkpoint folder whose network the run begins with.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    stop_epoch: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 13
    init_from: str | None = None
    lifted_poses: Annotated[float, Field(ge=0.0)] = 0.0
    select_metric: str = "val/pose_score"
    select_mode: Literal["min", "max"] = "min"
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    checkpoint_every_epochs: Annotated[int, Field(ge=1)] = 1
    checkpoint_every_minutes: Positive | None = None
    keep_best: Annotated[int, Field(ge=1)] = 1
    overlay_every_epochs: Annotated[int, Field(ge=1)] = 10
    overlay_samples: Annotated[int, Field(ge=0)] = 4
    plots: bool = True
    deterministic: bool = True

    @field_validator("select_metric")
    @classmethod
    def _metric_is_not_a_weighted_loss(cls, name: str) -> str:
        if "loss" in name.split("/"):
            raise ValueError(
                "select_metric must not be a loss: loss weights change with the curriculum, so "
                "its values at different epochs cannot be compared; use e.g. val/pose_score"
            )
        return name
