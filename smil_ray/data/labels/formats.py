"""Which file is a file of labels, and of which format.

To add one that sleap-io reads: its line in FORMATS, a rule in `label_format`, and its loader in
`_sleap_io.LOADERS`.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from smil_ray.errors import DataError


@dataclass(frozen=True)
class Format:
    """A format: its name for people, and where the point (0, 0) lies in the top left pixel."""

    title: str
    origin: Literal["centre", "corner"]


FORMATS: dict[str, Format] = {
    "slp": Format("SLEAP", "centre"),
    "dlc": Format("DeepLabCut or Lightning Pose CSV", "centre"),
    "dlc_project": Format("DeepLabCut project", "centre"),
    "coco": Format("COCO keypoints", "centre"),
    "ultralytics": Format("Ultralytics YOLO-pose", "corner"),
    "nwb": Format("NWB", "centre"),
    "labelstudio": Format("Label Studio", "corner"),
}
"""Every format that is read. The origins are explained in `docs/labels.md`."""

YOLO_FILE, DLC_FILE = "data.yaml", "config.yaml"
_SUFFIXES = (".slp", ".nwb", ".csv", ".json")
_SINGLE = ("scorer", "bodyparts", "coords")
_SEVERAL = ("scorer", "individuals", "bodyparts", "coords")


def is_label_path(path: Path) -> bool:
    """Return whether a path is to be read as labels; a folder is where a project's file is in."""
    if path.is_dir():
        is_project = (path / DLC_FILE).is_file() and (path / "labeled-data").is_dir()
        return is_project or (path / YOLO_FILE).is_file()
    return path.name in (YOLO_FILE, DLC_FILE) or path.suffix.lower() in _SUFFIXES


def label_format(path: Path) -> str:
    """Return the format of labels, a key of FORMATS.

    Raises:
        DataError: Nothing is there, or nothing that is read.
    """
    if path.is_dir():
        inside = (path / name for name in (YOLO_FILE, DLC_FILE))
        path = next((file for file in inside if file.is_file()), path)
    if not path.is_file():
        raise DataError(f"{path}: no such file of labels", remedy="give the file's path")
    if path.name == YOLO_FILE:
        return "ultralytics"
    if path.name == DLC_FILE:
        return "dlc_project"
    suffix = path.suffix.lower()
    if suffix == ".csv":
        check_csv_head(path)
        return "dlc"
    if suffix == ".json":
        return _json_format(path)
    if suffix in (".slp", ".nwb"):
        return suffix[1:]
    raise DataError(
        f"{path}: not a file of labels that is read",
        expected=", ".join(form.title for form in FORMATS.values()),
        found=path.suffix or "a name without a suffix",
    )


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DataError: It cannot be read or is not JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise DataError(f"{path}: cannot be read as JSON labels", found=str(error)) from error


def check_csv_head(path: Path) -> None:
    """Refuse a CSV file whose heading lines are not DeepLabCut's, in its order.

    Raises:
        DataError: The lines are others, in another order, or no text.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row, _ in zip(csv.reader(file), range(len(_SEVERAL)), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV labels", found=str(error)) from error
    heads = tuple(row[0].strip() if row else "" for row in rows)
    if heads[: len(_SINGLE)] == _SINGLE or heads == _SEVERAL:
        return
    raise DataError(
        f"{path}: its first lines are not a DeepLabCut file's",
        expected="lines that begin with scorer, (individuals,) bodyparts, coords, in this order",
        found=", ".join(head or "nothing" for head in heads) or "an empty file",
    )


def _json_format(path: Path) -> str:
    values = read_json(path)
    if isinstance(values, dict) and {"images", "annotations", "categories"} <= set(values):
        return "coco"
    tasks = values if isinstance(values, list) else [values]
    if tasks and all(isinstance(task, dict) and "annotations" in task for task in tasks):
        return "labelstudio"
    keys = ", ".join(map(str, values)) if isinstance(values, dict) else type(values).__name__
    raise DataError(
        f"{path}: JSON of a form that is not read",
        expected="COCO (images, annotations, categories) or tasks of Label Studio",
        found=keys[:100] or "nothing",
    )
