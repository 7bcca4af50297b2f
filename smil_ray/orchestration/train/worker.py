"""One process of a training run, the same in a Ray Train worker and inline.

It opens the data, goes on from the newest checkpoint in the run folder (a new run has none), and
if it is the first process it alone writes the run folder.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config.addresses import joined
from smil_ray.data.features.build import BuildHooks, BuildStoppedError
from smil_ray.orchestration.train.build_notes import write_build_note
from smil_ray.orchestration.train.recorder import (
    Recorder,
    check_same_data,
    kept_in_store,
    record_start,
)
from smil_ray.storage.mirror import address_of, push
from smil_ray.storage.store import find
from smil_ray.tracking.run_dir import LOCK_S, RunDir
from smil_ray.training.assemble import assemble, open_data
from smil_ray.training.batches.features import with_cached_features
from smil_ray.training.checkpoint.files import Checkpoint
from smil_ray.training.checkpoint.folder import load_newest
from smil_ray.training.checkpoint.inputs import open_body_model
from smil_ray.training.loop import fit
from smil_ray.training.parts import SampleSource
from smil_ray.training.reports import EpochReport, FitResult, Hooks
from smil_ray.training.world import World

STOP_FILE = "stop_requested"
"""A file of this name in the run folder asks the workers for a checkpoint and an orderly end."""
STOPPED_EARLY = "asked to stop while features were computed; resume to go on"

OpenData = Callable[[Config, SmilModel], SampleSource]


@dataclass(frozen=True)
class TrainingJob:
    """What every process of a run is told; it travels to the workers by pickle.

    Attributes:
        run: The run folder, on storage that all of them see, or with a place in an object store.
        config: The resolved configuration, data path absolute.
        model: The body model; None opens the run folder's, or else `config.body.model`.
        open_data: Opens the data set in each process.
        lock_wait_s: How long to wait for a former writer of the run folder.
    """

    run: Path
    config: Config
    model: SmilModel | None = None
    open_data: OpenData = open_data
    lock_wait_s: float = LOCK_S


def train_in_this_process(
    job: TrainingJob,
    world: World,
    *,
    report: Callable[[EpochReport], None] | None = None,
    display: Callable[[str], None] | None = None,
    announce: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> FitResult:
    """Train as one process of a run until it ends; see `training.loop.fit` for the errors.

    Args:
        job: What to train.
        world: This process among the others, and its device.
        report: Called after each epoch, in every process.
        display: Shows a progress line.
        announce: Called with what is said before the first step: which features are computed to
            be cached, and what `record_start` says.
        stop: Asked before each step whether to end with a checkpoint.
    """
    run, config = RunDir.open(job.run), job.config
    fix_workspaces(config, world)
    with compute_threads(config, world), _sole_writer(job, world):
        resume = load_newest(run.checkpoints)
        model = job.model or open_body_model(config, run.path)
        data = job.open_data(config, model)
        parts = assemble(config, data, model, world.device, resume=resume)
        check_same_data(resume, parts)
        stop = stop or _StopFile(run)
        build = _build_hooks(run, world, (display, announce), stop)
        try:
            parts = with_cached_features(parts, config, world.device, hooks=build)
            is_stopped = False
        except BuildStoppedError:
            is_stopped = True
        if any(world.any(is_stopped)):
            return FitResult("stopped", STOPPED_EARLY, *_begun(resume))
        # The first process rewrites files only after every process has read them.
        world.barrier()
        hooks = Hooks(report=report or _ignore, stop=stop)
        if world.is_first:
            summary = record_start(run, parts, resume)
            if announce is not None:
                announce(summary)
            hooks = kept_in_store(run.path, Recorder(run, config, parts, display).hooks(hooks))
        result = fit(parts, config, folder=run.path, hooks=hooks, resume=resume, world=world)
        if world.is_first:
            push(run.path)
        return result


def _ignore(_: EpochReport) -> None:
    """Do nothing."""


def _build_hooks(
    run: RunDir,
    world: World,
    said: tuple[Callable[[str], None] | None, Callable[[str], None] | None],
    stop: Callable[[], bool],
) -> BuildHooks:
    """Return the hooks of a build; `said` shows progress and announces, where there is a terminal.

    Elsewhere both are left in the run's folder, where the driver finds them.
    """
    if not world.is_first:
        return BuildHooks(stop=stop, start=world.rank)
    display, announce = said

    def show(done: int, total: int) -> None:
        line = f"features of the frozen backbone: {done}/{total}"
        if display is None:
            run.set_status("running", line=line)
        else:
            display(line)

    def say(line: str) -> None:
        write_build_note(run, line)
        if announce is not None:
            announce(line)

    return BuildHooks(show, stop, announce=say)


def _begun(resume: Checkpoint | None) -> tuple[int, int]:
    """Return finished epochs and steps."""
    if resume is None:
        return 0, 0
    return resume.state["position"]["epoch"], resume.state["position"]["step"]


class _StopFile:
    """Says whether the run folder, or its store, holds the stop file, looking now and then."""

    def __init__(self, run: RunDir) -> None:
        self._file = run.path / STOP_FILE
        self._home = address_of(run.path)
        self._pause_s = 0.5 if self._home is None else 2.0
        self._looked = 0.0
        self._found = False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self._found and now - self._looked >= self._pause_s:
            self._looked = now
            self._found = self._file.exists() or (
                self._home is not None and find(joined(self._home, STOP_FILE)) is not None
            )
        return self._found


@contextlib.contextmanager
def _sole_writer(job: TrainingJob, world: World) -> Iterator[None]:
    with (
        RunDir.open(job.run).lock(job.lock_wait_s) if world.is_first else contextlib.nullcontext()
    ):
        yield


def fix_workspaces(config: Config, world: World) -> None:
    """Let cuBLAS add up in the same order each time, where `train.deterministic` asks for it.

    PyTorch looks at this before its first product on a GPU, and would warn later.
    """
    if config.train.deterministic and world.device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextlib.contextmanager
def compute_threads(config: Config, world: World) -> Iterator[None]:
    """Compute with as many threads as the run's CPUs: sums depend on their number."""
    before = torch.get_num_threads()
    if world.device.type == "cpu":
        torch.set_num_threads(max(1, int(config.run.cpus_per_worker)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
