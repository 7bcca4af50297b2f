"""Reading back what the tracking server holds: the runs of an experiment, one run's records."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlflow.entities import Run, ViewType

from smil_ray.errors import ConfigError
from smil_ray.tracking.run_dir import write_atomic
from smil_ray.tracking.sync.state import STATE_FILE, SyncState
from smil_ray.tracking.sync.tags import FOLDER_TAG, KIND_TAG
from smil_ray.tracking.tracker import KEY_TAG, PARENT_TAG, REASON_TAG, Tracker

MOST_RUNS = 10_000
RECORDS = ("config.yaml", "run.json", "splits.json", "metrics.jsonl", "status.json", "diff.patch")
"""Files that tell a run: without its pictures and its weights."""


@dataclass(frozen=True)
class TrackedRun:
    """One run as the server knows it.

    Attributes:
        run_id: The server's identifier.
        name: Its name, after its sweep's where it is part of one.
        kind: `sweep`, `trial`, `final` or `train`.
        status: The server's word: RUNNING, FINISHED, FAILED, KILLED, SCHEDULED.
        reason: Why it failed or was stopped.
        folder: Its run folder if that is on this machine, else None.
    """

    run_id: str
    name: str
    kind: str
    status: str
    reason: str | None
    folder: Path | None


def find_runs(tracker: Tracker) -> list[TrackedRun]:
    """Return the runs of the tracker's experiment that belong to this package, oldest first.

    Raises:
        ConfigError: There is no such experiment; the ones that are there are named.
        TrackingError: The server is away.
    """
    with tracker.calls() as client:
        experiment = client.get_experiment_by_name(tracker.experiment)
        if experiment is None:
            known = [found.name for found in client.search_experiments(ViewType.ACTIVE_ONLY)]
            near = get_close_matches(tracker.experiment, known, n=1, cutoff=0.5)
            raise ConfigError(
                f"No sweep folder and no experiment in MLflow is named {tracker.experiment!r}",
                expected=f"one of {', '.join(sorted(known))} at {tracker.uri}",
                remedy=f"did you mean {near[0]}?" if near else "check the name, or give --uri",
            )
        found = client.search_runs(
            [experiment.experiment_id],
            max_results=MOST_RUNS,
            order_by=["attributes.start_time ASC"],
        )
    names = {run.info.run_id: run.info.run_name or run.info.run_id for run in found}
    return [_tracked(run, names) for run in found if KEY_TAG in run.data.tags]


def fetch_run(tracker: Tracker, run_id: str, folder: Path) -> Path:
    """Make a run folder of a run's records on the server: no weights, no pictures.

    Args:
        tracker: Where the run is; its experiment does not matter.
        run_id: The server's identifier.
        folder: Parent of the new folder, which is named after the run's identifier.

    Raises:
        ConfigError: The run is none of this package's.
        TrackingError: The server is away, or has no such run.
    """
    target = folder / run_id
    target.mkdir(parents=True, exist_ok=True)
    with tracker.calls() as client:
        run = client.get_run(run_id)
        there = {file.path for file in client.list_artifacts(run_id)}
        if "config.yaml" not in there:
            raise ConfigError(
                f"Run {run_id} at {tracker.uri} has no config.yaml",
                expected="a run that smil_ray has tracked",
                found=", ".join(sorted(there)) or "no files",
            )
        with tempfile.TemporaryDirectory(dir=target) as place:
            for name in RECORDS:
                if name in there:
                    client.download_artifacts(run_id, name, place)
                    (Path(place) / name).replace(target / name)
        if "metrics.jsonl" not in there:
            histories = {
                key: client.get_metric_history(run_id, key)
                for key in run.data.metrics
                if key.startswith(("val/", "cost/", "train/epoch/"))
            }
            write_atomic(target / "metrics.jsonl", _metric_lines(histories))
    if "run.json" not in there:
        write_atomic(target / "run.json", json.dumps({"name": run.info.run_name}))
    return target


def local_folder(run: Run) -> Path | None:
    """Return the run's folder if it is on this machine and still that run's."""
    text = run.data.tags.get(FOLDER_TAG)
    if not text or not (Path(text) / STATE_FILE).is_file():
        return None
    state = SyncState.load(Path(text))
    return Path(text) if state and state.key == run.data.tags[KEY_TAG] else None


def run_folder(tracker: Tracker, run_id: str) -> Path | None:
    """Return the folder of a run if it is on this machine.

    Raises:
        TrackingError: The server is away, or has no such run.
    """
    with tracker.calls() as client:
        return local_folder(client.get_run(run_id))


def _tracked(run: Run, names: Mapping[str, str]) -> TrackedRun:
    tags: Mapping[str, Any] = run.data.tags
    parent = names.get(tags.get(PARENT_TAG, ""))
    name = names[run.info.run_id]
    return TrackedRun(
        run_id=run.info.run_id,
        name=f"{parent}/{name}" if parent else name,
        kind=tags.get(KIND_TAG, "train"),
        status=run.info.status,
        reason=tags.get(REASON_TAG),
        folder=local_folder(run),
    )


def _metric_lines(histories: Mapping[str, list[Any]]) -> str:
    """Return histories of metrics as lines of metrics.jsonl; epochs are counted per metric.

    MLflow accepts no `@` in names; see `sync_metrics.entity_name`.
    """
    rows: dict[int, dict[str, Any]] = {}
    for key, points in histories.items():
        for epoch, point in enumerate(sorted(points, key=lambda point: point.step), start=1):
            row = rows.setdefault(
                point.step,
                {"step": point.step, "epoch": 0, "time": point.timestamp / 1000, "metrics": {}},
            )
            row["epoch"] = max(row["epoch"], epoch if key.startswith("val/") else 0)
            row["metrics"][key.replace("_at_", "@")] = point.value
    return "".join(json.dumps(rows[step]) + "\n" for step in sorted(rows))
