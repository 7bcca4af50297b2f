"""What sleap-io does not keep of a format: flags of visibility, claimed sizes, missing pictures.

COCO and YOLO say of each point whether it is hidden (1) or seen (2). Lines of a DeepLabCut file
whose picture is missing must not shift the pictures of the others.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.config.reading import read_yaml
from smil_ray.data.labels.formats import check_csv_head, read_json
from smil_ray.data.labels.records import Problem

_SEEN = 2
_DLC_HEADS = ("scorer", "individuals", "bodyparts", "coords")
_BOX_NUMBERS = 5


@dataclass
class CocoDetails:
    """By the number of the frame; see `_sleap_io.Loaded`."""

    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    visibility: dict[int, list[np.ndarray]] = field(default_factory=dict)
    missing: tuple[tuple[str, Problem], ...] = ()


def of_coco(path: Path, files: Sequence[Path], root: Path) -> CocoDetails:
    """Return what a COCO file says beside sleap-io's frames.

    Args:
        path: The JSON file.
        files: The picture of each frame, in the order of the file's images.
        root: Where pictures were looked for.

    Raises:
        ValueError: Two images of the file are one picture.
    """
    values = read_json(path)
    twice = [file for file, number in Counter(files).items() if number > 1]
    if twice:
        raise ValueError(f"two of its images are the picture {twice[0]}")
    by_image: dict[Any, list[np.ndarray]] = {}
    having = {c["id"] for c in values["categories"] if c.get("keypoints")}
    for annotation in values["annotations"]:
        if annotation.get("keypoints") and annotation["category_id"] in having:
            flags = np.asarray(annotation["keypoints"][2::3])
            by_image.setdefault(annotation["image_id"], []).append(flags)
    found, missing = CocoDetails(), []
    place = 0
    for image in values["images"]:
        name = Path(image["file_name"])
        if place == len(files) or files[place].name != name.name:
            missing.append((str(name), ("image_missing", f"{path}: no picture {name} in {root}")))
            continue
        if image.get("width") and image.get("height"):
            found.sizes[place] = (int(image["width"]), int(image["height"]))
        found.visibility[place] = by_image.get(image["id"], [])
        place += 1
    found.visibility = _with_two_levels(found.visibility)
    found.missing = tuple(missing)
    return found


@dataclass(frozen=True)
class YoloLayout:
    """Where each split's pictures are, below the data set, and the points' names if given."""

    images: dict[str, str]
    names: tuple[str, ...]

    def labels(self, split: str) -> str:
        """Return where a split's text files are: sleap-io's rule."""
        return self.images[split].replace("/images", "/labels")


def yolo_layout(path: Path) -> YoloLayout:
    """Return the layout of a `data.yaml`.

    Raises:
        ConfigError: It is no YAML mapping.
    """
    values = read_yaml(path)
    images = {s: str(values.get(s) or f"{s}/images") for s in ("train", "val", "test")}
    names = values.get("kpt_names") or {}
    first = next(iter(names.values()), ()) if isinstance(names, dict) else names
    return YoloLayout(images, tuple(map(str, values.get("node_names") or first)))


def of_yolo(files: Sequence[Path]) -> dict[int, list[np.ndarray]]:
    """Return the flags of visibility of each picture's text file; sleap-io has checked them."""
    found = {}
    for number, file in enumerate(files):
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        numbers = [np.array([float(v) for v in row[_BOX_NUMBERS:]]) for row in rows]
        found[number] = [row[2::3] for row in numbers if len(row) and len(row) % 3 == 0]
    return _with_two_levels(found)


def _with_two_levels(flags: dict[int, list[np.ndarray]]) -> dict[int, list[np.ndarray]]:
    """Return the flags; where a file knows only 0 and 1, 1 means seen."""
    if any((row >= _SEEN).any() for rows in flags.values() for row in rows):
        return flags
    return {number: [row * _SEEN for row in rows] for number, rows in flags.items()}


@dataclass(frozen=True)
class DlcLine:
    """One line of a DeepLabCut file.

    Attributes:
        picture: Its picture, None where it is missing.
        is_read: sleap-io makes a frame of it: a picture of the same video is there.
    """

    file: Path
    name: str
    picture: Path | None
    is_read: bool


def dlc_lines(path: Path) -> list[DlcLine]:
    """Return the lines of a CSV file with the pictures that sleap-io finds for them."""
    check_csv_head(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0] not in _DLC_HEADS]
    names = [
        "/".join(row[:3]) if row[0] == "labeled-data" else row[0].replace("\\", "/")
        for row in rows
    ]
    pictures = [_dlc_picture(path, name) for name in names]
    videos = [_dlc_video(name) for name in names]
    there = {video for video, file in zip(videos, pictures, strict=True) if file is not None}
    return [
        DlcLine(path, name, picture, video in there)
        for name, picture, video in zip(names, pictures, videos, strict=True)
    ]


def dlc_project_files(config: Path) -> list[Path]:
    """Return the CSV files of a project, in the order in which sleap-io reads them."""
    scorer = read_yaml(config).get("scorer")
    found = []
    for folder in sorted((config.parent / "labeled-data").iterdir()):
        chosen = folder / f"CollectedData_{scorer}.csv"
        others = sorted(folder.glob("*.csv")) if folder.is_dir() else []
        if chosen.is_file():
            found.append(chosen)
        elif others:
            found.append(others[0])
    return found


def _dlc_picture(path: Path, name: str) -> Path | None:
    places = (path.parent / name, path.parent / Path(name).name, path.parent.parent / name)
    return next((place for place in places if place.is_file()), None)


def _dlc_video(name: str) -> str:
    parts = Path(name).parts
    if len(parts) > 1 and parts[0] == "labeled-data":
        return parts[1]
    return Path(name).parent.name or "default"
