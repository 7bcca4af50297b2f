"""The settings of a sweep: which configuration keys are searched, how, and on what."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from smil_ray.config import NonNegative, Positive, Settings

Execution = Literal["auto", "ray_train", "inline"]

COST_METRICS = (
    "cost/seconds_per_epoch",
    "cost/images_per_s",
    "cost/seconds",
    "cost/device_hours",
    "cost/parameters",
    "cost/trainable",
    "cost/gflops",
    "cost/latency_ms",
)
"""What a trial costs, as far as it is known: its training, its network, one prediction."""

SWEEP_FILE = "sweep.yaml"
"""A sweep's folder holds its settings under this name."""


class ParameterSpace(Settings):
    """One searched setting; exactly one of `choice`, `uniform`, `loguniform`.

    `when` limits it to trials in which other settings have the given value(s). `labels` names the
    choices in tables and plots, which long values such as curriculum stages need.
    """

    choice: tuple[Any, ...] | None = None
    labels: tuple[str, ...] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    when: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> "ParameterSpace":
        kinds = [self.choice, self.uniform, self.loguniform]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("give exactly one of choice, uniform, loguniform")
        if self.choice is not None and not self.choice:
            raise ValueError("choice needs at least one value")
        if self.labels is not None and len(self.labels) != len(self.choice or ()):
            raise ValueError("labels needs one name per value of choice")
        for low, high in (self.uniform or (0.0, 1.0), self.loguniform or (1.0, 2.0)):
            if low >= high:
                raise ValueError(f"the range [{low}, {high}] is empty")
        if self.loguniform is not None and self.loguniform[0] <= 0:
            raise ValueError(f"loguniform needs positive bounds, found {self.loguniform[0]}")
        return self


class LevelConfig(Settings):
    """One level of successive halving: share of the training data, picture size, epochs.

    `input_size` null leaves the base's.
    """

    epochs: Annotated[int, Field(ge=1)]
    data_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    input_size: Annotated[int, Field(ge=16)] | None = None


class PbtConfig(Settings):
    """Population-based training: how often the worst `quantile` goes on from the best one."""

    interval_epochs: Annotated[int, Field(ge=1)] = 4
    quantile: Annotated[float, Field(gt=0.0, le=0.5)] = 0.25


class SchedulerConfig(Settings):
    """Early stopping of trials. `grace_epochs` may not undercut the last curriculum stage.

    `asha` lets one in `reduction_factor` trials go on; `median` stops a trial that is worse than
    the median of at least `min_trials` others; `halving` trains all trials at the first of
    `levels` and one in `reduction_factor` anew at each further one.
    """

    type: Literal["none", "asha", "median", "halving"] = "none"
    grace_epochs: Annotated[int, Field(ge=1)] | None = None
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    min_trials: Annotated[int, Field(ge=1)] = 3
    allow_early_grace: bool = False
    levels: tuple[LevelConfig, ...] = ()

    @model_validator(mode="after")
    def _levels_grow(self) -> "SchedulerConfig":
        if (self.type == "halving") != bool(self.levels):
            raise ValueError("levels belong to type halving, which needs at least one")
        for name in ("epochs", "data_fraction", "input_size"):
            values = [getattr(level, name) or 0 for level in self.levels]
            if values != sorted(values):
                raise ValueError(f"{name} must not fall from level to level, found {values}")
        return self


class ObjectiveConfig(Settings):
    """One of several figures that a search weighs against each other.

    `metric` is a validation metric at the trial's best epoch, or one of `COST_METRICS`.
    """

    metric: str
    mode: Literal["min", "max"] = "min"

    @field_validator("metric")
    @classmethod
    def _metric_is_known_and_no_loss(cls, name: str) -> str:
        if "loss" in name.split("/"):
            raise ValueError("an objective must not be a loss: a search would lower its weights")
        if not name.startswith("val/") and name not in COST_METRICS:
            raise ValueError(f"expected val/... or one of {', '.join(COST_METRICS)}")
        return name


class SweepConfig(Settings):
    """A search: the base configuration, the space over its keys and how to walk it.

    With `objectives` an optuna search looks for the Pareto front; the winner is the best by
    `train.select_metric` all the same.

    `max_hours` and `max_gpu_hours` (of CPU cores where trials have no GPU) are what the search may
    take in all its sessions, without the winner's last training. `final_epochs` null or 0: the
    winner is not trained any longer.
    """

    name: str = "sweep"
    base: dict[str, Any] = {}
    space: dict[str, ParameterSpace]
    search: Literal["random", "grid", "optuna", "pbt"] = "random"
    trials: Annotated[int, Field(ge=1)] = 8
    repeats: Annotated[int, Field(ge=1)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 13
    scheduler: SchedulerConfig = SchedulerConfig()
    pbt: PbtConfig = PbtConfig()
    objectives: tuple[ObjectiveConfig, ...] = ()
    execution: Execution = "auto"
    pack: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    cpus_per_trial: Positive = 1.0
    gpus_per_trial: NonNegative = 0.0
    max_hours: Positive | None = None
    max_gpu_hours: Positive | None = None
    final_epochs: Annotated[int, Field(ge=0)] | None = None
