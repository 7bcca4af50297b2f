"""The doctor's examination of many entries, in parallel on Ray, in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import ray

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import LabelConfig
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.doctor.examination import Progress, examine, examine_entry
from smil_ray.data.doctor.findings import EntryReport
from smil_ray.data.doctor.report import DoctorReport
from smil_ray.data.entries import AnyEntry
from smil_ray.orchestration.cluster import cluster_cpus, is_on_this_machine, start_ray

CHUNK = 16
"""Entries per task: about half a second of work at 1024 px."""
MIN_FOR_RAY = 300
"""With fewer entries than this, starting Ray takes longer than the work."""

Examine = Callable[[AnyEntry], EntryReport]


@dataclass(frozen=True)
class _Facts:
    """What reading needs of a body model, without its arrays."""

    skeleton: Skeleton
    n_betas: int
    body_length: float


def examine_in_parallel(
    folder: Path | str,
    model: SmilModel | str | Path,
    *,
    num_workers: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
    limit: int | None = None,
    labels: LabelConfig | None = None,
) -> DoctorReport:
    """Return what `data.doctor.examination.examine` returns, found by several processes.

    Args:
        folder: A replicAnt data set or a file of labels; on a cluster where all nodes see it.
        model: The body model that the labels shall fit, or its file.
        num_workers: Tasks at a time; 1 works in this process, without Ray; None takes as many
            as this process may use cores (on a cluster: all of its), or 1 where that is quicker.
        address: Ray cluster; see `orchestration.cluster`.
        progress: Called with (done, total) entries.
        limit: Examine only the first entries.
        labels: What a file of labels means.

    Raises:
        DataError: There is no annotated picture.
    """
    body = SmilModel.open(model)

    def in_parallel(function: Examine, entries: Sequence[AnyEntry]) -> Iterator[EntryReport]:
        workers = num_workers
        if workers is None and len(entries) < MIN_FOR_RAY:
            workers = 1
        elif workers is None and is_on_this_machine(address):
            workers = len(os.sched_getaffinity(0))
        if workers == 1:
            yield from map(function, entries)
            return
        with start_ray(address, num_cpus=workers):
            yield from _map(body, entries, workers or cluster_cpus())

    folder = Path(folder).absolute()  # Workers have another working directory.
    return examine(
        folder, body, map_function=in_parallel, progress=progress, limit=limit, labels=labels
    )


def _map(model: SmilModel, entries: Sequence[AnyEntry], workers: int) -> Iterator[EntryReport]:
    """Give the results in the order of the entries, with few chunks waiting at a time."""
    task: Any = ray.remote(num_cpus=1, max_retries=3)(_examine_chunk)
    facts = ray.put(_Facts(model.skeleton, model.n_betas, model.body_length))
    chunks = (entries[at : at + CHUNK] for at in range(0, len(entries), CHUNK))
    running = deque(task.remote(facts, chunk) for chunk in islice(chunks, 2 * workers))
    while running:
        reports = ray.get(running.popleft())
        running.extend(task.remote(facts, chunk) for chunk in islice(chunks, 1))
        yield from reports


def _examine_chunk(facts: _Facts, entries: Sequence[AnyEntry]) -> list[EntryReport]:
    cv2.setNumThreads(1)
    return [examine_entry(entry, facts) for entry in entries]
