"""The training loop: plain PyTorch in one process of a run, whoever started it.

A run that is stopped at any moment and resumed ends as if it had not been: the order of samples
is a function of seed and epoch, random numbers of seed and step, loss weights and learning rate
of the position, and everything else is in the checkpoint.
"""

import itertools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from smil_ray.config import Config
from smil_ray.errors import ConfigError
from smil_ray.losses.curriculum import learning_rate_at
from smil_ray.training.checkpoint_files import Checkpoint
from smil_ray.training.loaders import train_loader, val_loader
from smil_ray.training.pace import Pace
from smil_ray.training.parts import Parts
from smil_ray.training.reports import EpochReport, FitResult, Hooks
from smil_ray.training.saving import Saver
from smil_ray.training.state import TrainingState
from smil_ray.training.step import NonFiniteStepError, Stepper, non_finite_error
from smil_ray.training.validate import fixed_predictions, validate
from smil_ray.training.world import World

SINGLE = World()
ASKED = "asked to stop; resume to go on"


def fit(
    parts: Parts,
    config: Config,
    *,
    folder: Path,
    hooks: Hooks | None = None,
    resume: Checkpoint | None = None,
    world: World = SINGLE,
) -> FitResult:
    """Train to the last epoch, from the beginning or from a checkpoint; return how it ended.

    Args:
        parts: Network, loss, data.
        config: The resolved configuration.
        folder: The run folder; checkpoints go to `folder/checkpoints`.
        hooks: What to call on the way.
        resume: Where to go on; None starts anew.
        world: The processes of the run and this one's device.

    Raises:
        NonFiniteLossError: The loss became NaN or infinite; the batch is in `folder`.
        CheckpointError: The disk is full, or `resume` does not fit.
        ConfigError: The selection metric is not one that validation gives.
    """
    with reproducible(config.train.deterministic):
        torch.manual_seed(config.train.seed)
        run = _Run(parts, config, folder, hooks or Hooks(), world)
        if resume is not None:
            run.restore(resume)
        try:
            return run.to_the_end()
        except NonFiniteStepError as problem:
            raise non_finite_error(problem, folder) from problem


