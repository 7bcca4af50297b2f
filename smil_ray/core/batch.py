"""Sample (one animal in one image, numpy) and Batch (tensors), and the way between them.

Labels that a data set does not have hold NaN and are false in `presence`: a forgotten mask is
loud, and no zero looks like data. *Visible* (is the joint seen), *present* (does the data have
the label) and *ignored* (a setting) are three separate things.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from smil_ray.core.frames import change_frame, points_in_frame
from smil_ray.core.params import SmilParams

LABELS = (
    "global_rot",
    "joint_rot",
    "betas",
    "trans",
    "camera",
    "keypoints_2d",
    "keypoints_3d",
    "mask",
    "scale_weights",
    "trans_weights",
)
"""Label groups whose availability is recorded per sample."""

_PARAMS = ("global_rot", "joint_rot", "betas", "trans", "fov", "cam_rot", "cam_trans")
_NUMBERS = (
    *(name for name in _PARAMS if name != "fov"),
    "intrinsics",
    "scale_weights",
    "trans_weights",
    "keypoints_2d",
    "keypoints_3d",
)

LABEL_COLUMNS = (
    *_NUMBERS,
    "fov",
    "body_length",
    "keypoint_visibility",
    "keypoint_presence",
    "presence",
)
"""Keys of `stack_labels`: everything of samples but names and pixels."""

TARGET_KEYS = {
    "joint_angles": "joint_rot",
    "shape_betas": "betas",
    "root_loc": "trans",
    "root_rot": "global_rot",
    "cam_fov": "fov",
    "cam_rot": "cam_rot",
    "cam_trans": "cam_trans",
    "keypoints_2d": "keypoints_2d",
    "keypoints_3d": "keypoints_3d",
    "keypoint_visibility": "keypoint_visibility",
    "scale_weights": "scale_weights",
    "trans_weights": "trans_weights",
}
"""Keys of the seed's `y` dictionary and the name of the same quantity here."""


@dataclass(frozen=True)
class Sample:
    """One animal in one image, labels in the *world* frame (replicAnt's world, mirrored in x).

    Lengths are in model units (Unreal centimetres / 10), rotations axis-angle radians; see
    `docs/conventions_3d.md`. Absent labels are NaN (`mask`: None) and not in `present`.

    Attributes:
        name: Unique name within the data set, the sort key of its order.
        group: Near-duplicates (views or frames of one scene) share it; splits keep it together.
        image: RGB, 0-255, square after preprocessing.
        mask: Silhouette, 0-255 soft, same size as `image`.
        fov: Full vertical field of view of `image`, degrees.
        intrinsics: fx, fy, cx, cy as fractions of width and height.
        keypoints_2d: (x, y) as fractions of width and height; outside [0, 1] is out of frame.
        keypoint_visibility: Seen: inside the frame and, where a mask exists, on it.
        keypoint_presence: The data set gives this joint.
        body_length: Length of the trunk chain, model units, always positive.
        present: Names out of LABELS.
        picture_change: A random change that `image` and `mask` still wait for, the labels do not
            (`data.augment_batch`).
    """

    name: str
    group: str
    image: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"] | None
    global_rot: Float[np.ndarray, "3"]
    joint_rot: Float[np.ndarray, "n_pose 3"]
    betas: Float[np.ndarray, " n_betas"]
    trans: Float[np.ndarray, "3"]
    fov: float
    cam_rot: Float[np.ndarray, "3 3"]
    cam_trans: Float[np.ndarray, "3"]
    intrinsics: Float[np.ndarray, "4"]
    scale_weights: Float[np.ndarray, " k"]
    trans_weights: Float[np.ndarray, " k"]
    keypoints_2d: Float[np.ndarray, "n_joints 2"]
    keypoints_3d: Float[np.ndarray, "n_joints 3"]
    keypoint_visibility: Bool[np.ndarray, " n_joints"]
    keypoint_presence: Bool[np.ndarray, " n_joints"]
    body_length: float
    present: frozenset[str]
    picture_change: Float[np.ndarray, "10"] | None = None


