"""All checkpoints of one run: which is newest, which is best, which may go."""

import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from smil_ray.errors import CheckpointError
from smil_ray.training.checkpoint.files import Checkpoint, load_checkpoint, read_meta

log = logging.getLogger(__name__)

INDEX = "index.json"
KEEP_LAST = 2
"""The newest checkpoint and the one before it, which is used if the newest is damaged."""


@dataclass(frozen=True)
class Entry:
    """A checkpoint by its meta.json; `value` is the selection metric, None without one."""

    path: Path
    step: int
    epoch: int
    value: float | None


def entries(folder: Path) -> list[Entry]:
    """Return the checkpoints of a folder by step; folders without a readable meta are left out."""
    found = []
    for path in sorted(path for path in folder.glob("[!.]*") if path.is_dir()):
        try:
            meta = read_meta(path)
        except CheckpointError as error:
            log.warning("%s", error)
            continue
        found.append(Entry(path, meta["step"], meta["epoch"], meta.get("select_value")))
    return sorted(found, key=lambda entry: entry.step)


def best_entry(folder: Path, mode: str) -> Entry | None:
    """Return the checkpoint with the best selection metric (`min` or `max`), None without one."""
    ranked = _ranked(entries(folder), mode)
    return ranked[0] if ranked else None


def last_entry(folder: Path) -> Entry | None:
    """Return the newest checkpoint, None without one."""
    found = entries(folder)
    return found[-1] if found else None


def load_newest(folder: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint, None if there is none at all.

    A damaged one is passed over with a warning that names it and the one used instead.

    Raises:
        CheckpointError: There are checkpoints and every one is damaged.
    """
    problems: list[str] = []
    for entry in reversed(entries(folder)):
        try:
            checkpoint = load_checkpoint(entry.path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            log.warning("%s Using the one before, %s.", problem, entry.path.name)
        return checkpoint
    if problems:
        raise CheckpointError(f"No checkpoint in {folder} can be read: {problems[0]}")
    return None


def prune(folder: Path, mode: str, keep_best: int) -> None:
    """Delete all but the best `keep_best` and the last two checkpoints; rewrite index.json.

    Raises:
        CheckpointError: index.json cannot be written; the checkpoints are whole.
    """
    found = entries(folder)
    ranked = _ranked(found, mode)
    kept = {entry.path for entry in (*ranked[:keep_best], *found[-KEEP_LAST:])}
    for entry in found:
        if entry.path not in kept:
            shutil.rmtree(entry.path, ignore_errors=True)
    for orphan in (*folder.glob(".*.partial"), *folder.glob(".*.old")):
        shutil.rmtree(orphan, ignore_errors=True)
    _write_index(folder, [e for e in found if e.path in kept], ranked[:keep_best])


def _ranked(found: list[Entry], mode: str) -> list[Entry]:
    """Checkpoints with a metric, best first; of equals the older one."""
    sign = 1.0 if mode == "min" else -1.0
    valued = [(sign * entry.value, entry) for entry in found if entry.value is not None]
    return [entry for _, entry in sorted(valued, key=lambda pair: (pair[0], pair[1].step))]


def _write_index(folder: Path, kept: list[Entry], best: list[Entry]) -> None:
    index = {
        "last": kept[-1].path.name if kept else None,
        "best": best[0].path.name if best else None,
        "checkpoints": [
            {"name": e.path.name, "step": e.step, "epoch": e.epoch, "value": e.value} for e in kept
        ],
    }
    partial = folder / f".{INDEX}.{os.getpid()}.tmp"
    try:
        partial.write_text(json.dumps(index, indent=2), encoding="utf-8")
        partial.replace(folder / INDEX)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"{folder / INDEX} cannot be written: {error.strerror}",
            remedy="free space, then resume the run",
        ) from error
