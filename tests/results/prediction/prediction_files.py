"""Pictures and videos in, and the files of predictions back."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from smil_ray.results.prediction.video import VideoWriter


def write(path: Path, rgb: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float = 25.0) -> Path:
    """Write RGB frames of one size."""
    writer: VideoWriter | None = None
    for rgb in frames:
        writer = writer or VideoWriter(path, fps, (rgb.shape[1], rgb.shape[0]))
        writer.add(rgb)
    assert writer is not None
    writer.close()
    return path


def table(out: Path, name: str = "predictions.csv") -> list[dict[str, str]]:
    with (out / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def record(out: Path, name: str) -> dict[str, Any]:
    """Return everything in `parameters.npz` about one result."""
    with np.load(out / "parameters.npz") as arrays:
        (row,) = np.flatnonzero(arrays["name"] == name)
        found = {key: arrays[key] for key in arrays.files}
    return {key: v if key == "joint_names" else v[row] for key, v in found.items()}
