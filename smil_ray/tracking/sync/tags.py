"""What of `run.json` the tracking server shows of a run: tags to find it by, and its data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from smil_ray.tracking.sync.state import SyncState

MAX_DIGEST = 36
FOLDER_TAG, KIND_TAG = "smil_ray.folder", "smil_ray.kind"
TAGS = {
    "kind": KIND_TAG,
    "git_commit": "smil_ray.git_commit",
    "git_dirty": "smil_ray.git_dirty",
    "data_hash": "smil_ray.data_hash",
    "model_hash": "smil_ray.model_hash",
    "features": "smil_ray.feature_cache",
    "device": "smil_ray.device",
    "sweep": "smil_ray.sweep",
    "trial": "smil_ray.trial",
    "rerun_of": "smil_ray.rerun_of",
}
"""Entry of run.json -> tag."""
PARENT_TAGS = {"run": "smil_ray.init_from", "run_id": "smil_ray.init_from_run_id"}
"""The run whose network this one began with: its folder, and what the server calls it."""
SOURCE_TAGS = {"git_commit": "mlflow.source.git.commit", "script": "mlflow.source.name"}
"""What MLflow's own table of runs shows as source and version."""


def run_tags(folder: Path) -> dict[str, str]:
    """Return the tags of a run folder as far as they are known now."""
    facts = _facts(folder)
    if not facts:
        return {}
    tags = {FOLDER_TAG: str(folder.resolve())}
    names = [*TAGS.items(), *SOURCE_TAGS.items()]
    facts["script"] = _script(facts)
    if facts.get("kind") == "sweep":
        facts.setdefault("sweep", facts.get("name"))
    for entry, tag in names:
        value = facts.get(entry)
        if value not in (None, ""):
            tags[tag] = str(value)
    return {**tags, **_parent_tags(facts)}


def _parent_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    parent = facts.get("init_from")
    if not isinstance(parent, dict) or "run" not in parent:
        return {}
    state = SyncState.load(Path(str(parent["run"])))
    known = {"run": parent["run"], "run_id": None if state is None else state.run_id}
    return {PARENT_TAGS[name]: str(value) for name, value in known.items() if value}


@dataclass(frozen=True)
class DataInput:
    """What a run was trained on.

    Attributes:
        name: The file's or folder's name; of several sources, their names.
        place: Its path when the run was made, empty for several sources.
        content_hash: Of everything in it that a run depends on.
        samples: How many each split has.
    """

    name: str
    place: str
    content_hash: str
    samples: Mapping[str, int]

    @property
    def digest(self) -> str:
        """As much of the hash as MLflow takes."""
        return self.content_hash[:MAX_DIGEST]


def data_input(folder: Path) -> DataInput | None:
    """Return what a run was trained on, as far as it is known now."""
    facts = _facts(folder)
    if not facts.get("data_hash"):
        return None
    place = str(facts.get("data") or "")
    name = Path(place).name or ", ".join(facts.get("sources", ())) or "data"
    return DataInput(name, place, str(facts["data_hash"]), facts.get("samples", {}))


def started_ms(folder: Path) -> int | None:
    """Return when a run was begun by its `run.json`, in milliseconds since 1970."""
    try:
        return int(1000 * datetime.fromisoformat(_facts(folder)["created"]).timestamp())
    except (KeyError, TypeError, ValueError):
        return None


def _facts(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _script(facts: Mapping[str, Any]) -> str | None:
    """Return the name of the program that started the run, without its folder."""
    command = facts.get("command")
    return Path(str(command[0])).name if isinstance(command, list) and command else None
