"""Checkpoints that are whole or absent: written aside, synced, renamed; checked when read.

A checkpoint is a folder `checkpoints/epoch_0007` (`step_00000123` in the middle of an epoch):

- `model.safetensors`: the weights to predict with (the running mean, if it is on)
- `backbone.safetensors`: those of a backbone that is never trained; see `frozen_weights`
- `state.pt`: everything else that a resume needs; plain tensors and numbers
- `config.yaml`: the resolved configuration
- `meta.json`: step, epoch, metrics, what the weights are for, checksums
"""

import errno
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from smil_ray.config import Config
from smil_ray.config.reading import to_yaml
from smil_ray.core.git_lfs import refuse_lfs_pointer
from smil_ray.errors import CheckpointError
from smil_ray.training.checkpoint.frozen_weights import FrozenWeights, split

WEIGHTS, STATE, META, CONFIG = "model.safetensors", "state.pt", "meta.json", "config.yaml"
FROZEN = "backbone.safetensors"
FORMAT = 1
_UnpicklingError: type[Exception] = torch.serialization.pickle.UnpicklingError  # pyright: ignore


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read from disk: weights to predict with, training state, description."""

    path: Path
    weights: dict[str, Tensor]
    state: dict[str, Any]
    meta: dict[str, Any]


def save_checkpoint(
    path: Path,
    *,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    config: Config,
    meta: Mapping[str, Any],
    frozen: FrozenWeights | None = None,
) -> Path:
    """Write a checkpoint folder at `path` atomically, replacing an older one of that name.

    Args:
        path: The folder.
        weights: The whole network's.
        state: What else a resume needs.
        config: The resolved configuration.
        meta: The description.
        frozen: Set if the backbone is never trained: where its weights are already.

    Raises:
        CheckpointError: The disk is full or the folder cannot be written; what was there stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        sums = {}
        if frozen is not None:
            weights, backbone = split(weights)
            if not frozen.link_to(partial / FROZEN):
                save_file(_plain(backbone), partial / FROZEN)
                frozen.sha256 = _sync_and_hash(partial / FROZEN)
            sums[FROZEN] = frozen.sha256
        save_file(_plain(weights), partial / WEIGHTS)
        with (partial / STATE).open("wb") as file:
            torch.save(dict(state), file)
        (partial / CONFIG).write_text(to_yaml(config), encoding="utf-8")
        sums |= {name: _sync_and_hash(partial / name) for name in (WEIGHTS, STATE, CONFIG)}
        text = json.dumps({"format": FORMAT, **meta, "sha256": sums}, indent=2)
        (partial / META).write_text(text, encoding="utf-8")
        _sync_and_hash(partial / META)
        _sync_folder(partial)
        _replace_folder(partial, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"Checkpoint {path} cannot be written: {_reason(error)}",
            remedy="free space or choose another run.output_dir, then resume the run",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if frozen is not None:
        frozen.path = path / FROZEN
    return path


def load_checkpoint(path: str | Path, *, with_state: bool = True) -> Checkpoint:
    """Return the checkpoint at `path` after verifying its checksums; nothing is unpickled freely.

    Args:
        path: A checkpoint folder.
        with_state: Read the training state too (not needed to predict).

    Raises:
        CheckpointError: It is missing, incomplete, changed or damaged.
    """
    path = Path(path)
    meta = read_meta(path)
    try:
        parts = [WEIGHTS, *([FROZEN] if FROZEN in meta["sha256"] else [])]
        for name in (*parts, CONFIG, *((STATE,) if with_state else ())):
            refuse_lfs_pointer(path / name, CheckpointError)
            if _hash(path / name) != meta["sha256"][name]:
                raise CheckpointError(
                    f"Checkpoint file {path / name} is damaged: its checksum differs",
                    remedy="use another checkpoint of the run",
                )
        weights = {k: v for name in parts for k, v in load_file(path / name).items()}
        state: dict[str, Any] = {}
        if with_state:
            state = torch.load(path / STATE, map_location="cpu", weights_only=True)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"Checkpoint {path} cannot be read: {error}") from error
    except (_UnpicklingError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"Checkpoint file {path / STATE} cannot be read: {error}") from error
    return Checkpoint(path, weights, state, meta)


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}


def read_meta(path: Path) -> dict[str, Any]:
    """Return meta.json of a checkpoint folder; see `load_checkpoint` for the errors."""
    refuse_lfs_pointer(path / META, CheckpointError)
    try:
        meta = json.loads((path / META).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint: {META} is missing",
            remedy="give a folder such as RUN/checkpoints/epoch_0007",
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"Checkpoint file {path / META} cannot be read: {error}") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise CheckpointError(f"{path / META}", expected=f'"format": {FORMAT}')
    _check_meta(path / META, meta)
    return meta


def _check_meta(path: Path, meta: dict[str, Any]) -> None:
    """Refuse a description without what every reader of checkpoints relies on."""
    for key, kind in {"step": int, "epoch": int, "sha256": dict}.items():
        if not isinstance(meta.get(key), kind) or isinstance(meta[key], bool):
            raise CheckpointError(
                f"Checkpoint file {path} is damaged: {key!r}",
                expected="a mapping" if kind is dict else "a whole number",
                found=repr(meta[key]) if key in meta else "nothing",
            )
    value = meta.get("select_value")
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise CheckpointError(
            f"Checkpoint file {path} is damaged: 'select_value'",
            expected="a number or null",
            found=repr(value),
        )


def _replace_folder(source: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    source.rename(target)
    _sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _reason(error: BaseException) -> str:
    """Return why a file could not be written: the system's own word for it where there is one."""
    # torch.save and safetensors wrap "no space left" in errors of their own, or hide it.
    full = os.strerror(errno.ENOSPC)
    cause: BaseException | None = error
    while cause is not None:
        if full in str(cause):
            return full
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).partition("\n")[0]


def _sync_and_hash(path: Path) -> str:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
