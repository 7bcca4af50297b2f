"""What the loop tells its caller: plain records and callables, so that it never sees Ray."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams


@dataclass(frozen=True)
class EpochReport:
    """The state of a run after a validated epoch.

    Attributes:
        epoch: Number of finished epochs.
        step: Number of finished optimiser steps.
        metrics: `val/...` and `train/epoch/...` figures.
        checkpoint: The checkpoint written after this epoch, None where none was due.
        is_best: The selection metric is the best so far.
    """

    epoch: int
    step: int
    metrics: dict[str, float]
    checkpoint: Path | None
    is_best: bool


@dataclass(frozen=True)
class Progress:
    """How fast a run is and how long it still takes; sent about once a second."""

    epoch: int
    epochs: int
    step: int
    steps: int
    steps_per_s: float
    samples_per_s: float
    eta_s: float
    wait_share: float
    losses: dict[str, float]
    gpu_memory_gib: float | None = None

    def line(self) -> str:
        """Return one line for a terminal."""
        # Terms of what is constant in the run's reference frame are always 0.
        terms = " ".join(f"{name} {value:.3g}" for name, value in self.losses.items() if value)
        memory = "" if self.gpu_memory_gib is None else f" | GPU {self.gpu_memory_gib:.1f} GiB"
        minutes, seconds = divmod(round(self.eta_s), 60)
        return (
            f"epoch {self.epoch}/{self.epochs} step {self.step}/{self.steps} | "
            f"{self.steps_per_s:.1f} it/s {self.samples_per_s:.0f} samples/s | "
            f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d} left | "
            f"data wait {self.wait_share:.0%}{memory} | {terms}"
        )


@dataclass(frozen=True)
class Predictions:
    """Fixed validation samples with what the network says now, for pictures.

    `xy` are the predicted joints as fractions of width and height.
    """

    epoch: int
    batch: Batch
    params: SmilParams
    xy: Float[Tensor, "batch n_joints 2"]


def _ignore(*_: object) -> None:
    """Do nothing."""


def _never() -> bool:
    """Say no."""
    return False


@dataclass(frozen=True)
class Hooks:
    """Callables that the loop calls; with several processes `stop` and `report` on every one.

    Attributes:
        report: After each epoch, when its checkpoint is on the disk.
        log: Metrics of a step or an epoch: (step, epoch, metrics).
        flush: What was logged must now be on the disk, because a checkpoint follows.
        progress: About once a second.
        draw: Every `train.overlay_every_epochs` epochs and after the last, in the first process;
            None where no samples are to be drawn.
        stop: True asks for a checkpoint now and an orderly end.
    """

    report: Callable[[EpochReport], None] = _ignore
    log: Callable[[int, float, dict[str, float]], None] = _ignore
    flush: Callable[[], None] = _ignore
    progress: Callable[[Progress], None] = _ignore
    draw: Callable[[Predictions | None], None] = _ignore
    stop: Callable[[], bool] = _never


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        status: `finished`, or `stopped` when it was asked to stop and can be resumed.
        reason: Why it ended before the last epoch, None if it did not.
        epoch: Number of finished epochs.
        step: Number of finished optimiser steps.
        metrics: The last epoch's metrics.
    """

    status: str
    reason: str | None
    epoch: int
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
