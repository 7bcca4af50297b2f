"""The row of the learning benchmark that needs a GPU: many pictures, all layers, eight minutes.

How many epochs fit into the time is found by timing steps first, so that the schedule of the
learning rate runs to its end.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from training import overhead

from _learning.rows import Data, Row, configuration
from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config.reading import merge
from smil_ray.training.assemble import assemble, open_data

GPU = "GPU: all layers, 50,000 images"
SAMPLES = 50_000
SECONDS = 8 * 60
BATCH = 64
TIMED = 60
_LEAST_RATIO = 0.5
"""PA-MPJPE over the mean pose's: the bar."""


@dataclass(frozen=True)
class Speed:
    """Samples per second.

    Attributes:
        training: Of whole steps on batches that lie on the device.
        bare: Of the same network's forward and backward and the loss alone.
    """

    training: float
    bare: float

    def __str__(self) -> str:
        share = self.training / self.bare
        return (
            f"{self.training:.0f} samples/s of whole steps, {self.bare:.0f} of the bare forward "
            f"and backward ({share:.0%})"
        )


def gpu_row(scale: float = 1.0) -> Row:
    """Return the row; `epochs` is put in once the speed is known."""
    changes = {
        "data": {"batch_size": BATCH, "loader_workers": max(1, (os.cpu_count() or 2) - 2)},
        "model": {"backbone": {"freeze": False, "learning_rate_factor": 0.3}},
        "optim": {"learning_rate": 2e-3, "warmup_epochs": 0.5, "ema_decay": 0.999},
        "run": {"use_gpu": "auto"},
        "train": {"deterministic": False},
    }
    return Row(max(2 * BATCH, round(scale * SAMPLES)), 1, changes, data=Data())


def with_epochs(row: Row, speed: Speed, seconds: float = SECONDS) -> Row:
    """Return the row with as many epochs as whole ones fit into the time, at least one."""
    # A tenth is for validation, checkpoints and waiting for the first batch.
    epochs = max(1, int(0.9 * seconds * speed.training / row.samples))
    return Row(row.samples, epochs, row.changes, row.seeds, row.data)


def measure_speed(row: Row, path: Path, folder: Path) -> Speed:
    """Return how fast a row trains on the device that training takes."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    config = _without_loader_processes(configuration(row, 0, str(path), str(folder)))
    model = SmilModel.builtin()
    parts = assemble(config, open_data(config, model), model, str(device))
    found = overhead(parts, config, str(device), TIMED if on_gpu else 3)
    return Speed(1e3 * BATCH / found["step_ms"], 1e3 * BATCH / found["bare_ms"])


def verdict(ratio: float) -> str:
    """Return whether the bar is met, in words; only on a GPU is it one."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    met = "met" if ratio <= _LEAST_RATIO else "missed"
    said = met if torch.cuda.is_available() else "not measured"
    return f"{device}: PA-MPJPE {ratio:.3f} of the mean pose's (bar {_LEAST_RATIO}: {said})"


def _without_loader_processes(config: Config) -> Config:
    return Config.model_validate(
        merge(config.model_dump(mode="json"), {"data": {"loader_workers": 0}})
    )
