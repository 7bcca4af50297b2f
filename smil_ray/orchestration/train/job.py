"""One training run: `run_training(config)` from a configuration to a run folder with results."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config.reading import flatten, to_yaml
from smil_ray.core.device import find_device
from smil_ray.errors import CheckpointError, ConfigError
from smil_ray.orchestration.train._stopping import stop_requested
from smil_ray.orchestration.train._terminal import progress_line
from smil_ray.orchestration.train.resume import as_begun, differences
from smil_ray.orchestration.train.worker import (
    STOP_FILE,
    OpenData,
    TrainingJob,
    train_in_this_process,
)
from smil_ray.storage.mirror import push
from smil_ray.storage.store import StorageError
from smil_ray.tracking.run_dir import LOCK_S, RunDir, write_atomic
from smil_ray.training.assemble import open_data
from smil_ray.training.checkpoint.files import read_meta
from smil_ray.training.checkpoint.folder import best_entry, last_entry
from smil_ray.training.reports import EpochReport, FitResult
from smil_ray.training.warm_start import with_network_of_parent
from smil_ray.training.world import World

log = logging.getLogger(__name__)

Execution = Literal["ray_train", "inline"]


@dataclass(frozen=True)
class TrainOutcome:
    """What a training run left.

    Attributes:
        run_dir: The run folder.
        best_checkpoint: Folder of the checkpoint with the best selection metric.
        last_checkpoint: Folder of the newest checkpoint.
        metrics: Metrics of the best checkpoint's epoch.
        status: `finished`, or `stopped` when it was asked to stop and can be resumed.
        reason: Why it ended before its last epoch.
    """

    run_dir: RunDir
    best_checkpoint: Path | None
    last_checkpoint: Path | None
    metrics: dict[str, float]
    status: str
    reason: str | None = None


@dataclass(frozen=True)
class TrainOptions:
    """Callables of `run_training` for tests, searches and terminals.

    Attributes:
        report: Called after each epoch; inline execution only.
        display: Shows a progress line; by default on stderr if it is a terminal.
        announce: Called before the first step with what people want to know: which features are
            computed to be cached, and what `recorder.record_start` says.
        open_data: Opens the data set in each process.
        facts: Further entries of run.json.
        lock_wait_s: How long to wait for a former writer of the run folder, seconds.
    """

    report: Callable[[EpochReport], None] | None = None
    display: Callable[[str], None] | None = None
    announce: Callable[[str], None] | None = None
    open_data: OpenData = open_data
    facts: dict[str, Any] | None = None
    lock_wait_s: float = LOCK_S


def run_training(
    config: Config | None = None,
    *,
    model: SmilModel | str | Path | None = None,
    address: str | None = None,
    execution: Execution = "ray_train",
    resume: str | Path | None = None,
    run_dir: RunDir | None = None,
    options: TrainOptions | None = None,
) -> TrainOutcome:
    """Train one network, or go on with a run that was interrupted.

    A call without `resume` always starts a new run in a new folder.

    Args:
        config: The configuration; None is allowed with `resume`.
        model: The body model, or its file; None opens `config.body.model`.
        address: Ray cluster, see `orchestration.cluster`; None uses this process's Ray or a
            local one.
        execution: As a Ray Train run (workers, GPUs, restarts after failures), or in this
            process. Both give the same numbers.
        resume: Run folder to go on with.
        run_dir: A new run folder made by the caller.
        options: Callables.

    Raises:
        ConfigError: The configuration is at odds with itself, the data or the machine.
        CheckpointError: `resume` has another configuration, or its checkpoints are damaged.
        DataError: The data cannot be read.
        SmilRayError: Training failed; the message says where and what to do.
    """
    options = options or TrainOptions()
    if resume is None:
        run, config = _new_run(config, run_dir, options)
    else:
        run, config = _old_run(config, resume)
    push(run.path)  # Workers work on copies of what is in the store.
    body = None if model is None else SmilModel.open(model)
    job = TrainingJob(run.path, config, body, options.open_data, options.lock_wait_s)
    try:
        with progress_line(options.display) as display:
            if execution == "inline":
                result = _train_inline(job, options, display)
            else:
                # Imported here: a search's trials train inline and never need Ray Train.
                from smil_ray.orchestration.train._ray_train import train_with_ray

                result = train_with_ray(job, address, display, options.announce)
    # Ctrl-C and exits as well: whatever ends a run, its folder must not go on saying "running".
    except BaseException as error:
        state = "failed" if isinstance(error, Exception) else "stopped"
        _end_status(run, state, f"{type(error).__name__}: {error}")
        raise
    run.set_status(result.status, result.reason, epoch=result.epoch, step=result.step)
    push(run.path)
    return _outcome(run, config, result)


def _new_run(
    config: Config | None, run_dir: RunDir | None, options: TrainOptions
) -> tuple[RunDir, Config]:
    if config is None:
        raise ConfigError("run_training needs a configuration, or a run to resume")
    config = with_network_of_parent(config.with_absolute_paths())
    data = config.data.path or list(config.data.paths)
    facts = {"seed": config.train.seed, "data": data, **(options.facts or {})}
    if run_dir is None:
        name = config.run.name or "train"
        return RunDir.create(config.run.output_dir, name, config, "train", facts=facts), config
    if last_entry(run_dir.checkpoints) is not None:
        raise ConfigError(
            f"Run folder {run_dir.path}",
            expected="no checkpoints, because the run is new",
            remedy="give it as `resume` to go on with it",
        )
    run_dir.update_facts(facts)
    return run_dir, config


def _old_run(config: Config | None, resume: str | Path) -> tuple[RunDir, Config]:
    run = RunDir.open(resume)
    stored = run.load_config()
    (run.path / STOP_FILE).unlink(missing_ok=True)
    if config is None:
        return run, stored
    config = as_begun(stored, config)
    refused = differences(stored, config)
    if refused:
        key = refused[0]
        old, new = (flatten(each.model_dump(mode="json")) for each in (stored, config))
        raise CheckpointError(
            f"Run {run.path} cannot go on with another {key}"
            + (f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""),
            expected=old.get(key),
            found=new.get(key),
            remedy="leave the setting as it was, or start a new run",
        )
    data = config.data
    if not data.sources:
        data = data.model_copy(update={"path": data.path or stored.data.path})
    config = config.model_copy(update={"data": data}).with_absolute_paths()
    write_atomic(run.config_file, to_yaml(config))
    return run, config


def _train_inline(
    job: TrainingJob, options: TrainOptions, display: Callable[[str], None] | None
) -> FitResult:
    config = job.config
    use_gpu = config.run.use_gpu == "yes" or (
        config.run.use_gpu == "auto" and torch.cuda.is_available()
    )
    if use_gpu and not torch.cuda.is_available():
        raise ConfigError("run.use_gpu: yes", found="no CUDA device", remedy="set it to auto")
    world = World(device=find_device("cuda" if use_gpu else "cpu"))
    with stop_requested() as stop:
        return train_in_this_process(
            job,
            world,
            report=options.report,
            display=display,
            announce=options.announce,
            stop=stop,
        )


def _outcome(run: RunDir, config: Config, result: FitResult) -> TrainOutcome:
    best = best_entry(run.checkpoints, config.train.select_mode)
    last = last_entry(run.checkpoints)
    metrics = result.metrics if best is None else read_meta(best.path)["metrics"]
    return TrainOutcome(
        run_dir=run,
        best_checkpoint=best.path if best else None,
        last_checkpoint=last.path if last else None,
        metrics=metrics,
        status=result.status,
        reason=result.reason,
    )


def _end_status(run: RunDir, state: str, reason: str) -> None:
    """Say how the run ended, if the disk still takes it; the error itself is raised anyway."""
    try:
        run.set_status(state, reason)
        push(run.path)
    except (OSError, StorageError) as error:
        log.warning("%s cannot be written: %s", run.path / "status.json", error)