@dataclass(frozen=True)
class Batch:
    """Samples as tensors; labels in `reference_frame` (`camera` or `root`).

    Attributes:
        names: Sample names.
        image: RGB 0-255; None when `tokens` come from the feature cache.
        mask: Silhouette 0-255; zeros where `presence["mask"]` is false.
        target: SMIL parameters as axis-angle; NaN where absent.
        keypoints_3d: In `reference_frame`, model units.
        presence: Label group -> true where the sample has it.
        tokens: Cached backbone features, None when images are given.
        picture_change: See `Sample`.
    """

    names: tuple[str, ...]
    reference_frame: str
    image: UInt8[Tensor, "batch 3 h w"] | None
    mask: UInt8[Tensor, "batch 1 h w"] | None
    target: SmilParams
    intrinsics: Float[Tensor, "batch 4"]
    scale_weights: Float[Tensor, "batch k"]
    trans_weights: Float[Tensor, "batch k"]
    keypoints_2d: Float[Tensor, "batch n_joints 2"]
    keypoints_3d: Float[Tensor, "batch n_joints 3"]
    keypoint_visibility: Bool[Tensor, "batch n_joints"]
    keypoint_presence: Bool[Tensor, "batch n_joints"]
    body_length: Float[Tensor, " batch"]
    presence: dict[str, Bool[Tensor, " batch"]]
    tokens: Tensor | None = None
    picture_change: Float[Tensor, "batch 10"] | None = None

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.names)

    def rows(self, indices: Int64[Tensor, " n"]) -> "Batch":
        """Return the samples at `indices`, in that order; one may come more than once."""
        chosen: dict[str, Any] = {
            name: value[indices] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(
            self,
            names=tuple(self.names[index] for index in indices.tolist()),
            target=self.target.map(lambda value: value[indices]),
            presence={name: value[indices] for name, value in self.presence.items()},
            **chosen,
        )

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch with every tensor on `device`, copied one by one.

        `training.batches.packed_batch.to_device` is the way to a GPU.
        """
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, (Tensor, SmilParams))
        }
        moved["presence"] = {name: value.to(device) for name, value in self.presence.items()}
        return replace(self, **moved)


def collate(samples: Sequence[Sample], reference_frame: str = "camera") -> Batch:
    """Return samples as one batch, labels turned into `reference_frame`, images kept as uint8."""
    batch = batch_of_labels(
        [sample.name for sample in samples],
        stack_labels(samples),
        reference_frame,
        image=torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2),
        mask=_stack_masks(samples),
    )
    changes = [s.picture_change for s in samples if s.picture_change is not None]
    return replace(batch, picture_change=torch.from_numpy(np.stack(changes))) if changes else batch


_FIELDS: Mapping[str, tuple[str, ...]] = {
    "camera": ("cam_rot", "cam_trans"),
    **{name: (name,) for name in LABELS if name not in ("camera", "mask")},
}


def with_labels(sample: Sample, kept: Collection[str]) -> Sample:
    """Return a sample as if its data set had the labels `kept` and no others.

    Without a camera its field of view is unknown; the principal point, which a crop moves, stays.
    So does the body length.

    Args:
        sample: Any sample.
        kept: Names out of LABELS.
    """
    lost = [label for label in LABELS if label not in kept]
    changes: dict[str, Any] = {
        name: np.full_like(getattr(sample, name), np.nan)
        for label in lost
        for name in _FIELDS.get(label, ())
    }
    if "mask" in lost:
        changes["mask"] = None
    if "camera" in lost:
        centre = sample.intrinsics[2:]
        unknown = np.full(2, np.nan, dtype=np.float32)
        changes |= {"fov": float("nan"), "intrinsics": np.concatenate([unknown, centre])}
    return replace(sample, **changes, present=sample.present.intersection(kept))


def stack_labels(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Return everything of samples but names and pixels, one row per sample, world frame.

    `presence` has a column for each of LABELS.
    """
    return {
        **{name: _stack(samples, name) for name in _NUMBERS},
        "fov": torch.tensor([[sample.fov] for sample in samples], dtype=torch.float32),
        "body_length": torch.tensor([s.body_length for s in samples], dtype=torch.float32),
        "keypoint_visibility": torch.from_numpy(
            np.stack([s.keypoint_visibility for s in samples])
        ),
        "keypoint_presence": torch.from_numpy(np.stack([s.keypoint_presence for s in samples])),
        "presence": torch.tensor([[label in s.present for label in LABELS] for s in samples]),
    }


def batch_of_labels(
    names: Sequence[str],
    labels: Mapping[str, Tensor],
    reference_frame: str,
    *,
    image: Tensor | None = None,
    mask: Tensor | None = None,
    tokens: Tensor | None = None,
) -> Batch:
    """Return the batch of rows of `stack_labels` with images, or cached features instead."""
    columns = labels["presence"].unbind(dim=1)
    presence: dict[str, Tensor] = dict(zip(LABELS, columns, strict=True))
    world = SmilParams(**{name: labels[name] for name in _PARAMS})
    return Batch(
        names=tuple(names),
        reference_frame=reference_frame,
        image=image,
        mask=mask,
        target=change_frame(world, reference_frame),
        intrinsics=labels["intrinsics"],
        scale_weights=labels["scale_weights"],
        trans_weights=labels["trans_weights"],
        keypoints_2d=labels["keypoints_2d"],
        keypoints_3d=points_in_frame(labels["keypoints_3d"], world, reference_frame),
        keypoint_visibility=labels["keypoint_visibility"],
        keypoint_presence=labels["keypoint_presence"],
        body_length=labels["body_length"],
        presence=_presence_in_frame(presence, reference_frame),
        tokens=tokens,
    )


def _presence_in_frame(presence: dict[str, Tensor], frame: str) -> dict[str, Tensor]:
    """Labels in another frame need what the change of frame needs: the camera, and the root."""
    needed = presence["camera"]
    if frame == "root":
        needed = needed & presence["global_rot"] & presence["trans"]
    moved = {name: presence[name] & needed for name in ("global_rot", "trans", "keypoints_3d")}
    if frame == "root":
        moved["camera"] = needed
    return presence | moved


def _stack(samples: Sequence[Sample], field: str) -> Tensor:
    return torch.from_numpy(
        np.stack([getattr(sample, field) for sample in samples]).astype(np.float32, copy=False)
    )


def _stack_masks(samples: Sequence[Sample]) -> Tensor | None:
    if all(sample.mask is None for sample in samples):
        return None
    empty = np.zeros(samples[0].image.shape[:2], dtype=np.uint8)
    masks = [empty if sample.mask is None else sample.mask for sample in samples]
    return torch.from_numpy(np.stack(masks)[:, None])
