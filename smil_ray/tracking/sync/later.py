"""Send what lies on the disk: runs whose server was away, and runs that were never tracked."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smil_ray.config import TrackingConfig
from smil_ray.config.reading import read_yaml
from smil_ray.errors import ConfigError
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.run import RunSync, read_status
from smil_ray.tracking.sync.server import RunTracker
from smil_ray.tracking.sync.state import STATE_FILE, SyncState

RUN_FILES = (STATE_FILE, "run.json")


@dataclass
class SentRuns:
    """What was sent.

    Attributes:
        sent: Run folders that the server has completely now.
        in_use: Run folders that a process still writes: their own driver sends them.
        servers: Addresses that runs were sent to.
    """

    sent: list[Path] = field(default_factory=list)
    in_use: list[Path] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)


def send_later(folders: Sequence[Path], *, uri: str | None = None) -> SentRuns:
    """Send runs, sweeps and folders of runs to the tracking server; what it has is not sent again.

    Args:
        folders: Each a run folder, a sweep or a folder with such folders somewhere below it.
        uri: The server; default: the run's own `tracking.uri`, MLFLOW_TRACKING_URI, the server
            that the run was once sent to, `mlflow.db` in this folder.

    Raises:
        ConfigError: A folder holds no run.
        TrackingError: The server is away, or refuses a run.
    """
    places: dict[Path, None] = {}
    for folder in folders:
        found = _run_folders(folder.resolve())
        if not found:
            raise ConfigError(
                f"{folder} holds no run", expected=f"a folder with {RUN_FILES[1]} somewhere in it"
            )
        places.update(dict.fromkeys(found))
    report = SentRuns()
    opened: dict[Path, RunSync] = {}
    trackers: dict[tuple[str, str], RunTracker] = {}
    for place in places:
        if _is_in_use(place) or any(above in report.in_use for above in place.parents):
            report.in_use.append(place)
            continue
        parent = next((opened[above] for above in place.parents if above in opened), None)
        run = RunSync(place, tracker_of(place, uri, trackers), parent=parent)
        run.end(*read_status(place, "KILLED"))
        run.push()
        opened[place] = run
        report.sent.append(place)
    report.servers = sorted({run.tracker.uri for run in opened.values()})
    return report


def _run_folders(folder: Path) -> list[Path]:
    """Return the run folders at and below `folder`, and those it is nested in, outermost first."""
    found = {path.parent for name in RUN_FILES for path in folder.rglob(name)}
    above = folder
    while (state := SyncState.load(above)) is not None and state.parent is not None:
        above = (above / state.parent).resolve()
        found.add(above)
    return sorted(found, key=lambda path: (len(path.parts), path))


def _is_in_use(place: Path) -> bool:
    """Return whether a run, or one of the trials of a sweep, is being trained now."""
    locks = [place / ".lock", *place.glob("*/.lock"), *place.glob("trials/*/.lock")]
    return any(RunDir(lock.parent).is_in_use() for lock in locks if lock.is_file())


def tracker_of(
    place: Path, uri: str | None, known: dict[tuple[str, str], RunTracker]
) -> RunTracker:
    """Return the tracker that a run's configuration asks for; runs share those in `known`."""
    from smil_ray.tracking.tracker import Tracker  # mlflow takes a second to import

    config, state = place / "config.yaml", SyncState.load(place)
    section = read_yaml(config).get("tracking") if config.is_file() else None
    chosen = TrackingConfig(**section) if isinstance(section, dict) else TrackingConfig()
    address = uri or chosen.uri or os.environ.get("MLFLOW_TRACKING_URI")
    address = address or (state.uri if state else None) or None
    key = (address or "", chosen.experiment)
    if key not in known:
        known[key] = Tracker.from_config(chosen.model_copy(update={"uri": address}))
    return known[key]
