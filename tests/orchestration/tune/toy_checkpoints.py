"""Checkpoints of a network with one weight, for searches that are tested without training."""

from pathlib import Path

import torch

from smil_ray.config import Config
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.checkpoint.files import load_checkpoint, save_checkpoint
from smil_ray.training.checkpoint.folder import last_entry


def save_toy(folder: Path, epoch: int, weight: float, value: float | None = None) -> None:
    """Save a checkpoint after an epoch into a run folder."""
    save_checkpoint(
        folder / "checkpoints" / f"epoch_{epoch:04d}",
        weights={"weight": torch.tensor([weight], dtype=torch.float64)},
        state={"position": {"epoch": epoch, "step": epoch}},
        config=Config(),
        meta={"step": epoch, "epoch": epoch, "metrics": {}, "select_value": value},
    )


def load_toy(folder: Path) -> tuple[int, float]:
    """Return the newest checkpoint of a run folder: its epoch and its weight."""
    entry = last_entry(RunDir.open(folder).checkpoints)
    if entry is None:
        return 0, 0.0
    return entry.epoch, float(load_checkpoint(entry.path).weights["weight"][0])
