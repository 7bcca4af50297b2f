"""A replicAnt folder -> entries -> samples: pictures, masks and labels of one subject each.

One frame may hold several subjects; each becomes a sample. Views of a multi-camera frame
(`_CAMn`) are read as single pictures that share the frame's name as their group.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from smil_ray.config import CropConfig
from smil_ray.core.batch import Sample
from smil_ray.data import image_io
from smil_ray.data.crop import animal_box, crop_names, crop_windows, mask_corners
from smil_ray.data.filters import SampleError
from smil_ray.data.replicant import coordinates
from smil_ray.data.replicant._scene import Scene
from smil_ray.data.replicant.annotations import RawSubject, read_frame
from smil_ray.data.replicant.coordinates import Window
from smil_ray.data.replicant.files import Entry, find_entries
from smil_ray.data.replicant.labels import (
    MAX_REPROJECTION_PX,
    BodyFacts,
    SubjectLabels,
    subject_labels,
)

__all__ = ["Entry", "ReadOptions", "ReadResult", "find_entries", "read_samples"]

_UNFORESEEN = (OSError, ValueError, LookupError, TypeError, ArithmeticError, cv2.error)
MASK_MARGIN, MASK_MARGIN_PX, MASK_OUTSIDE = 0.15, 5.0, 0.1
"""Room around the keypoints' box (share of its longer side, px) and the share of mask beyond."""


@dataclass(frozen=True)
class ReadOptions:
    """How pictures are turned into samples.

    Attributes:
        size: Side of the square picture in pixels; None keeps the native size (padded square).
        crop: Whether and how squares around each subject are cut out.
        mask_dilation: Radius in native pixels by which the mask grows (0: as it is).
        ignored_joints: Joints that never count as visible.
    """

    size: int | None = None
    crop: CropConfig = field(default_factory=CropConfig)
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
    chosen = options or ReadOptions()
    model.skeleton.mask(chosen.ignored_joints)  # A mistake in a setting is no sample's fault.
    try:
        return _read(entry, model, chosen)
    except SampleError:
        raise
    except _UNFORESEEN as error:
        text = f"{entry.json_path}: {type(error).__name__}: {error}"
        raise SampleError("unexpected", text) from error


def _read(entry: Entry, model: BodyFacts, options: ReadOptions) -> ReadResult:
    if entry.duplicate_of is not None:
        raise SampleError(
            "duplicate_name", f"{entry.json_path}: same name as {entry.duplicate_of}"
        )
    frame = read_frame(entry.json_path)
    scene = Scene.read(entry, frame.camera)
    result = ReadResult([], rejected=list(frame.rejected))
    several = len(frame.subjects) + len(frame.rejected) > 1
    subjects = []
    for raw in frame.subjects:
        name = entry.name + (_number(raw.subject_id) if several else "")
        try:
            subjects.append(_subject(name, scene, raw, model, options))
        except SampleError as error:
            result.rejected.append(error)
    if not subjects:
        raise result.rejected[0]
    picture, scale = scene.decode([w for s in subjects for w in s.windows], options.size)
    for subject in subjects:
        result.notes.extend(subject.labels.notes)
        names = crop_names(subject.name, options.crop)
        for name, window in zip(names, subject.windows, strict=True):
            image = image_io.cut(picture, window, options.size, scale=scale)
            sample = _sample(name, scene, subject, window, image)
            result.samples.append(sample)
            covered = None if sample.mask is None else float(sample.mask.mean()) / 255.0
            result.coverage.append(covered)
    return result


def _number(subject_id: str) -> str:
    return f"#{int(subject_id):03d}" if subject_id.isdecimal() else f"#{subject_id}"


@dataclass(frozen=True)
class _Subject:
    """One animal of a frame in the native picture, and the squares to cut out for it."""

    name: str
    labels: SubjectLabels
    mask: UInt8[np.ndarray, "h w"] | None
    seen: Bool[np.ndarray, " n_joints"]
    windows: list[Window]


def _subject(
    name: str,
    scene: Scene,
    raw: RawSubject,
    model: BodyFacts,
    options: ReadOptions,
) -> _Subject:
    where = f"{scene.entry.json_path.name}: subject {raw.subject_id}"
    labels = subject_labels(raw, scene.camera, scene.size_px, model, where)
    _check_plausible(labels, where)
    mask = scene.mask(raw.subject_id, options.mask_dilation)
    if mask is not None:
        _check_mask(mask, labels, where)
    ignored = model.skeleton.mask(options.ignored_joints)
    windows = [Window.padded(*scene.size_px)]
    if options.crop.mode == "bbox":
        hidden = ignored | (labels.depth <= 0.0)
        points = np.where(hidden[:, None], np.nan, labels.points_px)
        outline = None if mask is None else mask_corners(mask)
        box = animal_box(points, tuple(model.skeleton.parents), scene.size_px, outline)
        if box is None:
            raise SampleError("out_of_frame", f"{where}: nothing of it is inside the frame")
        windows = crop_windows(box, options.crop, name)
    seen = _seen(labels, scene.size_px, mask) & ~ignored
    return _Subject(name, labels, mask, seen, windows)


def _sample(
    name: str,
    scene: Scene,
    subject: _Subject,
    window: Window,
    image: UInt8[np.ndarray, "size size 3"],
) -> Sample:
    labels, mask = subject.labels, subject.mask
    points = window.points(labels.points_px)
    intrinsics = window.intrinsics(scene.camera.intrinsics, *scene.size_px)
    present = labels.present | {"camera"} | ({"mask"} if mask is not None else set())
    return Sample(
        name=name,
        group=scene.entry.group,
        image=image,
        mask=None if mask is None else image_io.cut(mask, window, image.shape[0]),
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
        keypoint_visibility=subject.seen & _inside(points, (1.0, 1.0)),
        keypoint_presence=labels.joint_presence,
        body_length=labels.body_length,
        present=frozenset(present),
    )


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
