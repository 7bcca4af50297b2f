"""One run folder and its run on the tracking server: send what is new, exactly once."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from smil_ray.config.reading import flatten, read_yaml
from smil_ray.config.sweep import SWEEP_FILE
from smil_ray.errors import SmilRayError
from smil_ray.tracking.models.files import (
    CHECKPOINT_FILES,
    best_checkpoint,
    is_winner,
    model_files,
    wants_model,
)
from smil_ray.tracking.sync.metrics import ReadPosition, TrackingError, read_new_rows
from smil_ray.tracking.sync.server import RunTracker, Status
from smil_ray.tracking.sync.state import SyncState
from smil_ray.tracking.sync.tags import data_input, run_tags, started_ms

PARAM_FILES = ("config.yaml", SWEEP_FILE)
EAGER_FILES = (*PARAM_FILES, "run.json", "diff.patch", "splits.json", "overlays/*", "plots/*")
FINAL_FILES = ("metrics.jsonl", "status.json", "journal.jsonl", "leaderboard.json", "report.html")
STOPPED_EARLY = "stopped early"
"""How the reason of a trial begins that the scheduler ended: nothing went wrong."""
STATUSES: dict[str, Status] = {
    "finished": "FINISHED",
    "completed": "FINISHED",
    "done": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
    "killed": "KILLED",
    "interrupted": "KILLED",
}

log = logging.getLogger(__name__)


class RunSync:
    """One run folder and its run on the server.

    Args:
        folder: The run folder; it must exist.
        tracker: Where to send.
        name: Name shown by the server; default: the folder's name.
        parent: The run that this one is nested in.
        tags: Tags of the run.
    """

    def __init__(
        self,
        folder: Path,
        tracker: RunTracker,
        *,
        name: str | None = None,
        parent: "RunSync | None" = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.tracker = tracker
        self.parent = parent
        self.state = SyncState.load(folder) or SyncState(name=name or folder.name)
        self.state.use_server(tracker.uri)
        self.state.tags.update(tags or {})
        if parent is not None:
            self.state.parent = str(_relative(parent.folder, folder))
        self.state.save(folder)
        self._last_steps: dict[str, int] | None = None
        self._opened = self._warned = False
        self._end: tuple[Status, str | None] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the end of the run has been sent."""
        return self.state.ended and self._opened

    def end(self, status: Status, reason: str | None = None) -> None:
        """Let the next push send the rest and end the run on the server."""
        self._end = (status, reason)

    def run_id(self) -> str:
        """Return the server's identifier of the run, made there if it does not exist."""
        if not self._opened or self.state.run_id is None:
            parent_id = self.parent.run_id() if self.parent else None
            self.state.run_id = self.tracker.find_or_create_run(
                self.state.key,
                self.state.name,
                parent=parent_id,
                tags=self.state.tags,
                started_ms=started_ms(self.folder),
            )
            self.state.ended = False
            self._opened = True
            self.state.save(self.folder)
        return self.state.run_id

    def push(self) -> None:
        """Send what is new.

        Raises:
            TrackingError: The server is away; everything unsent is still unsent and on disk.
        """
        end = self._end
        run_id = self.run_id()
        self._push_params(run_id)
        self._push_tags(run_id)
        self._push_data(run_id)
        try:
            self._push_metrics(run_id)
        except TrackingError:
            # The server may have taken a part; it is asked what it has before the next try.
            self._last_steps = None
            raise
        for path in _matching(self.folder, EAGER_FILES):
            self._push_file(run_id, path, str(path.parent.relative_to(self.folder)))
        if end is not None:
            for path in _matching(self.folder, FINAL_FILES):
                self._push_file(run_id, path, ".")
            if not self._push_model(run_id, end[0]):
                for path in _weights(self.folder):
                    self._push_file(run_id, path, "checkpoint")
            self.tracker.finish(run_id, *end, ended_ms=_ended_ms(self.folder))
            self.state.ended = True
            self.state.save(self.folder)

    def _push_params(self, run_id: str) -> None:
        for name in PARAM_FILES:
            path = self.folder / name
            if self.state.params_sent or not path.is_file():
                continue
            self.tracker.log_params(run_id, flatten(read_yaml(path)))
            self.state.params_sent = True
            self.state.save(self.folder)

    def _push_tags(self, run_id: str) -> None:
        """Send what run.json has learnt since: data hash and feature cache come with the data."""
        tags = {**run_tags(self.folder), **self.state.tags}
        new = {k: value for k, value in tags.items() if self.state.tags_sent.get(k) != value}
        if new:
            self.tracker.set_tags(run_id, new)
            self.state.tags_sent.update(new)
            self.state.save(self.folder)

    def _push_data(self, run_id: str) -> None:
        data = data_input(self.folder)
        if data is None or data.content_hash == self.state.data_sent:
            return
        self.tracker.log_data(run_id, data)
        self.state.data_sent = data.content_hash
        self.state.save(self.folder)

    def _push_metrics(self, run_id: str) -> None:
        path = self.folder / "metrics.jsonl"
        if not path.is_file():
            return
        # Where a resumed run rewrote the file, the last steps keep the replayed ones out.
        rows, place = read_new_rows(path, ReadPosition(self.state.offset, self.state.tail))
        if not rows:
            return
        if self._last_steps is None:
            self._last_steps = self.tracker.last_steps(run_id)
        last = self._last_steps
        new = [
            point for row in rows for point in row.points() if point.step > last.get(point.key, -1)
        ]
        if new:
            self.tracker.log_metrics(run_id, new)
        for point in new:
            last[point.key] = max(point.step, last.get(point.key, -1))
        self.state.offset, self.state.tail = place.offset, place.tail
        self.state.save(self.folder)

    def _push_model(self, run_id: str, status: Status) -> bool:
        """Send the network of a run that people choose from; whether the server has it.

        What goes wrong here never keeps a run from ending: where the server is away, ending it
        fails as well, and all is sent later.
        """
        wanted = is_winner(self.folder) and wants_model(self.folder)
        if status != "FINISHED" or not (wanted or self.state.wants_model):
            return False
        try:
            self.send_model(run_id)
        except (SmilRayError, OSError, ImportError) as error:
            if not self._warned:
                log.warning(
                    "The network of %s is not at MLflow: %s smil-ray sync tries again.",
                    self.folder,
                    error,
                )
            self._warned = True
            return False
        return True

    def send_model(self, run_id: str) -> str:
        """Send the network, unless the server has it as it is; return its identifier there.

        Raises:
            CheckpointError: The run has no checkpoint, or keeps no body model.
            TrackingError: The server is away, or refuses it.
        """
        model = model_files(self.folder)
        if self.state.model_id is None or self.state.model_sent != model.fingerprint:
            self.state.model_id = self.tracker.log_model(run_id, model)
            self.state.model_sent = model.fingerprint
            self.state.save(self.folder)
        return self.state.model_id

    def _push_file(self, run_id: str, path: Path, folder: str) -> None:
        info = path.stat()
        seen = [info.st_mtime_ns, info.st_size]
        key = str(path.relative_to(self.folder))
        if self.state.files.get(key) == seen:
            return
        self.tracker.log_file(run_id, path, None if folder == "." else folder)
        self.state.files[key] = seen
        self.state.save(self.folder)


