"""The runs of a sweep on the tracking server: the sweep, its trials and the winner's training."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.models.files import wants_model
from smil_ray.tracking.sync.live import RunSync, Syncer
from smil_ray.tracking.sync.run import read_status
from smil_ray.tracking.sync.state import SyncState


class TrackedRuns:
    """Follows the run folders of a sweep; does nothing before `begin`."""

    def __init__(self) -> None:
        self._syncer: Syncer | None = None
        self._parent: RunSync | None = None
        self._followed: dict[Path, RunSync] = {}

    def begin(self, syncer: Syncer, parent: RunSync) -> None:
        """Follow the folders of runs with `syncer` as runs nested in `parent`."""
        self._syncer, self._parent = syncer, parent

    @property
    def ui_command(self) -> str | None:
        """The command that opens the server's pages; None without tracking."""
        return None if self._parent is None else self._parent.tracker.ui_command()

    def follow(self, folder: Path, name: str, tags: Mapping[str, str]) -> None:
        """Follow the folder of one run."""
        if self._syncer is None or self._parent is None:
            return
        tracker = self._parent.tracker
        sync = RunSync(folder, tracker, name=name, parent=self._parent, tags=tags)
        self._followed[folder] = sync
        self._syncer.add(sync)

    def follow_trial(self, folder: Path, name: str, digest: str, parent: str | None) -> None:
        """Follow the folder of a trial; `parent` is the trial that it went on from."""
        tags = {"smil_ray.kind": "trial", "smil_ray.digest": digest}
        self.follow(folder, name, tags | ({"smil_ray.parent": parent} if parent else {}))

    def end(self, folder: Path, record: TrialRecord | None = None) -> None:
        """End the tracking of a run as `record` says, or as its own `status.json` does."""
        if folder not in self._followed:
            return
        if record is None:
            self._followed.pop(folder).end(*read_status(folder, "FINISHED"))
        else:
            status = "FAILED" if record.status == "failed" else "FINISHED"
            self._followed.pop(folder).end(status, record.reason)

    def end_winner(self, folder: Path) -> None:
        """End the tracking of the winner's run, whose network the server shall have.

        That of a trial has ended long since; it is sent again for its network.
        """
        if folder not in self._followed and self._syncer is not None and self._parent is not None:
            sync = RunSync(folder, self._parent.tracker, parent=self._parent)
            self._followed[folder] = sync
            self._syncer.add(sync)
        if folder in self._followed:
            sync = self._followed.pop(folder)
            sync.state.wants_model = wants_model(folder)
            sync.end(*read_status(folder, "FINISHED"))

    def send_rest(self, sweep: Path, records: Iterable[TrialRecord]) -> None:
        """Send what a driver that died had not sent of trials that have ended."""
        for record in records:
            folder = sweep / record.folder
            if self._parent is not None and not _is_sent(folder, self._parent.tracker.uri):
                self.follow_trial(folder, record.name, record.digest, record.parent)
                self.end(folder, record)


def _is_sent(folder: Path, uri: str) -> bool:
    state = SyncState.load(folder)
    return state is not None and state.ended and state.uri == uri
