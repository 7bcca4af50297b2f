"""A replicAnt folder -> entries -> samples: pictures, masks and labels of one subject each.

One frame may hold several subjects; each becomes a sample. Views of a multi-camera frame
(`_CAMn`) are read as single pictures that share the frame's name as their group.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from smil_ray.core.batch import Sample
from smil_ray.data import coordinates, image_io
from smil_ray.data.coordinates import Window
from smil_ray.data.filters import SampleError
from smil_ray.data.replicant_files import Entry, find_entries
from smil_ray.data.replicant_json import RawFrame, RawSubject, read_frame
from smil_ray.data.replicant_labels import (
    MAX_REPROJECTION_PX,
    BodyFacts,
    CameraLabels,
    SubjectLabels,
    camera_labels,
    subject_labels,
)

__all__ = ["Entry", "ReadOptions", "ReadResult", "find_entries", "read_samples"]

BBOX_MARGIN = 0.2
"""A crop is this share of the bounding box's longer side larger than the box."""
_UNFORESEEN = (OSError, ValueError, LookupError, TypeError, ArithmeticError, cv2.error)
MASK_MARGIN, MASK_MARGIN_PX, MASK_OUTSIDE = 0.15, 5.0, 0.1
"""Room around the keypoints' box (share of its longer side, px) and the share of mask beyond."""


@dataclass(frozen=True)
class ReadOptions:
    """How pictures are turned into samples.

    Attributes:
        size: Side of the square picture in pixels; None keeps the native size (padded square).
        crop: `none` keeps the whole frame, `bbox` cuts a square around the subject.
        mask_dilation: Radius in native pixels by which the mask grows (0: as it is).
        ignored_joints: Joints that never count as visible.
    """

    size: int | None = None
    crop: str = "none"
    mask_dilation: int = 0
    ignored_joints: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadResult:
    """What one entry gives.

    Attributes:
        samples: One per usable subject.
        notes: What did not fit and was marked absent; the samples are usable.
        rejected: Errors of subjects that are not usable, when others of the frame are.
        coverage: Silhouette's share of each sample's picture, None without a mask.
    """

    samples: list[Sample]
    notes: list[str] = field(default_factory=list)
    rejected: list[SampleError] = field(default_factory=list)
    coverage: list[float | None] = field(default_factory=list)


def read_samples(entry: Entry, model: BodyFacts, options: ReadOptions | None = None) -> ReadResult:
    """Return one sample per usable subject of an entry.

    Raises:
        SampleError: The entry cannot be used, or none of its subjects can (the first's error).
            One file must not stop a job, so what nobody foresaw is `unexpected`.
    """
    ignored = model.skeleton.mask((options or ReadOptions()).ignored_joints)
    try:
        return _read(entry, model, options or ReadOptions(), ignored)
    except SampleError:
        raise
    except _UNFORESEEN as error:
        text = f"{entry.json_path}: {type(error).__name__}: {error}"
        raise SampleError("unexpected", text) from error


def _read(
    entry: Entry, model: BodyFacts, options: ReadOptions, ignored: Bool[np.ndarray, " n_joints"]
) -> ReadResult:
    if entry.duplicate_of is not None:
        raise SampleError(
            "duplicate_name", f"{entry.json_path}: same name as {entry.duplicate_of}"
        )
    frame = read_frame(entry.json_path)
    scene = _Scene.read(entry, frame, options)
    result = ReadResult([], rejected=list(frame.rejected))
    several = len(frame.subjects) + len(frame.rejected) > 1
    for subject in frame.subjects:
        name = entry.name
        if several:
            number = subject.subject_id
            name += f"#{int(number):03d}" if number.isdecimal() else f"#{number}"
        try:
            sample, notes = _sample(name, scene, subject, model, ignored)
        except SampleError as error:
            result.rejected.append(error)
            continue
        result.samples.append(sample)
        result.notes.extend(notes)
        covered = None if sample.mask is None else float(sample.mask.mean()) / 255.0
        result.coverage.append(covered)
    if not result.samples:
        raise result.rejected[0]
    return result


@dataclass(frozen=True)
class _Scene:
    """Picture, mask and camera of a frame; `scale`: decoded pixels per native pixel."""

    entry: Entry
    options: ReadOptions
    camera: CameraLabels
    size_px: tuple[int, int]
    picture: UInt8[np.ndarray, "h w 3"]
    scale: float
    ids: UInt8[np.ndarray, "mask_h mask_w"] | None

    @classmethod
    def read(cls, entry: Entry, frame: RawFrame, options: ReadOptions) -> "_Scene":
        """Read the files of an entry; see `read_samples` for errors."""
        if entry.image_path is None:
            raise SampleError("image_missing", f"{entry.json_path}: no picture beside it")
        data = image_io.read_bytes(entry.image_path)
        label = entry.image_path.name
        width, height = image_io.picture_size(data, label)
        camera = camera_labels(frame.camera, width, height, entry.json_path.name)
        windows = [_window(subject, (width, height), options) for subject in frame.subjects]
        smallest = min((w for w in windows if w), key=lambda w: w.side, default=None)
        reduction = image_io.reduction_for(smallest, options.size) if smallest else 1
        picture = image_io.decode_rgb(data, label, reduction=reduction)
        scale = image_io.picture_scale(picture, width)
        ids = None if entry.mask_path is None else image_io.read_id_mask(entry.mask_path)
        if ids is not None and ids.shape != (height, width):
            raise SampleError(
                "mask_size",
                f"{entry.json_path.name}: ID mask",
                expected=f"{width} x {height} like the picture",
                found=f"{ids.shape[1]} x {ids.shape[0]}",
            )
        return cls(entry, options, camera, (width, height), picture, scale, ids)


