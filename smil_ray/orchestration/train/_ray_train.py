"""A training run on Ray Train: workers, GPUs, and going on after a worker died.

Checkpoints are this package's own and lie in the run folder; a worker that starts goes on from the
newest one. Ray Train places the workers, connects them and restarts them.
"""

import json
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray.exceptions
import ray.train
import ray.train.torch
import torch
import torch.distributed

from smil_ray.config import Config
from smil_ray.config.addresses import joined
from smil_ray.errors import ConfigError, SmilRayError
from smil_ray.orchestration.cluster import (
    chosen_address,
    cluster_resources,
    record_node,
    start_ray,
)
from smil_ray.orchestration.train._interface import ClusterTorchConfig
from smil_ray.orchestration.train._stopping import stop_requested
from smil_ray.orchestration.train.build_notes import BuildNotes
from smil_ray.orchestration.train.worker import (
    STOP_FILE,
    TrainingJob,
    train_in_this_process,
)
from smil_ray.storage.mirror import LIVE_FILES, address_of, pull, push, work_copy
from smil_ray.storage.store import listing
from smil_ray.tracking.run_dir import CLUSTER_LOCK_S, RunDir, write_atomic
from smil_ray.training.reports import EpochReport, FitResult
from smil_ray.training.world import World

POLL_S = 0.5
PULL_S = 2.0
"""Seconds between two looks into an object store at what the workers say."""
WORK = "work_train"
"""Where a worker has its copy of the run's folder in the node's cache."""
CONTROLLER_FAILURES = 2
"""Ray Train asks for resources that never come for ever, unless it is told how often."""
ERROR_FILE = "error.json"
"""A mistake that a restart would only repeat; workers that find it end at once."""


class TrainingFailedError(SmilRayError):
    """Workers died more often than `run.max_failures` allows."""


