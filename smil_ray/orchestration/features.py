"""Compute the features of a frozen backbone on all devices, before any run needs them.

Every worker is a whole builder: it takes files of the cache that nobody holds. Workers may die,
and runs that need the same cache may build along.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import ray
import torch
from ray.exceptions import RayTaskError

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.core.device import find_device
from smil_ray.data.features.build import BuildHooks, is_complete, shard_path
from smil_ray.data.features.folder import check_limit
from smil_ray.data.features.key import FeatureKey
from smil_ray.errors import ConfigError, DataError, SmilRayError
from smil_ray.orchestration.cluster import cluster_resources, is_on_this_machine, start_ray
from smil_ray.storage.node_cache import cache_root
from smil_ray.training.assemble import assemble, open_data
from smil_ray.training.batches.features import (
    ensure_caches,
    keys_of,
    plan_features,
    shared_features,
)
from smil_ray.training.parts import Parts

THREADS = 4
"""CPU threads of a worker: more speed up one network only a little."""
POLL_S = 0.5

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FeatureReport:
    """What `build_features` left.

    Attributes:
        folders: The caches; two with augmentation, one otherwise.
        rows: Rows of features in them.
        bytes: Their size on the disk.
        workers: How many processes computed; 0 if everything was there.
        seconds: How long it took.
    """

    folders: tuple[Path, ...]
    rows: int
    bytes: int
    workers: int
    seconds: float


def _say_nothing(line: str) -> None:
    """Do nothing."""


def build_features(
    config: Config,
    *,
    address: str | None = None,
    num_workers: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    announce: Callable[[str], None] = _say_nothing,
) -> FeatureReport:
    """Build the feature caches that runs of `config` would use with a frozen backbone.

    Args:
        config: The configuration; its backbone counts as frozen.
        address: Ray cluster, see `orchestration.cluster`; one on this machine is started only
            where several workers are of use.
        num_workers: Processes; 1 computes in this one; None takes one for each GPU, or one for
            every few CPUs where there are none.
        device: `auto` (all GPUs of the machine or cluster, CPUs where there are none), `cpu`,
            `cuda`, or `cuda:N`, which is one GPU of this machine.
        progress: Called with (finished, all) rows.
        announce: Called with a line for people for each cache that is missing.

    Raises:
        ConfigError: The configuration is at odds with itself or the data, or there is no such
            device.
        CacheLimitError: The caches would be too large.
        DataError: A sample cannot be read, or the caches cannot be written.
    """
    if num_workers is not None and num_workers < 1:
        raise ConfigError("num_workers", expected="1 or more", found=num_workers)
    place = _Place.of(address, num_workers, device)
    start = perf_counter()
    config = _frozen(config)
    parts = _parts(config)
    keys = keys_of(plan_features(parts, config))
    root = cache_root(config.data.feature_cache_dir)
    folders = tuple(root / key.folder_name for key in keys)
    workers = 0
    missing = [key for key in keys if not is_complete(root / key.folder_name)]
    if missing:
        check_limit(root, keys, config.data.feature_cache_limit_gb)
        for key in missing:
            announce(key.describe_build())
        workers = _build(parts, config, keys, place, progress)
    return FeatureReport(
        folders=folders,
        rows=sum(key.rows for key in keys),
        bytes=sum(path.stat().st_size for folder in folders for path in folder.iterdir()),
        workers=workers,
        seconds=perf_counter() - start,
    )


@dataclass(frozen=True)
class _Place:
    """Where features are computed.

    Attributes:
        address: Ray cluster.
        workers: Processes, None for as many as there are devices.
        device: `cpu`, `cuda` or `auto`, on whatever machine; a single GPU has its number.
        here: This process computes alone, on this device; None: workers do on Ray.
    """

    address: str | None
    workers: int | None
    device: str
    here: torch.device | None

    @classmethod
    def of(cls, address: str | None, workers: int | None, device: str) -> "_Place":
        """Return the place that was asked for; see `build_features` for the errors."""
        is_local = is_on_this_machine(address)
        if device not in ("auto", "cuda", "cpu"):
            if workers not in (None, 1) or not is_local:
                raise ConfigError(
                    f"device {device}",
                    expected="one process on this machine",
                    found=f"{workers or 'several'} workers",
                    remedy="choose cuda, which is all GPUs, or leave out --num-workers, --address",
                )
            return cls(address, 1, device, find_device(device))
        if device == "cuda" and (is_local or workers == 1):
            find_device(device)
        alone = workers == 1 or (workers is None and is_local and _has_one_device(device))
        return cls(address, workers, device, find_device(device) if alone else None)


def _build(
    parts: Parts,
    config: Config,
    keys: tuple[FeatureKey, ...],
    place: _Place,
    progress: Progress | None,
) -> int:
    report_progress = _ProgressCounter(config, keys, progress)
    if place.here is not None:
        hooks = BuildHooks(progress=lambda *_: report_progress())
        ensure_caches(parts, config, plan_features(parts, config), place.here, hooks)
        return 1
    with start_ray(place.address):
        return _build_on_ray(config, keys, place, report_progress)


def _has_one_device(device: str) -> bool:
    """Whether one process here does it all, so that Ray is not needed."""
    gpus = 0 if device == "cpu" else torch.cuda.device_count()
    return gpus == 1 or (gpus == 0 and (os.cpu_count() or 1) < 2 * THREADS)


def _build_on_ray(
    config: Config,
    keys: tuple[FeatureKey, ...],
    place: _Place,
    report_progress: "_ProgressCounter",
) -> int:
    have = cluster_resources()
    gpus = 0 if place.device == "cpu" else int(have.get("GPU", 0))
    cpus = int(have.get("CPU", 1))
    if place.device == "cuda" and not gpus:
        raise ConfigError(
            "device cuda", expected="a Ray cluster with GPUs", found="none", remedy="choose auto"
        )
    count = place.workers or gpus or max(1, cpus // THREADS)
    options: dict[str, Any] = {"max_retries": 3, "num_cpus": min(THREADS, max(1, cpus // count))}
    if gpus:
        options |= {"num_gpus": min(1.0, gpus / count), "num_cpus": 1}
    task: Any = ray.remote(**options)(_build_part)
    step = max(1, max(len(key.shards) for key in keys) // count)
    threads, device = options["num_cpus"], place.device if gpus else "cpu"
    waiting = [task.remote(config, number * step, threads, device) for number in range(count)]
    while waiting:
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=POLL_S)
        report_progress()
        for finished in ready:
            _check(finished)
    _check_here(config, keys)
    return count


def _check_here(config: Config, keys: tuple[FeatureKey, ...]) -> None:
    """Fetch what other nodes left in an object store; refuse where they left it nowhere."""
    root = cache_root(config.data.feature_cache_dir)
    if all(is_complete(root / key.folder_name) for key in keys):
        return
    if shared_features(config) is not None:
        parts = _parts(config)
        ensure_caches(parts, config, plan_features(parts, config))
        return
    for key in keys:
        if not is_complete(root / key.folder_name):
            raise DataError(
                f"feature cache {root / key.folder_name} is not on this machine",
                remedy="set data.feature_cache_dir to storage that all nodes of the cluster see, "
                "or run.output_dir to an object store",
            )


def _build_part(config: Config, first: int, threads: int, device: str) -> None:
    """Build the caches in a Ray task, together with the other tasks."""
    found = find_device(device)
    if found.type == "cpu":
        torch.set_num_threads(threads)
    parts = _parts(config)
    hooks = BuildHooks(start=first)
    ensure_caches(parts, config, plan_features(parts, config), found, hooks)


def _parts(config: Config) -> Parts:
    model = SmilModel.open(config.body.model)
    return assemble(config, open_data(config, model), model)


def _frozen(config: Config) -> Config:
    """Return the configuration with absolute paths, because workers have another folder."""
    backbone = config.model.backbone.model_copy(update={"freeze": True})
    model = config.model.model_copy(update={"backbone": backbone})
    root = str(cache_root(config.data.feature_cache_dir))
    data = config.data.model_copy(update={"feature_cache_dir": root})
    return config.model_copy(update={"data": data, "model": model}).with_absolute_paths()


def _check(task: Any) -> None:
    """Raise a worker's own error where that is one sentence for a person."""
    try:
        ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, SmilRayError):
            raise error.cause from None
        raise


class _ProgressCounter:
    """Says how many rows there are, counting files: several processes write them."""

    def __init__(
        self, config: Config, keys: tuple[FeatureKey, ...], progress: Progress | None
    ) -> None:
        self._root = cache_root(config.data.feature_cache_dir)
        self._keys = keys
        self._progress = progress

    def __call__(self) -> None:
        if self._progress is None:
            return
        done = 0
        for key in self._keys:
            folder = self._root / key.folder_name
            made = (r for n, r in enumerate(key.shards) if shard_path(folder, n).is_file())
            done += sum(len(rows) for rows in made)
        self._progress(done, sum(key.rows for key in self._keys))