@contextmanager
def reproducible(deterministic: bool) -> Iterator[None]:
    """Let torch prefer deterministic kernels while the block runs, if asked to."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_before = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill_before = memory.fill_uninitialized_memory
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        try:
            if deterministic:
                # Some CUDA kernels have no deterministic form; training goes on with those.
                torch.use_deterministic_algorithms(True, warn_only=True)
                # Filling fresh memory costs time and is of use only to code that reads it unset.
                memory.fill_uninitialized_memory = False
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn_before)
            memory.fill_uninitialized_memory = fill_before


class _Run:
    """The parts of one `fit` and the order in which they act."""

    def __init__(
        self, parts: Parts, config: Config, folder: Path, hooks: Hooks, world: World
    ) -> None:
        self.parts = parts
        self.config = config
        self.hooks = hooks
        self.state = TrainingState(parts.regressor, config, world)
        self.stepper = Stepper(self.state, parts.objective, config)
        self.saver = Saver(self.state, parts, config, folder / "checkpoints")
        self.train, self.sampler = train_loader(parts, config, world)
        self.val = val_loader(parts, config, world)
        self.pace = Pace(world.device)
        self.metrics: dict[str, float] = {}

    def restore(self, checkpoint: Checkpoint) -> None:
        self.state.restore(checkpoint)
        self.metrics = checkpoint.meta["metrics"]

    def to_the_end(self) -> FitResult:
        position, epochs = self.state.position, self.config.train.epochs
        status, reason = "finished", self._tired()
        while position.epoch < epochs and reason is None:
            reason = self._finish_epoch() if self._train_epoch() else ASKED
        if reason == ASKED:
            status = "stopped"
        return FitResult(status, reason, position.epoch, position.step, self.metrics)

    def _train_epoch(self) -> bool:
        """Train on the rest of the current epoch; false if asked to stop before its end."""
        state, position = self.state, self.state.position
        state.start_epoch(position.epoch)
        self.sampler.set_position(position.epoch, position.batch)
        batches = self.pace.timed(iter(self.train))
        accumulate = self.config.optim.accumulate
        while group := list(itertools.islice(batches, accumulate)):
            epoch = position.epoch + position.batch / len(self.sampler)
            rate = learning_rate_at(self.config.optim, epoch, self.config.train.epochs)
            position.batch += len(group)
            moved = [batch.to(state.world.device) for batch in group]
            self._log(self.stepper.take(moved, epoch, rate))
            self.pace.count(sum(batch.size for batch in group) * state.world.size)
            self._show_progress()
            if position.batch < len(self.sampler) and self._pause():
                return False
        self._log(self.stepper.drain())
        return True

    def _pause(self) -> bool:
        """Save in the middle of an epoch if it is time; true if asked to stop."""
        stop, due = self.state.world.any(self.hooks.stop(), self.saver.is_overdue())
        if stop or due:
            self._log(self.stepper.drain())
            self.hooks.flush()
            self.saver.save(None)
        return stop

    def _finish_epoch(self) -> str | None:
        """Validate, report and save; return why the run ends early, None to go on."""
        position, train = self.state.position, self.config.train
        means = {
            f"train/epoch/{name}": total / position.loss_steps
            for name, total in position.loss_sums.items()
        }
        pace = self.pace.epoch_metrics()
        metrics = validate(self.state, self.parts, self.config, self.val)
        self.metrics = metrics | means | pace
        value = self._select_value(metrics)
        is_best = value is not None and self._is_better(value)
        position.best = value if is_best else position.best
        position.epochs_since_best = 0 if is_best else position.epochs_since_best + 1
        position.next_epoch()
        self.hooks.log(position.step, float(position.epoch), self.metrics)
        self.hooks.flush()
        stop, overdue = self.state.world.any(self.hooks.stop(), self.saver.is_overdue())
        tired = self._tired()
        last = position.epoch == train.epochs or tired is not None
        if last or position.epoch % train.overlay_every_epochs == 0:
            self._draw()
        due = position.epoch % train.checkpoint_every_epochs == 0
        path = None
        if due or last or stop or overdue:
            path = self.saver.save(value, self.metrics)
        self.hooks.report(EpochReport(position.epoch, position.step, self.metrics, path, is_best))
        return ASKED if stop and not last else tired

    def _tired(self) -> str | None:
        """Return why early stopping ends the run, None if it does not."""
        train = self.config.train
        patience = train.early_stopping_patience
        if patience is None or self.state.position.epochs_since_best < patience:
            return None
        return f"no better {train.select_metric} for {patience} epochs"

    def _select_value(self, metrics: dict[str, float]) -> float | None:
        """Return the selection metric, None where it is not finite."""
        name = self.config.train.select_metric
        if name not in metrics:
            raise ConfigError(
                "train.select_metric",
                expected=f"one of {', '.join(sorted(metrics))}",
                found=name,
                remedy="the data may lack the labels that this metric needs",
            )
        return metrics[name] if math.isfinite(metrics[name]) else None

    def _is_better(self, value: float) -> bool:
        best = self.state.position.best
        if best is None:
            return True
        return value < best if self.config.train.select_mode == "min" else value > best

    def _draw(self) -> None:
        if self.state.world.is_first:
            epoch = self.state.position.epoch
            self.hooks.draw(fixed_predictions(self.state, self.parts, self.config, epoch))

    def _log(self, figures: list[tuple[int, dict[str, float]]]) -> None:
        position = self.state.position
        for step, values in figures:
            for name, value in values.items():
                position.loss_sums[name] = position.loss_sums.get(name, 0.0) + value
            position.loss_steps += 1
            named = {f"train/{name}": value for name, value in values.items()}
            self.hooks.log(step, self._epoch_now(), named)
            self.pace.losses = {n[5:]: v for n, v in values.items() if n.startswith("loss/")}

    def _epoch_now(self) -> float:
        position = self.state.position
        return position.epoch + position.batch / len(self.sampler)

    def _show_progress(self) -> None:
        if self.pace.is_due():
            per_epoch = math.ceil(len(self.sampler) / self.config.optim.accumulate)
            self.hooks.progress(
                self.pace.progress(self.state.position, self.config.train.epochs, per_epoch)
            )
