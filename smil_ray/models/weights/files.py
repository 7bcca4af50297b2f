"""Files and run folders that hold weights, read as tensors only: no pickled code is run."""

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from smil_ray.core.git_lfs import refuse_lfs_pointer
from smil_ray.errors import ConfigError

SETTING = "model.backbone.weights"
_WHAT = "pretrained, none, a .safetensors or .pth file, or a run folder"
_META, _INDEX = "meta.json", "index.json"
_CHECKPOINT_PARTS = ("model.safetensors", "backbone.safetensors")
"""Files of a checkpoint; the second is there if its backbone was never trained."""


def read_weights(path: Path) -> Mapping[str, Any]:
    """Return what a file, run folder or checkpoint folder holds; see `matching` for its names.

    Raises:
        ConfigError: It is missing, damaged, unsafe or holds nothing.
    """
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise ConfigError(f"{SETTING}: {path} does not exist", expected=_WHAT)
    refuse_lfs_pointer(path, ConfigError)
    try:
        if path.suffix == ".safetensors":
            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        # torch's own sentence would have the person load the file unsafely.
        unsafe = isinstance(error, pickle.UnpicklingError)
        raise ConfigError(
            f"{SETTING}: {path} cannot be read as weights",
            found="other content than tensors" if unsafe else str(error).strip().split("\n")[0],
            remedy="give a .safetensors file or a state_dict saved by torch.save",
        ) from error
    if not isinstance(loaded, Mapping) or not loaded:
        raise ConfigError(f"{SETTING}: {path} holds no state_dict")
    return loaded


def _of_folder(path: Path) -> dict[str, torch.Tensor]:
    """Read the network of a checkpoint folder, or of a run folder's best checkpoint."""
    folder = path if (path / _META).is_file() else _best_checkpoint(path)
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        sums = {name: meta["sha256"][name] for name in _CHECKPOINT_PARTS if name in meta["sha256"]}
        for name, expected in sums.items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if found != expected:
                raise ConfigError(
                    f"{SETTING}: {folder / name} is damaged: its checksum differs",
                    remedy="give another checkpoint of the run",
                )
        return {key: value for name in sums for key, value in load_file(folder / name).items()}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ConfigError(
            f"{SETTING}: checkpoint {folder} cannot be read",
            found=f"{type(error).__name__}: {error}",
            remedy="give another checkpoint of the run",
        ) from error


def _best_checkpoint(run: Path) -> Path:
    """Return what the index of a run's checkpoints names as the best, or else as the newest."""
    index = run / "checkpoints" / _INDEX
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        return index.parent / (content["best"] or content["last"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{SETTING}: {run} is a folder without a readable {index.relative_to(run)}",
            expected=_WHAT,
            remedy="give one of the run's checkpoints, such as RUN/checkpoints/epoch_0007",
        ) from error
