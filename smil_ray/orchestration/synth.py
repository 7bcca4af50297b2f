"""Write a synthetic data set in replicAnt's format, in parallel on Ray, resumable."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import orjson
import ray
import torch
from threadpoolctl import threadpool_limits

from smil_ray.data.synthetic.animal import RenderBody
from smil_ray.data.synthetic.samples import (
    SynthOptions,
    batch_file,
    open_render_body,
    render_sample,
)
from smil_ray.errors import ConfigError, DataError
from smil_ray.orchestration.cluster import cluster_cpus, is_on_this_machine, start_ray
from smil_ray.orchestration.task_pool import results_of

CHUNK = 16
"""Samples per task: half a second of work or so, which keeps progress smooth and overhead low."""
MIN_FOR_RAY = 100
"""With fewer samples than this, starting Ray takes longer than the work."""
RECORD = ".smil_ray_synth.json"
"""Hidden file with the options of the data set, so that another run cannot mix with it."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SynthReport:
    """What `synthesize` did: samples written now, found complete from before, and seconds."""

    folder: Path
    written: int
    kept: int
    seconds: float


def synthesize(
    out: Path,
    options: SynthOptions,
    num_workers: int | None = None,
    *,
    address: str | None = None,
    progress: Progress | None = None,
) -> SynthReport:
    """Write the data set of `options` into the folder `out`, and return what was done.

    Samples that are already complete stay as they are: started again after an interruption,
    the job does the rest. The files do not depend on the number of workers.

    Args:
        out: Folder; made if it is missing. On a cluster it is shared by all nodes.
        options: What to write.
        num_workers: Tasks at a time; 1 works in this process, without Ray; None takes as many
            as this process may use cores (on a cluster: all of its), or 1 where that is quicker.
        address: Ray cluster; see `orchestration.cluster`.
        progress: Called with (done, all) samples.

    Raises:
        ConfigError: `num_workers` is below 1.
        DataError: The folder holds another data set, or cannot be written.
    """
    if num_workers is not None and num_workers < 1:
        raise ConfigError("num_workers", expected="1 or more", found=num_workers)
    start = perf_counter()
    out = Path(out).absolute()
    options = _with_absolute_paths(options)  # Workers have another working directory.
    _claim(out, options)
    done = {path.name for path in out.iterdir()}
    missing = [i for i in range(options.samples) if f"{options.stem(i)}.json" not in done]
    kept = options.samples - len(missing)
    chunks = [missing[at : at + CHUNK] for at in range(0, len(missing), CHUNK)]
    finished = kept
    if num_workers is None:
        num_workers = _default_workers(len(missing), address)
    for count in _run(out, options, chunks, num_workers, address):
        finished += count
        if progress is not None:
            progress(finished, options.samples)
    # The batch file is last: where it is, the data set is complete.
    name, content = batch_file(options)
    _write(out / name, content)
    return SynthReport(out, len(missing), kept, perf_counter() - start)


def _default_workers(missing: int, address: str | None) -> int | None:
    """Return 1 where that is quicker, else the cores here; None: those of a cluster."""
    if missing < MIN_FOR_RAY:
        return 1
    return len(os.sched_getaffinity(0)) if is_on_this_machine(address) else None


def _run(
    out: Path,
    options: SynthOptions,
    chunks: list[list[int]],
    workers: int | None,
    address: str | None,
) -> Iterator[int]:
    """Yield the size of every chunk when it is written; use nodes that come while it runs."""
    if workers == 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield _write_chunk(out, options, chunk)
        return
    with start_ray(address, num_cpus=workers):
        task: Any = ray.remote(num_cpus=1, max_retries=3)(_write_chunk)
        calls = ((out, options, chunk) for chunk in chunks)
        yield from results_of(task, calls, lambda: workers or cluster_cpus())


def _write_chunk(out: Path, options: SynthOptions, indices: list[int]) -> int:
    render_body = _render_body(options)
    with _one_thread():
        for index in indices:
            for name, content in render_sample(render_body, options, index).named().items():
                _write(out / name, content)
    return len(indices)


def _with_absolute_paths(options: SynthOptions) -> SynthOptions:
    paths = {"joint_limits": options.joint_limits, "pose_from": options.pose_from}
    if options.model != "builtin":
        paths["model"] = options.model
    absolute = {key: str(Path(path).absolute()) for key, path in paths.items() if path is not None}
    return options.model_copy(update=absolute)


def _render_body(options: SynthOptions) -> RenderBody:
    """One body model per process."""
    kept = {"model", "pose_range", "joint_limits", "pose_from", "pose_spread"}
    return _cached_render_body(options.model_dump_json(include=kept))


@lru_cache(maxsize=1)
def _cached_render_body(options_json: str) -> RenderBody:
    return open_render_body(SynthOptions.model_validate_json(options_json))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread per task: sums get the same bits in every process, and cores are not shared."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _claim(out: Path, options: SynthOptions) -> None:
    """Write the options into the folder, or check that it was started with the same ones."""
    record = out / RECORD
    render_body = _render_body(options)
    facts = options.model_dump(mode="json") | {
        "model_hash": render_body.model.content_hash,
        "poses_hash": render_body.poses.content_hash,
    }
    wanted = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if record.is_file():
            found = record.read_bytes()
            if found != wanted:
                raise DataError(
                    f"{out}: holds a synthetic data set of other options",
                    expected=wanted.decode(),
                    found=found.decode(errors="replace"),
                    remedy="choose another folder",
                )
            for unfinished in out.glob(".*.tmp"):  # Of a run that was killed.
                unfinished.unlink(missing_ok=True)
            return
        if any(path.name.startswith(f"{options.name}_") for path in out.iterdir()):
            raise DataError(
                f"{out}: already has files named {options.name}_*", remedy="choose another folder"
            )
        _write(record, wanted)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there completely or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
