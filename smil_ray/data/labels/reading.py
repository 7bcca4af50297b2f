"""Labelled frames -> samples: one for each animal, with 2D labels and nothing that is not known.

Pose, shape and 3D joints are NaN. So is the focal length where the field of view is not given;
the principal point, the middle of the whole picture, is exact in every crop.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from smil_ray.config import LabelConfig
from smil_ray.core.batch import Sample
from smil_ray.data import image_io
from smil_ray.data.crop import animal_box, crop_names, crop_windows, mask_corners
from smil_ray.data.filters import SampleError
from smil_ray.data.labels.entries import LabelEntry, frame_of
from smil_ray.data.labels.joint_map import resolve
from smil_ray.data.labels.pictures import FramePicture, read_picture
from smil_ray.data.labels.records import LabelFile, LabelledAnimal, LabelledFrame
from smil_ray.data.replicant.coordinates import Window, vertical_fov_deg
from smil_ray.data.replicant.labels import BodyFacts
from smil_ray.data.replicant.reading import ReadOptions, ReadResult

_FINE = 4
"""Polygons are drawn so many times larger and averaged: the share of a pixel that they cover."""
_UNFORESEEN = (OSError, ValueError, LookupError, TypeError, ArithmeticError, cv2.error)


@dataclass(frozen=True)
class _Animal:
    """One animal in the joints of the body model, native pixels from the picture's corner."""

    name: str
    points_px: Float[np.ndarray, "n_joints 2"]
    present: Bool[np.ndarray, " n_joints"]
    seen: Bool[np.ndarray, " n_joints"]
    mask: UInt8[np.ndarray, "h w"] | None
    windows: list[Window]


def read_label_samples(entry: LabelEntry, model: BodyFacts, options: ReadOptions) -> ReadResult:
    """Return one sample for each usable animal of a labelled frame.

    Raises:
        SampleError: The picture cannot be used, or none of its animals can (the first's error).
        ConfigError: The joint map names what does not exist.
        DataError: No point of the file is a joint.
    """
    labels, frame = frame_of(entry)
    joints = resolve(labels.node_names, model.skeleton, entry.config.joint_map, str(labels.path))
    ignored = model.skeleton.mask(options.ignored_joints)
    try:
        return _read(entry, labels, frame, joints, ignored, model, options)
    except SampleError:
        raise
    except _UNFORESEEN as error:
        text = f"{labels.path}: {frame.name}: {type(error).__name__}: {error}"
        raise SampleError("unexpected", text) from error


def _read(
    entry: LabelEntry,
    labels: LabelFile,
    frame: LabelledFrame,
    joints: dict[int, int],
    ignored: Bool[np.ndarray, " n_joints"],
    model: BodyFacts,
    options: ReadOptions,
) -> ReadResult:
    folder = entry.config.pictures
    picture = read_picture(frame, None if folder is None else Path(folder))
    result = ReadResult([], notes=_notes(labels, frame, picture, joints, len(ignored)))
    animals = []
    for number, raw in enumerate(frame.animals):
        name = entry.name + (f"#{number:03d}" if len(frame.animals) > 1 else "")
        try:
            animals.append(_animal(name, raw, picture, joints, ignored, model, options, result))
        except SampleError as error:
            result.rejected.append(error)
    if not animals:
        if result.rejected:
            raise result.rejected[0]
        raise SampleError("subject_missing", f"{labels.path}: {frame.name}: no labelled animal")
    windows = [window for animal in animals for window in animal.windows]
    smallest = min(windows, key=lambda window: window.side)
    rgb = picture.decode(image_io.reduction_for(smallest, options.size))
    scale = image_io.picture_scale(rgb, picture.size_px[0])
    for animal in animals:
        names = crop_names(animal.name, options.crop)
        for name, window in zip(names, animal.windows, strict=True):
            image = image_io.cut(rgb, window, options.size, scale=scale)
            sample = _sample(name, entry, animal, window, image, picture.size_px, model)
            result.samples.append(sample)
            covered = None if sample.mask is None else float(sample.mask.mean()) / 255.0
            result.coverage.append(covered)
    return result


def _animal(
    name: str,
    raw: LabelledAnimal,
    picture: FramePicture,
    joints: dict[int, int],
    ignored: Bool[np.ndarray, " n_joints"],
    model: BodyFacts,
    options: ReadOptions,
    result: ReadResult,
) -> _Animal:
    count = model.skeleton.n_joints
    points, seen = np.full((count, 2), np.nan), np.zeros(count, dtype=bool)
    nodes, places = list(joints), list(joints.values())
    points[places], seen[places] = raw.points_px[nodes], raw.seen[nodes]
    present = np.isfinite(points[:, 0]) & np.isfinite(points[:, 1])
    if not present.any():
        raise SampleError("no_known_joint", f"{name}: none of its points is a joint")
    inside = ((points >= 0.0) & (points < np.array(picture.size_px))).all(axis=1)
    if not inside.any():
        width, height = picture.size_px
        x, y = points[present][0]
        raise SampleError(
            "out_of_frame",
            f"{name}: every point is outside the picture",
            expected=f"points within {width} x {height} pixels",
            found=f"({x:.0f}, {y:.0f}) and others",
        )
    if int((present & ~inside).sum()):
        result.notes.append("points outside: some are not in the picture")
    mask = _mask(raw, picture.size_px, options.mask_dilation, result)
    windows = [Window.padded(*picture.size_px)]
    if options.crop.mode == "bbox":
        outline = [np.zeros((0, 2)) if mask is None else mask_corners(mask)]
        if raw.box_px is not None:
            limit = np.array(picture.size_px, dtype=float)
            outline.append(np.clip(raw.box_px.reshape(2, 2), 0.0, limit))
        hidden = np.where(ignored[:, None], np.nan, points)
        parents = tuple(model.skeleton.parents)
        box = animal_box(hidden, parents, picture.size_px, np.concatenate(outline))
        if box is None:
            raise SampleError("out_of_frame", f"{name}: nothing of it is inside the picture")
        windows = crop_windows(box, options.crop, name)
    return _Animal(name, points, present, seen & inside & ~ignored, mask, windows)


