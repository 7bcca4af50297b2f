"""What a run has cost and reached, as metrics beside its others.

The costs are seconds, device hours and images per second. `best/...` is the selection metric at
the epoch that was kept: tables of the tracking server show the last value of a metric, which is
not the one that runs are ranked by.

They are lines of `metrics.jsonl`, so they reach the tracking server as every metric does: once.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from smil_ray.config import Config
from smil_ray.errors import SmilRayError
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import MetricRow, read_metrics

SECONDS, DEVICE_HOURS, IMAGES_PER_S = "cost/seconds", "cost/device_hours", "cost/images_per_s"
EPOCH_SECONDS, EPOCH_RATE = "train/epoch/seconds", "train/epoch/samples_per_s"


def write_cost(
    run: RunDir, seconds: float, device_hours: float, others: Mapping[str, float] = {}
) -> None:
    """Add a line with what a run that has ended has cost in all, and its best value.

    Args:
        run: The run folder.
        seconds: Wall time of all attempts.
        device_hours: GPU hours, or CPU-core hours where the run had no GPU.
        others: Further costs by name, such as `cost/parameters`.
    """
    rows = read_metrics(run.path)
    figures = {**others, **_best(run, rows), SECONDS: seconds, DEVICE_HOURS: device_hours}
    rate = images_per_second(rows)
    if rate is not None:
        figures[IMAGES_PER_S] = rate
    last = max(rows, key=lambda row: row.step, default=None)
    run.append_metrics(
        0 if last is None else last.step, figures, epoch=0.0 if last is None else last.epoch
    )


@contextmanager
def recorded_cost(run: RunDir, config: Config) -> Iterator[None]:
    """Add the cost of the training that the block runs, however it ends, to its earlier one."""
    began = time.monotonic()
    before = cost_of(read_metrics(run.path))
    try:
        yield
    finally:
        seconds = time.monotonic() - began
        hours = seconds * devices_of(run, config) / 3600
        write_cost(run, before.get(SECONDS, 0.0) + seconds, before.get(DEVICE_HOURS, 0.0) + hours)


def devices_of(run: RunDir, config: Config) -> float:
    """Return how many GPUs a run has trained on, or its CPU cores where it had none."""
    workers = config.run.num_workers
    on_gpu = str(run.facts().get("device", "cpu")).startswith("cuda")
    return float(workers) if on_gpu else workers * config.run.cpus_per_worker


def cost_of(rows: Sequence[MetricRow]) -> dict[str, float]:
    """Return the newest cost figures among the metric lines of a run."""
    found: dict[str, float] = {}
    for row in rows:
        found.update({key: row.metrics[key] for key in COSTS if key in row.metrics})
    return found


def images_per_second(rows: Sequence[MetricRow]) -> float | None:
    """Return the training speed over all epochs, None where no epoch has ended."""
    seconds = images = 0.0
    for row in rows:
        if EPOCH_SECONDS in row.metrics and EPOCH_RATE in row.metrics:
            seconds += row.metrics[EPOCH_SECONDS]
            images += row.metrics[EPOCH_SECONDS] * row.metrics[EPOCH_RATE]
    return images / seconds if seconds > 0 else None


def _best(run: RunDir, rows: Sequence[MetricRow]) -> dict[str, float]:
    """Return the best value of the metric that the run selects by, under a name of its own."""
    try:
        train = run.load_config().train
    except SmilRayError:
        return {}
    name = train.select_metric
    values = [row.metrics[name] for row in rows if math.isfinite(row.metrics.get(name, math.nan))]
    if not values:
        return {}
    choose = min if train.select_mode == "min" else max
    return {f"best/{name.removeprefix('val/')}": choose(values)}


COSTS = (SECONDS, DEVICE_HOURS, IMAGES_PER_S)
