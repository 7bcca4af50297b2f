"""The settings of a sweep: which configuration keys are searched, how, and on what."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from smil_ray.config import NonNegative, Positive, Settings

Execution = Literal["auto", "ray_train", "inline"]


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


class SchedulerConfig(Settings):
    """Early stopping of trials. `grace_epochs` may not undercut the last curriculum stage.

    `asha` lets one in `reduction_factor` trials go on; `median` stops a trial that is worse than
    the median of at least `min_trials` others.
    """

    type: Literal["none", "asha", "median"] = "none"
    grace_epochs: Annotated[int, Field(ge=1)] | None = None
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    min_trials: Annotated[int, Field(ge=1)] = 3
    allow_early_grace: bool = False


class SweepConfig(Settings):
    """A search: the base configuration, the space over its keys and how to walk it.

    `max_hours` and `max_gpu_hours` (of CPU cores where trials have no GPU) are what the search may
    take in all its sessions, without the winner's last training. `final_epochs` null or 0: the
    winner is not trained any longer.
    """

    name: str = "sweep"
    base: dict[str, Any] = {}
    space: dict[str, ParameterSpace]
    search: Literal["random", "grid", "optuna"] = "random"
    trials: Annotated[int, Field(ge=1)] = 8
    repeats: Annotated[int, Field(ge=1)] = 1
    seed: int = 13
    scheduler: SchedulerConfig = SchedulerConfig()
    execution: Execution = "auto"
    pack: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    cpus_per_trial: Positive = 1.0
    gpus_per_trial: NonNegative = 0.0
    max_hours: Positive | None = None
    max_gpu_hours: Positive | None = None
    final_epochs: Annotated[int, Field(ge=0)] | None = None
