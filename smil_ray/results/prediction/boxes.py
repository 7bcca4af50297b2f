"""Boxes around animals out of CSV, COCO and SLEAP files: left, top, width, height in pixels."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jaxtyping import Float

from smil_ray.data.labels.instance_boxes import is_sleap_file, sleap_boxes
from smil_ray.errors import DataError

LEAST_SIDE_PX = 2.0
"""A box must show at least so many pixels of the picture along both axes."""
_COLUMNS = ("x", "y", "w", "h")


@dataclass(frozen=True)
class Box:
    """A box in pixels of its picture.

    Attributes:
        xywh: Left, top, width, height; continuous, pixel i covers [i, i + 1).
        where: The place it was read from, for messages.
        size_px: Width and height of the picture it was drawn on, None if not said.
        frame: The frame of a video, counted from 0; None: every frame, or a picture.
        animal: Number of the animal, the same in all frames; None: its place in the file.
    """

    xywh: tuple[float, float, float, float]
    where: str
    size_px: tuple[int, int] | None = None
    frame: int | None = None
    animal: int | None = None

    def inside(self, size_px: tuple[int, int]) -> Float[np.ndarray, "4"]:
        """Return left, top, right, bottom of the part inside a picture of this width and height.

        Raises:
            DataError: It is degenerate, outside the picture, or of a picture of another size.
        """
        left, top, width, height = self.xywh
        picture = f"{size_px[0]} x {size_px[1]} px"
        if not all(math.isfinite(value) for value in self.xywh) or min(width, height) <= 0:
            raise DataError(
                f"{self.where}: box", expected="width and height above 0", found=self._text()
            )
        if self.size_px is not None and self.size_px != size_px:
            raise DataError(
                f"{self.where}: box of a picture of another size",
                expected=picture,
                found=f"{self.size_px[0]} x {self.size_px[1]} px",
                remedy="scale the boxes to the images that you give",
            )
        corners = np.array([left, top, left + width, top + height])
        limits = np.array([*size_px, *size_px], dtype=float)
        cut = np.clip(corners, 0.0, limits)
        if (cut[2:] - cut[:2]).min() < LEAST_SIDE_PX:
            raise DataError(
                f"{self.where}: box outside the picture",
                expected=f"at least {LEAST_SIDE_PX:g} px of it inside {picture}",
                found=self._text(),
                remedy="boxes are x, y of the top left corner, width, height in pixels",
            )
        return cut

    def _text(self) -> str:
        return ", ".join(
            f"{name} {value:g}" for name, value in zip(_COLUMNS, self.xywh, strict=True)
        )


@dataclass(frozen=True)
class BoxFile:
    """The boxes of a file by the name of the image, in the order of the file."""

    path: Path
    boxes: Mapping[str, Sequence[Box]]


def read_boxes(path: Path) -> BoxFile:
    """Return the boxes of a CSV, a COCO or a SLEAP file.

    CSV: `file,x,y,w,h`; of a video's frames `file,frame,x,y,w,h`; with `animal` the number of
    each animal. Other columns are ignored. SLEAP (.slp): the smallest box around the points of
    each instance, labelled or predicted; tracks number the animals.

    Raises:
        DataError: It cannot be read, is none of them, or holds no box.
    """
    if is_sleap_file(path):
        return BoxFile(path, _sleap(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read as boxes", found=error.strerror) from error
    is_json = path.suffix.lower() == ".json" or data.lstrip()[:1] in (b"{", b"[")
    boxes = _coco(path, data) if is_json else _csv(path, data)
    if not boxes:
        raise DataError(f"{path}: no box", expected="at least one")
    return BoxFile(path, boxes)


def table_rows(
    path: Path,
    data: bytes,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    texts: Sequence[str] = (),
    named_by: str = "file",
) -> list[dict[str, Any]]:
    """Return the rows of a CSV file: `named_by` and `texts` are text, `columns` numbers.

    Columns of `optional` are whole numbers, None where the file does not have them or a cell is
    empty.

    Raises:
        DataError: A column is missing, or a value is not a number.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8", found=str(error)) from error
    reader = csv.DictReader(lines, skipinitialspace=True)
    wanted = [named_by, *texts, *columns]
    missing = [name for name in wanted if name not in (reader.fieldnames or [])]
    if missing:
        raise DataError(
            f"{path}: first line",
            expected=",".join(wanted),
            found=lines[0][:80] if lines else "an empty file",
        )
    rows: list[dict[str, Any]] = []
    for row in reader:
        where = f"{path}:{reader.line_num}"
        numbers = {name: _number(row[name], f"{where}: {name}") for name in columns}
        more = {name: _whole(row.get(name), f"{where}: {name}") for name in optional}
        named = {name: row[name] for name in (named_by, *texts)}
        rows.append({"where": where, **named, **numbers, **more})
    return rows


def _csv(path: Path, data: bytes) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = {}
    for row in table_rows(path, data, _COLUMNS, ("frame", "animal")):
        xywh = row["x"], row["y"], row["w"], row["h"]
        box = Box(xywh, row["where"], frame=row["frame"], animal=row["animal"])
        boxes.setdefault(row["file"], []).append(box)
    return boxes


def _coco(path: Path, data: bytes) -> dict[str, list[Box]]:
    """Return the boxes of `annotations` by the `file_name` of `images`."""
    boxes: dict[str, list[Box]] = {}
    try:
        document = orjson.loads(data)
        images = {image["id"]: image for image in document["images"]}
        for number, annotation in enumerate(document["annotations"]):
            image = images[annotation["image_id"]]
            where = f"{path}: annotation {annotation.get('id', number)}"
            left, top, width, height = (
                _number(value, f"{where}: bbox") for value in annotation["bbox"]
            )
            size = image.get("width"), image.get("height")
            known = None if None in size else (int(size[0]), int(size[1]))
            box = Box((left, top, width, height), where, known)
            boxes.setdefault(str(image["file_name"]), []).append(box)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a COCO file",
            expected="images with id and file_name, annotations with image_id and bbox",
            found=f"{type(error).__name__}: {error}",
            remedy="or give a CSV file with the columns file,x,y,w,h",
        ) from error
    return boxes


def _sleap(path: Path) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = {}
    for found in sleap_boxes(path):
        box = Box(found.xywh, found.where, frame=found.frame, animal=found.animal)
        boxes.setdefault(found.file_name, []).append(box)
    return boxes


def _whole(text: str | None, where: str) -> int | None:
    if text is None or not text.strip():
        return None
    value = _number(text, where)
    if value < 0 or value != int(value):
        raise DataError(where, expected="a whole number of at least 0", found=repr(text))
    return int(value)


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(where, expected="a number", found=repr(value)) from None
