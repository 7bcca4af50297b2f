"""Images to SMIL parameters, joints and overlays, with a trained checkpoint.

Every file that cannot be read is reported with its reason and the rest is done. Pictures that are
not square are padded to a square, as in training; pixels in the results are those of the file.
"""

import csv
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
import torch

from smil_ray.body.smil_model import PosedBody, SmilModel
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.data.image_io import read_rgb, write_png
from smil_ray.data.replicant.files import check_name, printable
from smil_ray.errors import DataError
from smil_ray.render.camera import Camera
from smil_ray.render.overlay import draw_keypoints, draw_mesh
from smil_ray.training.checkpoint.loading import LoadedRegressor

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_COMPANIONS = ("_ID", "_Depth", "_NormalWA")
OVERLAY_SIZE = 1024


@dataclass(frozen=True)
class Picture:
    """One image file, as read and as the network sees it.

    Attributes:
        path: Where it comes from.
        rgb: Native resolution, uint8 (H, W, 3).
        side: Side of the padded square, pixels of the file.
        offset: Left and top padding, pixels of the file.
    """

    path: Path
    rgb: np.ndarray
    side: int
    offset: tuple[int, int]

    def square(self, size: int) -> np.ndarray:
        """Return the padded picture at `size` x `size` pixels, uint8 RGB."""
        height, width = self.rgb.shape[:2]
        left, top = self.offset
        bottom, right = self.side - height - top, self.side - width - left
        padded = cv2.copyMakeBorder(self.rgb, top, bottom, left, right, cv2.BORDER_CONSTANT)
        shrink = cv2.INTER_AREA if size < self.side else cv2.INTER_LINEAR
        return cv2.resize(padded, (size, size), interpolation=shrink)

    def to_pixels(self, xy: np.ndarray) -> np.ndarray:
        """Return picture fractions of the padded square as pixels of the file."""
        return xy * self.side - np.asarray(self.offset, dtype=xy.dtype)


