"""Pictures and label files for tests, written by sleap-io itself or by hand."""

import csv
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig, LabelConfig
from smil_ray.core.batch import Sample
from smil_ray.data.labels.entries import label_entries
from smil_ray.data.labels.reading import read_label_samples
from smil_ray.data.replicant.reading import ReadOptions

sio: Any = importlib.import_module("sleap_io")
"""Its names are made when they are asked for, which type checkers cannot follow."""

NAMES = ("b_t", "b_h", "l_1_co_r", "l_1_co_l")
WIDTH, HEIGHT = 96, 64
POINTS = np.array([[30.0, 20.0], [60.0, 22.0], [45.0, 40.0], [np.nan, np.nan]])
"""Whole pixels, counted from the middle of the first one; the last is not labelled."""


def dots(points: np.ndarray, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """A black picture (RGB) with a white pixel at each whole position."""
    picture = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for x, y in points[np.isfinite(points).all(axis=1)]:
        picture[int(y), int(x)] = 255
    return picture


def write_picture(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])
    return path


def write_pictures(folder: Path, frames: Sequence[np.ndarray], stem: str = "img") -> list[Path]:
    return [
        write_picture(folder / f"{stem}{number:03d}.png", dots(points))
        for number, points in enumerate(frames)
    ]


def moved(step: float) -> np.ndarray:
    """The points of another frame."""
    return POINTS + np.array([step, step])


def labels_of(
    pictures: Sequence[Path], frames: Sequence[Sequence[np.ndarray]], names: Sequence[str] = NAMES
) -> Any:
    """Labels of sleap-io: for each picture the points of its animals."""
    skeleton = sio.Skeleton(list(names))
    video = sio.Video.from_filename([str(path) for path in pictures])
    return sio.Labels(
        [
            sio.LabeledFrame(
                video=video,
                frame_idx=number,
                instances=[sio.Instance.from_numpy(a, skeleton=skeleton) for a in animals],
            )
            for number, animals in enumerate(frames)
        ]
    )


def write_video(path: Path, frames: Sequence[np.ndarray]) -> Any:
    sio.save_video(np.stack(frames), str(path))
    return sio.load_video(str(path))


def video_labels(video: Any, frames: dict[int, np.ndarray]) -> Any:
    skeleton = sio.Skeleton(list(NAMES))
    return sio.Labels(
        [
            sio.LabeledFrame(
                video=video,
                frame_idx=index,
                instances=[sio.Instance.from_numpy(points, skeleton=skeleton)],
            )
            for index, points in frames.items()
        ]
    )


def coco_document(
    images: Sequence[dict[str, Any]],
    animals: Sequence[dict[str, Any]],
    names: Sequence[str] = NAMES,
) -> dict[str, Any]:
    """A COCO keypoints document as its documentation describes it."""
    category = {"id": 1, "name": "ant", "keypoints": list(names), "skeleton": [[1, 2]]}
    annotations = [
        {"id": n + 1, "category_id": 1, "iscrowd": 0, "num_keypoints": len(names), **animal}
        for n, animal in enumerate(animals)
    ]
    return {"images": list(images), "annotations": annotations, "categories": [category]}


def flat(points: np.ndarray, flags: Sequence[int]) -> list[float]:
    """COCO's keypoints: x, y, v for each point, zeros where v is zero."""
    rows = [
        (0.0, 0.0, 0) if not v else (*map(float, p), v) for p, v in zip(points, flags, strict=True)
    ]
    return [value for row in rows for value in row]


def write_json(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path


def write_dlc(
    path: Path,
    rows: dict[str, np.ndarray],
    names: Sequence[str] = NAMES,
    heads: Sequence[str] = ("scorer", "bodyparts", "coords"),
) -> Path:
    """A DeepLabCut file with one animal, as DeepLabCut and Lightning Pose write it."""
    values = {
        "scorer": ["me"] * (2 * len(names)),
        "bodyparts": [name for name in names for _ in "xy"],
        "coords": ["x", "y"] * len(names),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for head in heads:
            writer.writerow([head, *values[head]])
        for name, points in rows.items():
            cells = ["" if np.isnan(v) else v for v in points.ravel()]
            writer.writerow([name, *cells])
    return path


def read_all(
    path: Path,
    model: SmilModel,
    config: LabelConfig | None = None,
    *,
    size: int | None = None,
    crop: CropConfig | None = None,
) -> list[Sample]:
    """Every sample of a label file, at its native size (a padded square)."""
    options = ReadOptions(size=size, crop=crop or CropConfig())
    return [
        sample
        for entry in label_entries(path, config or LabelConfig())
        for sample in read_label_samples(entry, model, options).samples
    ]


def pixels(sample: Sample, model: SmilModel, native: tuple[int, int] = (WIDTH, HEIGHT)):
    """The named points of a padded square in native pixels from the picture's corner."""
    side = max(native)
    shift = np.array([(side - native[0]) // 2, (side - native[1]) // 2])
    rows = [model.skeleton.index[name] for name in NAMES]
    return sample.keypoints_2d[rows] * side - shift
