"""Send run folders to the tracking server: exactly once, off the training path, later if away.

Workers and trials only write their run folder. The driver owns one `Syncer` thread that follows
the folders and is the single writer of the tracking database.
"""

import contextlib
import logging
import shlex
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from smil_ray.config import TrackingConfig
from smil_ray.errors import ConfigError
from smil_ray.tracking.sync.metrics import RejectedError, TrackingError
from smil_ray.tracking.sync.run import RunSync, read_status

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0


class Syncer:
    """A thread that follows run folders and is the only writer of the tracking server.

    Use it as a context manager: leaving it sends what is left.
    """

    def __init__(self, interval_s: float = 5.0) -> None:
        self._interval_s = interval_s
        self._pause_s = interval_s
        self._runs: list[RunSync] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tracking-sync", daemon=True)
        self._warned = False

    def __enter__(self) -> "Syncer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        unsent = self.push_all()
        if unsent:
            logger.warning(
                "Tracking: %d run(s) could not be sent completely; nothing is lost, they are on "
                "disk. Send them later with smil-ray sync %s",
                len(unsent),
                shlex.quote(str(unsent[0].folder)),
            )

    def add(self, run: RunSync) -> None:
        """Follow one more run folder."""
        with self._lock:
            self._runs.append(run)

    def push_all(self) -> list[RunSync]:
        """Send what is new of every run; return the runs for which the server was away."""
        with self._lock:
            runs = list(self._runs)
        for index, run in enumerate(runs):
            try:
                run.push()
            except RejectedError as error:
                logger.warning("Tracking of %s ends: %s", run.folder, error)
                self._drop(run)
            except (TrackingError, ConfigError, OSError) as error:
                self._warn(error)
                return runs[index:]
            if run.is_done:
                self._drop(run)
        if runs:
            self._warned, self._pause_s = False, self._interval_s
        return []

    def _follow(self) -> None:
        while not self._stop.wait(self._pause_s):
            if self.push_all():
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _drop(self, run: RunSync) -> None:
        with self._lock:
            self._runs.remove(run)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            logger.warning("Tracking is paused, the run goes on and is sent later: %s", error)
        self._warned = True


@contextlib.contextmanager
def track_run(
    folder: Path,
    tracking: TrackingConfig,
    *,
    tags: Mapping[str, str] | None = None,
    interval_s: float = 5.0,
) -> Iterator[RunSync | None]:
    """Follow one training run's folder while the block runs; None when tracking is off.

    The run ends as its `status.json` says; without one as FINISHED, as FAILED after an error and
    as KILLED after an interruption.
    """
    if not tracking.enabled:
        yield None
        return
    from smil_ray.tracking.tracker import Tracker  # mlflow takes a second to import

    run = RunSync(folder, Tracker.from_config(tracking), tags=tags)
    with Syncer(interval_s) as syncer:
        syncer.add(run)
        try:
            yield run
        # Ctrl-C and exits as well: otherwise the server would show the run as running for ever.
        except BaseException as error:
            killed = isinstance(error, (KeyboardInterrupt, SystemExit))
            status, reason = read_status(folder, "KILLED" if killed else "FAILED")
            if status != "FINISHED":  # What came after the training cannot make it fail.
                reason = f"{type(error).__name__}: {error}"
                status = "KILLED" if killed else "FAILED"
            run.end(status, reason)
            raise
        run.end(*read_status(folder, "FINISHED"))