def train_with_ray(
    job: TrainingJob,
    address: str | None,
    display: Callable[[str], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> FitResult:
    """Run a job on Ray Train and return how it ended.

    SIGTERM and Ctrl-C let the workers save a checkpoint and end.

    Raises:
        ConfigError: The machine cannot hold the workers.
        TrainingFailedError: Workers failed more than `run.max_failures` times.
        SmilRayError: What a worker raised.
    """
    job = replace(job, lock_wait_s=CLUSTER_LOCK_S)
    is_fixed = chosen_address(address) == "local"
    with start_ray(address):
        resources = worker_resources(job.config)
        if is_fixed:
            _check_fits(job.config, resources)
        trainer = _trainer(job, resources)
        found = _fit_in_thread(trainer, RunDir.open(job.run), display, announce)
    return _result(found, job)


def worker_resources(config: Config) -> dict[str, float]:
    """Return what each worker needs of the Ray in use, e.g. `{"CPU": 1.0, "GPU": 1.0}`."""
    resources = {"CPU": config.run.cpus_per_worker}
    has_gpu = cluster_resources().get("GPU", 0.0) >= 1.0
    if config.run.use_gpu == "yes" or (config.run.use_gpu == "auto" and has_gpu):
        resources["GPU"] = 1.0
    return resources


def _train_loop(settings: dict[str, Any]) -> dict[str, Any]:
    """Run in every worker of the group; returns the `FitResult` as a dictionary."""
    job: TrainingJob = settings["job"]
    home: str | None = settings["home"]
    if home is not None:
        job = replace(job, run=work_copy(home, WORK))
    if (job.run / ERROR_FILE).exists():
        return {}
    context = ray.train.get_context()
    size, device = context.get_world_size(), ray.train.torch.get_device()
    host: Any = None
    if size > 1 and device.type == "cuda":
        host = torch.distributed.new_group(backend="gloo")
    world = World(context.get_world_rank(), size, device, host)
    # Processes of one node share its copy of the run's folder, which the first of them changes.
    world.barrier()
    if world.is_first:
        record_node(RunDir.open(job.run))
    try:
        result = train_in_this_process(job, world, report=_report)
    except SmilRayError as error:
        kind, text = type(error).__name__, str(error)
        write_atomic(job.run / ERROR_FILE, json.dumps({"kind": kind, "error": text}))
        push(job.run, ERROR_FILE)
        if world.size > 1:
            raise  # The other workers wait for this one until the group is ended.
        return {}
    return vars(result)


def _report(report: EpochReport) -> None:
    ray.train.report({"epoch": report.epoch, "step": report.step, **report.metrics})


def _trainer(job: TrainingJob, resources: dict[str, float]) -> ray.train.torch.TorchTrainer:
    run = job.config.run
    on_gpu = "GPU" in resources
    home = address_of(job.run)
    if home is None:
        attempts = str(job.run / "ray")
        (job.run / "ray").mkdir(exist_ok=True)
        number = len(list((job.run / "ray").iterdir()))
    else:
        attempts = joined(home, ".ray")
        number = len({name.partition("/")[0] for name in listing(attempts)})
    return ray.train.torch.TorchTrainer(
        _train_loop,
        train_loop_config={"job": job, "home": home},
        torch_config=ClusterTorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=run.num_workers, use_gpu=on_gpu, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            # Ray resumes by itself what has the same name; this package decides that instead.
            name=f"attempt_{number + 1:03d}",
            storage_path=attempts,
            failure_config=ray.train.FailureConfig(
                max_failures=run.max_failures, controller_failure_limit=CONTROLLER_FAILURES
            ),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )


def _fit_in_thread(
    trainer: ray.train.torch.TorchTrainer,
    run: RunDir,
    display: Callable[[str], None] | None,
    announce: Callable[[str], None] | None,
) -> dict[str, Any]:
    """Run `trainer.fit` beside the main thread, which shows progress and hears signals."""
    found: dict[str, Any] = {}

    def target() -> None:
        try:
            found["result"] = trainer.fit()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            found["error"] = error

    thread = threading.Thread(target=target, name="ray-train", daemon=True)
    shown, looked = "", time.monotonic()
    notes = None if announce is None else BuildNotes(announce)
    if notes is not None:
        notes.skip(run)
    with stop_requested() as stop:
        thread.start()
        while thread.is_alive():
            thread.join(POLL_S)
            if stop() and not (run.path / STOP_FILE).exists():
                (run.path / STOP_FILE).touch()
                push(run.path, STOP_FILE)
            if time.monotonic() - looked >= PULL_S:
                pull(run.path, *LIVE_FILES)
                looked = time.monotonic()
            if notes is not None:
                notes.say_new(run)
            opening = run.facts().get("opening") if announce is not None else None
            if announce is not None and opening is not None:
                announce(opening)
                announce = None
            line = run.status().get("line", "")
            if display is not None and line != shown:
                display(line)
                shown = line
    (run.path / STOP_FILE).unlink(missing_ok=True)
    push(run.path)
    pull(run.path)
    return found


def _result(found: dict[str, Any], job: TrainingJob) -> FitResult:
    mistake = job.run / ERROR_FILE
    if mistake.exists():
        told = json.loads(mistake.read_text(encoding="utf-8"))
        mistake.unlink()
        push(job.run)
        raise _rebuilt(told["kind"], told["error"])
    error = found.get("error")
    if isinstance(error, (ray.train.TrainingFailedError, ray.exceptions.RayError)):
        raise TrainingFailedError(
            f"Training in {job.run} failed: {_first_line(error)}",
            remedy=f"go on with it by --resume {shlex.quote(str(job.run))}",
        ) from error
    if error is not None:
        raise error
    return FitResult(**found["result"].return_value)


def _rebuilt(kind: str, text: str) -> SmilRayError:
    """Return a worker's error with its own class, where this package has it."""
    kinds = [SmilRayError]
    for known in kinds:
        kinds.extend(known.__subclasses__())
    found = next((known for known in kinds if known.__name__ == kind), SmilRayError)
    error = found.__new__(found)
    Exception.__init__(error, text)
    return error


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _check_fits(config: Config, resources: dict[str, float]) -> None:
    """Refuse at once what would wait for ever on a machine that cannot grow."""
    have = cluster_resources()
    for name, each in resources.items():
        wanted = each * config.run.num_workers
        if wanted > have.get(name, 0.0):
            raise ConfigError(
                f"run.num_workers {config.run.num_workers} with {each:g} {name} each",
                expected=f"at most the {have.get(name, 0.0):g} {name} of this machine",
                found=f"{wanted:g}",
                remedy="lower run.num_workers or run.cpus_per_worker, or give --address",
            )
