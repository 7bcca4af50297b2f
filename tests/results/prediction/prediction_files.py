"""Pictures in, and the files of predictions back."""

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson


def write(path: Path, rgb: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path


def table(out: Path) -> list[list[str]]:
    with (out / "joints.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def record(out: Path, name: str) -> dict[str, Any]:
    return orjson.loads((out / f"{name}.json").read_bytes())