def read_status(folder: Path, default: Status) -> tuple[Status, str | None]:
    """Return how a run ended by its `status.json`, or `default` where it does not say."""
    try:
        values = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        reason = values.get("reason")
        status = STATUSES.get(str(values.get("state")), default)
        if str(reason).startswith(STOPPED_EARLY):
            status = "FINISHED"
        return status, None if reason is None else str(reason)
    except (OSError, ValueError, AttributeError):
        return default, None


def _ended_ms(folder: Path) -> int | None:
    """Return when a run ended by its `status.json`; a run may be sent long after."""
    try:
        values = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        return int(1000 * values["time"]) if values["state"] in STATUSES else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the files of a run; one that is still being written has a hidden name."""
    return [
        path
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if path.is_file() and not path.name.startswith(".")
    ]


def _weights(folder: Path) -> list[Path]:
    """Return the files of the best checkpoint that prediction needs (no optimiser state)."""
    best = best_checkpoint(folder)
    names = () if best is None else CHECKPOINT_FILES
    return [path for name in names if best is not None and (path := best / name).is_file()]


def _relative(target: Path, start: Path) -> Path:
    """Return `target` as seen from `start`; both exist, `start` lies somewhere below `target`."""
    depth = len(start.resolve().relative_to(target.resolve()).parts)
    return Path(*[".."] * depth)