def _sample(
    name: str,
    entry: LabelEntry,
    animal: _Animal,
    window: Window,
    image: UInt8[np.ndarray, "side side 3"],
    size_px: tuple[int, int],
    model: BodyFacts,
) -> Sample:
    points = window.points(animal.points_px).astype(np.float32)
    intrinsics = _intrinsics(window, entry.config, size_px)
    knows_camera = bool(np.isfinite(intrinsics).all())
    present = {"keypoints_2d"} | ({"mask"} if animal.mask is not None else set())
    joints = model.skeleton.n_joints
    identity = np.eye(3) if knows_camera else np.full((3, 3), np.nan)
    return Sample(
        name=name,
        group=entry.group,
        image=image,
        mask=None if animal.mask is None else image_io.cut(animal.mask, window, image.shape[0]),
        global_rot=_nan(3),
        joint_rot=_nan(joints - 1, 3),
        betas=_nan(model.n_betas),
        trans=_nan(3),
        fov=vertical_fov_deg(intrinsics),
        cam_rot=identity.astype(np.float32),
        cam_trans=np.zeros(3, np.float32) if knows_camera else _nan(3),
        intrinsics=intrinsics.astype(np.float32),
        scale_weights=_nan(model.n_betas),
        trans_weights=_nan(model.n_betas),
        keypoints_2d=points,
        keypoints_3d=_nan(joints, 3),
        keypoint_visibility=animal.seen & ((points >= 0.0) & (points < 1.0)).all(axis=1),
        keypoint_presence=animal.present,
        body_length=model.body_length,
        present=frozenset(present | ({"camera"} if knows_camera else set())),
    )


def _intrinsics(
    window: Window, config: LabelConfig, size_px: tuple[int, int]
) -> Float[np.ndarray, "4"]:
    """Return fx, fy, cx, cy of the window, fractions; fx and fy NaN without a field of view."""
    width, height = size_px
    focal = np.nan
    if config.fov_deg is not None:
        focal = 0.5 * height / np.tan(np.radians(config.fov_deg) / 2.0)
    return window.intrinsics_of_px(np.array([focal, focal, width / 2.0, height / 2.0]))


def _mask(
    raw: LabelledAnimal, size_px: tuple[int, int], dilation: int, result: ReadResult
) -> UInt8[np.ndarray, "h w"] | None:
    """Return the animal's silhouette of the picture's size, 0 to 255; None where it has none."""
    width, height = size_px
    fitting = [mask for mask in raw.masks if mask.shape == (height, width)]
    if len(fitting) < len(raw.masks):
        result.notes.append("mask size: masks of another size than the picture are left out")
    if not fitting and not raw.polygons_px:
        return None
    mask = np.zeros((height, width), dtype=np.uint8)
    for given in fitting:
        mask[given] = 255
    for polygon in raw.polygons_px:
        _draw(mask, polygon)
    if dilation > 0:
        side = 2 * dilation + 1
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return mask


def _draw(mask: UInt8[np.ndarray, "h w"], polygon: Float[np.ndarray, "corners 2"]) -> None:
    """Add the share of each pixel that a polygon (pixels, from the corner) covers."""
    height, width = mask.shape
    low = np.clip(np.floor(polygon.min(axis=0)), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(polygon.max(axis=0)), 0, [width, height]).astype(int)
    columns, rows = high - low
    if columns < 1 or rows < 1:
        return
    fine = np.zeros((rows * _FINE, columns * _FINE), dtype=np.uint8)
    # OpenCV counts from the middle of the first pixel.
    corners = np.round((polygon - low) * _FINE - 0.5).astype(np.int32)
    cv2.fillPoly(fine, [corners], (255,))
    covered = cv2.resize(fine, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
    part = mask[low[1] : high[1], low[0] : high[0]]
    np.maximum(part, covered, out=part)


def _notes(
    labels: LabelFile,
    frame: LabelledFrame,
    picture: FramePicture,
    joints: dict[int, int],
    n_joints: int,
) -> list[str]:
    found = []
    unknown = [name for number, name in enumerate(labels.node_names) if number not in joints]
    if unknown:
        found.append(f"unknown joints: {', '.join(unknown)}")
    if len(joints) < n_joints:
        found.append(f"missing joints: {n_joints - len(joints)} of the body model have no point")
    if frame.size_px is not None and frame.size_px != picture.size_px:
        found.append(
            f"picture size: the labels say {frame.size_px[0]} x {frame.size_px[1]}, the picture "
            f"has {picture.size_px[0]} x {picture.size_px[1]} pixels, which count"
        )
    return found


def _nan(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, dtype=np.float32)
