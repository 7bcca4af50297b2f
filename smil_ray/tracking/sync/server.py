"""What run folders are sent to: the part of `tracker.Tracker` that sending needs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from smil_ray.tracking.models.files import ModelFiles
from smil_ray.tracking.sync.metrics import MetricPoint
from smil_ray.tracking.sync.tags import DataInput

Status = Literal["FINISHED", "FAILED", "KILLED"]


@runtime_checkable
class RunTracker(Protocol):
    """What of `tracker.Tracker` is used here."""

    uri: str

    def ui_command(self) -> str:
        """Return the command that shows its runs."""
        ...

    def find_or_create_run(
        self,
        key: str,
        name: str,
        *,
        parent: str | None = None,
        tags: Mapping[str, Any] = ...,
        started_ms: int | None = None,
    ) -> str:
        """Return the identifier of the run with this key."""
        ...

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Send parameters."""
        ...

    def log_metrics(self, run_id: str, points: Iterable[MetricPoint]) -> None:
        """Send metric values."""
        ...

    def last_steps(self, run_id: str) -> dict[str, int]:
        """Return the last step held of every metric."""
        ...

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Store a file."""
        ...

    def log_data(self, run_id: str, data: DataInput) -> None:
        """Say what the run was trained on."""
        ...

    def log_model(self, run_id: str, model: ModelFiles) -> str:
        """Store the run's network and return its identifier."""
        ...

    def set_tags(self, run_id: str, tags: Mapping[str, Any]) -> None:
        """Set tags, new and old ones."""
        ...

    def finish(
        self,
        run_id: str,
        status: Status,
        reason: str | None = None,
        *,
        ended_ms: int | None = None,
    ) -> None:
        """End the run."""
        ...