@dataclass(frozen=True)
class PredictReport:
    """What `predict_images` did: names done, and the reason for each file that failed."""

    done: tuple[str, ...]
    failed: dict[str, str]


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Return the image files among `paths`, each once, those of a folder (one level) sorted.

    ReplicAnt's masks and depth maps beside a picture of a folder are no images to predict on.

    Raises:
        DataError: A path does not exist, or there is no image at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _images_of(path)
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"Image {path} does not exist", remedy="check the path")
    if not found:
        raise DataError(
            "No image to predict on", expected=f"files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return list(dict.fromkeys(found))


def _images_of(folder: Path) -> list[Path]:
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    companions = {image.stem + end for image in images for end in _COMPANIONS}
    return [image for image in images if image.stem not in companions]


def open_picture(path: Path) -> Picture:
    """Return a picture and how it lies in its padded square; DataError where it cannot be read."""
    return as_picture(path, read_rgb(path))


def as_picture(path: Path, rgb: np.ndarray) -> Picture:
    """Return how a picture lies in the square that the network sees."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    return Picture(path, rgb, side, ((side - width) // 2, (side - height) // 2))


def square_picture(rgb: np.ndarray, size: int) -> np.ndarray:
    """Return an RGB picture padded to a square and resized to `size`, uint8."""
    return as_picture(Path(), rgb).square(size)


def predict_images(
    loaded: LoadedRegressor,
    paths: Sequence[Path],
    out: Path,
    *,
    batch_size: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> PredictReport:
    """Write parameters (.npz, .json), an overlay (.png) and joints.csv for each image.

    Args:
        loaded: Network, its configuration and its body model.
        paths: Image files.
        out: Folder for the results; made where missing.
        batch_size: Images per forward pass.
        progress: Called with (files done, files in all).
    """
    out.mkdir(parents=True, exist_ok=True)
    names = _unique_names(paths)
    failed: dict[str, str] = {}
    done: list[str] = []
    with (out / "joints.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "joint", "x_px", "y_px", "x_cam", "y_cam", "z_cam"])
        for start in range(0, len(paths), batch_size):
            pictures = _readable(paths[start : start + batch_size], failed)
            for picture, params in zip(pictures, _predict(loaded, pictures), strict=True):
                name = names[picture.path]
                table.writerows(_write_one(picture, params, loaded, out / name))
                done.append(name)
            if progress is not None:
                progress(min(start + batch_size, len(paths)), len(paths))
    return PredictReport(tuple(done), failed)


def _readable(paths: Sequence[Path], failed: dict[str, str]) -> list[Picture]:
    pictures = []
    for path in paths:
        try:
            check_name(path)
            pictures.append(open_picture(path))
        except DataError as error:
            failed[printable(path)] = str(error)
    return pictures


def _predict(loaded: LoadedRegressor, pictures: Sequence[Picture]) -> list[SmilParams]:
    if not pictures:
        return []
    size = loaded.input_size
    images = np.stack([picture.square(size) for picture in pictures])
    with torch.inference_mode():
        params = loaded.regressor(torch.from_numpy(images).permute(0, 3, 1, 2))
    params = change_frame(params.detach(), "camera")
    return [params[index : index + 1] for index in range(len(pictures))]


def _write_one(
    picture: Picture, params: SmilParams, loaded: LoadedRegressor, stem: Path
) -> list[list[object]]:
    """Write the files of one picture and return its rows of joints.csv."""
    model, body = loaded.model, loaded.config.body
    posed = model.pose(params, rest=body.rest_joints, propagate_scaling=body.propagate_scaling)
    xy, _ = Camera.from_params(params).project(posed.joints)
    joints, pixels = posed.joints[0].numpy(), picture.to_pixels(xy[0].numpy())
    axis_angle = params.with_representation("axis_angle").as_dict()
    values = {name: value[0].numpy() for name, value in axis_angle.items()}
    names = model.skeleton.joint_names
    arrays: dict[str, Any] = {
        "joint_names": np.array(names),
        "joints_3d": joints,
        "joints_2d_px": pixels,
        **values,
    }
    np.savez(_with_suffix(stem, ".npz"), **arrays)
    record = {
        "image": picture.path.name,
        "body_model": model.name,
        "frame": "camera (x left, y up, z forward)",
        "units": {"length": "model units", "rotation": "axis-angle radians", "fov": "degrees"},
        "parameters": {name: value.tolist() for name, value in values.items()},
        "joint_names": names,
        "joints_3d": joints.tolist(),
        "joints_2d_px": pixels.tolist(),
    }
    _with_suffix(stem, ".json").write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    intrinsics = Camera.from_params(params).intrinsics[0].numpy()
    drawing = _overlay(picture, posed, model, intrinsics, xy[0].numpy())
    write_png(_with_suffix(stem, "_overlay.png"), drawing)
    rows: list[list[object]] = []
    for name, pixel, point in zip(names, pixels, joints, strict=True):
        rows.append([picture.path.name, name, *map(float, pixel), *map(float, point)])
    return rows


def _overlay(
    picture: Picture, posed: PosedBody, model: SmilModel, intrinsics: np.ndarray, xy: np.ndarray
) -> np.ndarray:
    """Return the picture beside itself under the predicted mesh and joints."""
    size = min(OVERLAY_SIZE, picture.side)
    vertices = posed.skin()[0].numpy()
    image = picture.square(size)
    drawn = draw_mesh(image, vertices, model.faces.numpy(), intrinsics)
    drawn = draw_keypoints(drawn, xy, skeleton=model.skeleton)
    return np.concatenate([image, drawn], axis=1)


def _with_suffix(stem: Path, suffix: str) -> Path:
    """Append to a name that may itself hold dots."""
    return stem.with_name(stem.name + suffix)


def _unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Name results after their file; files of one name in several folders get a number."""
    names: dict[Path, str] = {}
    taken = {path.stem for path in paths}
    for path in paths:
        free = (f"{path.stem}_{number}" for number in itertools.count(2))
        first = path.stem not in names.values()
        name = path.stem if first else next(name for name in free if name not in taken)
        names[path] = name
        taken.add(name)
    return names
