"""The training loop: plain PyTorch in one process of a run, whoever started it.

A run that is stopped at any moment and resumed ends as if it had not been: the order of samples
is a function of seed and epoch, random numbers of seed and step, loss weights and learning rate
of the position, and everything else is in the checkpoint.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from smil_ray.config import Config
from smil_ray.training.batches.stream import BatchStream
from smil_ray.training.checkpoint.files import Checkpoint
from smil_ray.training.parts import Parts
from smil_ray.training.reports import FitResult, Hooks
from smil_ray.training.run import Steps, TrainingRun
from smil_ray.training.step import NonFiniteStepError, non_finite_error
from smil_ray.training.world import World

SINGLE = World()


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
    with reproducible(config.train.deterministic, world.device):
        torch.manual_seed(config.train.seed)
        stream = BatchStream(parts, config, world)
        run = TrainingRun(parts, config, folder, hooks or Hooks(), world, stream.counts)
        if resume is not None:
            run.restore(resume)
        try:
            return _drive(run.steps(), stream)
        except NonFiniteStepError as problem:
            raise non_finite_error(problem, folder) from problem


@contextmanager
def reproducible(deterministic: bool, device: torch.device) -> Iterator[None]:
    """Let torch prefer deterministic kernels while the block runs, if asked to.

    Otherwise a GPU tries its convolutions out and takes the fastest ones.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_before = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill_before = memory.fill_uninitialized_memory
    tried_before = torch.backends.cudnn.benchmark
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        try:
            if deterministic:
                # Some CUDA kernels have no deterministic form; training goes on with those.
                torch.use_deterministic_algorithms(True, warn_only=True)
                # Filling fresh memory costs time and is of use only to code that reads it unset.
                memory.fill_uninitialized_memory = False
            elif device.type == "cuda":
                torch.backends.cudnn.benchmark = True
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn_before)
            memory.fill_uninitialized_memory = fill_before
            torch.backends.cudnn.benchmark = tried_before


def _drive(steps: Steps, stream: BatchStream) -> FitResult:
    """Hand a run the batches that it asks for."""
    try:
        request = next(steps)
        while True:
            request = steps.send(stream.take(request))
    except StopIteration as end:
        return end.value
