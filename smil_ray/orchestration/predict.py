"""Prediction on Ray: pictures and videos shared out to the CPUs or GPUs of a cluster.

This process plans, keeps rows and draws; tasks read and ask the network. What a task has done
when its node is lost is done again, by Ray; what was written stays.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
import torch

from smil_ray.errors import DataError
from smil_ray.orchestration.cluster import cluster_cpus, cluster_resources, start_ray
from smil_ray.orchestration.task_pool import results_of
from smil_ray.results.prediction.options import Portion, Work
from smil_ray.results.prediction.parts import Rows
from smil_ray.results.prediction.predict import Prediction
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.sources import Source
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor

PICTURES = 64
"""Pictures of a task: a multiple of the usual batches, so that they are those of one process."""


def spread_on_ray(loaded: LoadedRegressor, address: str | None = None) -> "RaySpread":
    """Return what `PredictOptions.spread` takes to work on Ray.

    Checkpoint, pictures and videos lie where all nodes find them under the same path. Where the
    cluster has GPUs, each task takes one, else a CPU.

    Args:
        loaded: The network.
        address: Ray cluster; see `orchestration.cluster`.
    """
    return RaySpread(loaded.path.absolute(), address)


@dataclass(frozen=True)
class RaySpread:
    """Shares work out to the tasks of a cluster; see `spread_on_ray`."""

    checkpoint: Path
    address: str | None

    def __call__(self, work: Work) -> Iterator[Portion]:
        """Yield what came of each piece of work, in the order in which they are done.

        Raises:
            SmilRayError: The cluster cannot be reached.
            DataError: A node does not have the checkpoint or the folder of the files.
        """
        with start_ray(self.address):
            has_gpus = cluster_resources().get("GPU", 0.0) >= 1.0
            needs: dict[str, Any] = {"num_gpus": 1} if has_gpus else {"num_cpus": 1}
            task: Any = ray.remote(**needs, max_retries=3)(_predict)
            shared = (self.checkpoint, "cuda" if has_gpus else "cpu", Path.cwd())
            calls = ((*shared, piece) for piece in pieces_of(work))
            yield from results_of(task, calls, _gpus if has_gpus else cluster_cpus)


def pieces_of(work: Work) -> Iterator[Work]:
    """Yield the work of each task: one video, or some pictures."""
    pictures: list[Source] = []
    for source in work.sources:
        if source.video is not None:
            yield _piece(work, [source])
            continue
        pictures.append(source)
        if len(pictures) == PICTURES:
            yield _piece(work, pictures)
            pictures = []
    if pictures:
        yield _piece(work, pictures)


def _piece(work: Work, sources: Sequence[Source]) -> Work:
    labels = {source.label for source in sources}
    done = frozenset(key for key in work.done if key[0] in labels)
    options = replace(work.options, spread=None)
    return replace(work, sources=tuple(sources), options=options, done=done)


def _gpus() -> int:
    return max(1, int(cluster_resources().get("GPU", 0.0)))


@dataclass
class _Kept:
    """Rows in memory."""

    rows: list[Rows] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        self.rows.append(rows)


def _predict(checkpoint: Path, device: str, folder: Path, work: Work) -> Portion:
    """Do a piece of work in a task of Ray; relative paths are meant from `folder`."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: not on this node ({ray.util.get_node_ip_address()})",
            found=error.strerror,
            remedy="give files on storage that all nodes share",
        ) from error
    if device == "cpu":
        torch.set_num_threads(1)
        work = replace(work, options=replace(work.options, threads=1))
    kept = _Kept()
    prediction = Prediction(_predictor(checkpoint, device), work, kept)
    prediction.run()
    return Portion(tuple(kept.rows), prediction.failed, prediction.n_frames)


@lru_cache(maxsize=1)
def _predictor(checkpoint: Path, device: str) -> Predictor:
    """Return the network; one in each process."""
    return Predictor.of(load_regressor(checkpoint, device=device))
