"""Which files of a run its network needs, to predict on a machine that has nothing else of it.

They keep their places in the run folder, so that a folder of them is read as a run folder is.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smil_ray.config.reading import read_yaml
from smil_ray.errors import CheckpointError

CHECKPOINT_FILES = ("model.safetensors", "backbone.safetensors", "config.yaml", "meta.json")
"""Of a checkpoint, without the optimiser's state."""
RUN_FOLDER = "data/run"
"""Where in a model the files lie."""
_BESIDE = ("config.yaml", "checkpoints/index.json", "intervals.json")
_BODY_MODEL = "inputs/body_model-*.npz"
_LARGE = (".safetensors", ".npz")
_DATE = re.compile(r"-\d{8}-\d{6}(-\d+)?$")


@dataclass(frozen=True)
class ModelFiles:
    """What a logged model is made of.

    Attributes:
        folder: The run folder.
        files: Place in the run folder -> file.
        fingerprint: Changes when the model would be another one.
        name: What the model is called where it is listed.
        params: What is shown of the network.
        step: Training step of the checkpoint.
    """

    folder: Path
    files: Mapping[str, Path]
    fingerprint: str
    name: str
    params: Mapping[str, str]
    step: int


def model_files(run: Path) -> ModelFiles:
    """Return the files of a run's best checkpoint.

    Raises:
        CheckpointError: The run has no checkpoint, or keeps no body model.
        ConfigError: Its config.yaml cannot be read.
    """
    checkpoint = best_checkpoint(run)
    if checkpoint is None:
        raise CheckpointError(f"{run} has no checkpoint yet", remedy="train longer")
    body = sorted(run.glob(_BODY_MODEL))
    if not body:
        raise CheckpointError(
            f"{run} keeps no body model",
            expected=f"a file {_BODY_MODEL}",
            remedy="train it again: runs keep their body model now",
        )
    places = [
        *(run / name for name in _BESIDE),
        *(checkpoint / name for name in CHECKPOINT_FILES),
        body[0],
    ]
    files = {str(path.relative_to(run)): path for path in places if path.is_file()}
    config, meta = read_yaml(run / "config.yaml"), _json(checkpoint / "meta.json")
    if not isinstance(meta.get("step"), int):
        raise CheckpointError(
            f"{checkpoint / 'meta.json'} is damaged", expected="a whole number as `step`"
        )
    return ModelFiles(
        run, files, _fingerprint(files), _name(run), _params(config, meta), meta["step"]
    )


def best_checkpoint(run: Path) -> Path | None:
    """Return the folder of the best checkpoint, the newest where none was ranked, or None."""
    index = _json(run / "checkpoints" / "index.json")
    for which in ("best", "last"):
        if index.get(which):
            place = run / "checkpoints" / str(index[which])
            return place if (place / "meta.json").is_file() else None
    return None


def is_winner(run: Path) -> bool:
    """Return whether a run is one that people choose networks from: no trial of a sweep."""
    return _json(run / "run.json").get("kind") == "train"


def wants_model(run: Path) -> bool:
    """Return whether a run's configuration lets its network be logged (`tracking.log_model`)."""
    path = run / "config.yaml"
    section = read_yaml(path).get("tracking") if path.is_file() else None
    return not isinstance(section, dict) or section.get("log_model", True) is not False


def default_name(run: Path) -> str:
    """Return the name that a run's network is registered under: the sweep's or run's own."""
    name = _json(run / "run.json").get("sweep") or run.name
    return _DATE.sub("", str(name)) or "network"


def _name(run: Path) -> str:
    sweep = _json(run / "run.json").get("sweep")
    return re.sub(r"[^\w-]", "_", f"{sweep}-{run.name}" if sweep else run.name)


def _params(config: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, str]:
    model = config.get("model") or {}
    found = {
        "backbone": (model.get("backbone") or {}).get("name"),
        "head": (model.get("head") or {}).get("type"),
        "input_size": meta.get("input_size"),
        "body_model": meta.get("model_name"),
        "epoch": meta.get("epoch"),
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _fingerprint(files: Mapping[str, Path]) -> str:
    """Return a hash of small files' contents; meta.json holds those of the weights."""
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\n".encode())
        if path.suffix not in _LARGE:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
