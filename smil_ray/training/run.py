"""One run, step by step: a generator that asks for batches, and what happens between them.

Whoever drives it hands it the batches: `loop.fit` reads them for one run, `packed.fit_packed`
reads each batch once for many runs. A run cannot tell the difference.
"""

import math
from collections.abc import Generator
from pathlib import Path

from smil_ray.config import Config
from smil_ray.core.batch import Batch
from smil_ray.errors import ConfigError
from smil_ray.losses.curriculum import learning_rate_at
from smil_ray.training.batches.stream import BatchCounts, BatchReply, BatchRequest
from smil_ray.training.checkpoint.files import Checkpoint
from smil_ray.training.checkpoint.saving import Saver
from smil_ray.training.parts import Parts
from smil_ray.training.reports import EpochReport, FitResult, Hooks
from smil_ray.training.state import TrainingState
from smil_ray.training.step import Stepper
from smil_ray.training.throughput import Throughput
from smil_ray.training.validation.validate import fixed_predictions, validation
from smil_ray.training.world import World

STOPPED_ON_REQUEST = "asked to stop; resume to go on"

Steps = Generator[BatchRequest, BatchReply, FitResult]
"""A run under way: it yields requests for batches and returns how it ended."""


def last_epoch(config: Config) -> int:
    """Return after which epoch a run of `config` ends at the latest."""
    return min(config.train.epochs, config.train.stop_epoch or config.train.epochs)


class TrainingRun:
    """The parts of one run and the order in which they act.

    Args:
        parts: Network, loss, data.
        config: The resolved configuration.
        folder: The run folder.
        hooks: What to call on the way.
        world: The processes of the run and this one's device.
        batches: How many batches an epoch and a validation have.
    """

    def __init__(
        self,
        parts: Parts,
        config: Config,
        folder: Path,
        hooks: Hooks,
        world: World,
        batches: BatchCounts,
    ) -> None:
        self.parts = parts
        self.config = config
        self.hooks = hooks
        self.state = TrainingState(parts.regressor, config, world)
        self.stepper = Stepper(self.state, parts.objective, config, parts.poses)
        self.saver = Saver(self.state, parts, config, folder / "checkpoints")
        self.batches = batches
        self.throughput = Throughput(world.device)
        self.metrics: dict[str, float] = {}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; see `TrainingState.restore` for the error."""
        self.state.restore(checkpoint)
        self.metrics = checkpoint.meta["metrics"]

    def steps(self) -> Steps:
        """Train to the last epoch, asking for each batch.

        Raises:
            NonFiniteStepError: The loss became NaN or infinite.
            CheckpointError: The disk is full.
            ConfigError: The selection metric is not one that validation gives.
        """
        position, epochs = self.state.position, last_epoch(self.config)
        if self.config.train.init_from is not None and position.step == 0 and not self.metrics:
            yield from self._validate_parent()
        status, reason = "finished", self._early_stopping_reason()
        while position.epoch < epochs and reason is None:
            is_whole = yield from self._train_epoch()
            reason = (yield from self._finish_epoch()) if is_whole else STOPPED_ON_REQUEST
        if reason == STOPPED_ON_REQUEST:
            status = "stopped"
        return FitResult(status, reason, position.epoch, position.step, self.metrics)

    def _validate_parent(self) -> Generator[BatchRequest, BatchReply, None]:
        """Measure the network that the run begins with; its checkpoint may stay the best one."""
        position = self.state.position
        self.metrics = yield from validation(self.state, self.parts, self.config, self.batches.val)
        position.best = self._select_value(self.metrics)
        self.hooks.log(0, 0.0, self.metrics)
        self.hooks.flush()
        self.saver.save(position.best, self.metrics)

    def _train_epoch(self) -> Generator[BatchRequest, BatchReply, bool]:
        """Train on the rest of the current epoch; false if asked to stop before its end."""
        state, position = self.state, self.state.position
        state.start_epoch(position.epoch)
        self.throughput.restart()
        while group := (yield from self._next_group()):
            epoch = self._epoch_now()
            rate = learning_rate_at(self.config.optim, epoch, self.config.train.epochs)
            position.batch += len(group)
            self._log(self.stepper.take(group, epoch, rate))
            self.throughput.count(sum(batch.size for batch in group) * state.world.size)
            self._show_progress()
            if position.batch < self.batches.train and self._pause():
                return False
        self._log(self.stepper.drain())
        return True

    def _next_group(self) -> Generator[BatchRequest, BatchReply, list[Batch]]:
        """Return the batches of the next optimiser step, none at the end of the epoch."""
        first = self.state.position.batch
        last = min(first + self.config.optim.accumulate, self.batches.train)
        group = []
        for number in range(first, last):
            self.throughput.pause()
            batch, waited = yield BatchRequest(self.state.position.epoch, "0_train", number)
            self.throughput.resume(waited)
            group.append(batch)
        return group

    def _pause(self) -> bool:
        """Save in the middle of an epoch if it is time; true if asked to stop."""
        stop, due = self.state.world.any(self.hooks.stop(), self.saver.is_overdue())
        if stop or due:
            self._log(self.stepper.drain())
            self.hooks.flush()
            self.saver.save(None)
        return stop

    def _finish_epoch(self) -> Generator[BatchRequest, BatchReply, str | None]:
        """Validate, report and save; return why the run ends early, None to go on."""
        position, train = self.state.position, self.config.train
        means = {
            f"train/epoch/{name}": total / position.loss_steps
            for name, total in position.loss_sums.items()
        }
        throughput = self.throughput.epoch_metrics()
        metrics = yield from validation(self.state, self.parts, self.config, self.batches.val)
        self.metrics = metrics | means | throughput
        value = self._select_value(metrics)
        is_best = value is not None and self._is_better(value)
        position.best = value if is_best else position.best
        position.epochs_since_best = 0 if is_best else position.epochs_since_best + 1
        position.next_epoch()
        self.hooks.log(position.step, float(position.epoch), self.metrics)
        self.hooks.flush()
        stop, overdue = self.state.world.any(self.hooks.stop(), self.saver.is_overdue())
        tired = self._early_stopping_reason()
        last = position.epoch == last_epoch(self.config) or tired is not None
        if last or position.epoch % train.overlay_every_epochs == 0:
            self._draw()
        due = position.epoch % train.checkpoint_every_epochs == 0
        path = None
        if due or last or stop or overdue:
            path = self.saver.save(value, self.metrics)
        self.hooks.report(EpochReport(position.epoch, position.step, self.metrics, path, is_best))
        return STOPPED_ON_REQUEST if stop and not last else tired

    def _early_stopping_reason(self) -> str | None:
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
            self.throughput.losses = {n[5:]: v for n, v in values.items() if n.startswith("loss/")}

    def _epoch_now(self) -> float:
        position = self.state.position
        return position.epoch + position.batch / self.batches.train

    def _show_progress(self) -> None:
        if self.throughput.is_due():
            per_epoch = math.ceil(self.batches.train / self.config.optim.accumulate)
            self.hooks.progress(
                self.throughput.progress(self.state.position, self.config.train.epochs, per_epoch)
            )