def _window(raw: RawSubject, size_px: tuple[int, int], options: ReadOptions) -> Window | None:
    """Return the square to cut out; None when a crop is wanted and nothing is in the frame."""
    if options.crop == "none":
        return Window.padded(*size_px)
    if raw.bounds is not None:
        low, high = raw.bounds[:2], raw.bounds[2:]
    elif np.isnan(raw.points_2d).all():
        return None
    else:
        low, high = np.nanmin(raw.points_2d, axis=0), np.nanmax(raw.points_2d, axis=0)
    low, high = np.maximum(low, 0.0), np.minimum(high, np.array(size_px, dtype=float))
    return Window.around(low, high, BBOX_MARGIN) if (low < high).all() else None


def _sample(
    name: str,
    scene: _Scene,
    raw: RawSubject,
    model: BodyFacts,
    ignored: Bool[np.ndarray, " n_joints"],
) -> tuple[Sample, tuple[str, ...]]:
    where = f"{scene.entry.json_path.name}: subject {raw.subject_id}"
    labels = subject_labels(raw, scene.camera, scene.size_px, model, where)
    _check_plausible(labels, where)
    window = _window(raw, scene.size_px, scene.options)
    if window is None:
        raise SampleError("out_of_frame", f"{where}: nothing of it is inside the frame")
    mask = _subject_mask(scene, raw.subject_id)
    if mask is not None:
        _check_mask(mask, labels, where)
    points = window.points(labels.points_px)
    seen = _seen(labels, scene.size_px, mask) & ~ignored & _inside(points, (1.0, 1.0))
    intrinsics = window.intrinsics(scene.camera.intrinsics, *scene.size_px)
    present = labels.present | {"camera"} | ({"mask"} if mask is not None else set())
    size = scene.options.size
    sample = Sample(
        name=name,
        group=scene.entry.group,
        image=image_io.cut(scene.picture, window, size, scale=scene.scale),
        mask=None if mask is None else image_io.cut(mask, window, size),
        global_rot=_f32(labels.global_rot),
        joint_rot=_f32(labels.joint_rot),
        betas=_f32(labels.betas),
        trans=_f32(labels.trans),
        fov=coordinates.vertical_fov_deg(intrinsics),
        cam_rot=_f32(scene.camera.cam_rot),
        cam_trans=_f32(scene.camera.cam_trans),
        intrinsics=_f32(intrinsics),
        scale_weights=_f32(labels.scale_weights),
        trans_weights=_f32(labels.trans_weights),
        keypoints_2d=_f32(points),
        keypoints_3d=_f32(labels.points_3d),
        keypoint_visibility=seen,
        keypoint_presence=labels.joint_presence,
        body_length=labels.body_length,
        present=frozenset(present),
    )
    return sample, labels.notes


def _check_plausible(labels: SubjectLabels, where: str) -> None:
    if labels.depth[0] <= 0.0:
        raise SampleError("behind_camera", f"{where}: the root joint is behind the camera")
    if labels.reprojection_px > MAX_REPROJECTION_PX:
        raise SampleError(
            "reprojection",
            f"{where}: 2DPos against projected 3DPos",
            expected=f"at most {MAX_REPROJECTION_PX:g} px apart",
            found=f"{labels.reprojection_px:.1f} px",
        )


def _check_mask(mask: UInt8[np.ndarray, "h w"], labels: SubjectLabels, where: str) -> None:
    """Raise `mask_disagrees` when much of a mask lies outside the box around all keypoints.

    Occlusion takes away from a mask, it adds nothing; an empty mask contradicts nothing.
    """
    if not labels.joint_presence.all():
        return
    low, high = labels.points_px.min(axis=0), labels.points_px.max(axis=0)
    margin = MASK_MARGIN * (high - low).max() + MASK_MARGIN_PX
    limit = np.array(mask.shape[::-1])
    left, top = np.clip(low - margin, 0, limit).astype(int)
    right, bottom = np.clip(high + margin, 0, limit).astype(int)
    total = cv2.countNonZero(mask)
    box = mask[top:bottom, left:right]
    outside = 1.0 - (cv2.countNonZero(box) if box.size else 0) / max(total, 1)
    if total and outside > MASK_OUTSIDE:
        raise SampleError(
            "mask_disagrees",
            f"{where}: ID mask",
            expected=f"at most {MASK_OUTSIDE:.0%} of it outside the box around the keypoints",
            found=f"{outside:.0%}",
        )


def _subject_mask(scene: _Scene, subject_id: str) -> UInt8[np.ndarray, "h w"] | None:
    """Return the subject's silhouette at native size, 0 or 255; None without an ID mask."""
    if scene.ids is None:
        return None
    number = int(subject_id) if subject_id.isdecimal() else 1
    mask = (scene.ids == number).view(np.uint8) * np.uint8(255)
    if scene.options.mask_dilation > 0:
        side = 2 * scene.options.mask_dilation + 1
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return mask


def _seen(
    labels: SubjectLabels, size_px: tuple[int, int], mask: UInt8[np.ndarray, "h w"] | None
) -> Bool[np.ndarray, " n_joints"]:
    """Return which joints are present, before the camera, in the frame, and on the mask."""
    seen = _inside(labels.points_px, size_px) & ~(labels.depth <= 0.0)
    if mask is not None:
        column, row = labels.points_px[seen].astype(int).T
        seen[seen] = mask[row, column] > 0
    return seen


def _inside(
    points: Float[np.ndarray, "n 2"], limits: tuple[int | float, int | float]
) -> Bool[np.ndarray, " n"]:
    return np.all((points >= 0.0) & (points < np.array(limits)), axis=1)


def _f32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
