"""What of a run folder the tracking server already has: `mlflow_sync.json` beside the run.

The file is written after the server accepted something, so a crash in between repeats work; the
tracker then removes what would be double.
"""

import json
import uuid
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from smil_ray.tracking.run_dir import write_atomic

STATE_FILE = "mlflow_sync.json"


@dataclass
class SyncState:
    """Progress of one run folder.

    Attributes:
        key: The run's identity for ever; the tag under which the server's run is found again.
        name: Name shown by the server.
        tags: Tags that the run is created with.
        parent: Path of the parent's folder relative to this one, or None.
        uri: The server that the rest refers to; another server starts from nothing.
        run_id: The server's identifier, once known.
        offset: Bytes of `metrics.jsonl` that were sent.
        tail: Fingerprint of the bytes before `offset`; a rewritten file has others there.
        files: Modification time (ns) and size of every artifact that was sent.
        params_sent: Whether the parameters were sent.
        tags_sent: Tags that the server has.
        data_sent: Hash of the data that the server names, empty before.
        wants_model: Whether somebody asked for its network to be logged, whatever kind of run.
        model_id: The server's identifier of its network, once known.
        model_sent: Fingerprint of the network that was sent whole, empty before.
        ended: Whether the end of the run was sent.
    """

    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    name: str = "run"
    tags: dict[str, str] = field(default_factory=dict)
    parent: str | None = None
    uri: str = ""
    run_id: str | None = None
    offset: int = 0
    tail: str = ""
    files: dict[str, list[int]] = field(default_factory=dict)
    params_sent: bool = False
    tags_sent: dict[str, str] = field(default_factory=dict)
    data_sent: str = ""
    wants_model: bool = False
    model_id: str | None = None
    model_sent: str = ""
    ended: bool = False

    @classmethod
    def load(cls, folder: Path) -> "SyncState | None":
        """Return the state kept in a run folder, or None when it has none that can be read."""
        try:
            values: Any = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            known = {entry.name for entry in fields(cls)}
            return cls(**{key: value for key, value in values.items() if key in known})
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def save(self, folder: Path) -> None:
        """Write the state atomically."""
        write_atomic(folder / STATE_FILE, json.dumps(asdict(self), indent=1))

    def use_server(self, uri: str) -> None:
        """Forget what another server has, when `uri` is not the server of this state."""
        if uri != self.uri:
            self.uri, self.run_id, self.offset, self.tail = uri, None, 0, ""
            self.files, self.params_sent, self.tags_sent, self.ended = {}, False, {}, False
            self.data_sent, self.model_id, self.model_sent = "", None, ""
