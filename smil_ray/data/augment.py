"""Random changes of a sample's picture, with its labels moved along; exact, seeded, per epoch.

A picture may be turned in its plane, zoomed and shifted, mirrored, and changed in colour. The
labels stay those of a pinhole camera that saw the changed picture: 2D keypoints still equal the
projection of the 3D ones (`docs/data_format.md` section 8 has the formulas).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.spatial.transform import Rotation
from torch.utils.data import Dataset

from smil_ray.config import AugmentConfig
from smil_ray.core.batch import Sample
from smil_ray.core.skeleton import Skeleton

_MIRROR_X = np.array([-1.0, 1.0, 1.0], dtype=np.float32)
_MIRROR_ROTATION = np.array([-1.0, 1.0, -1.0], dtype=np.float32)  # -My r: My R(r) My.
_LARGEST_SHIFT = 0.5  # Of the room that a zoom leaves, so that the animal stays in the frame.
_SQUARE_PIXELS = 1e-4


@dataclass(frozen=True)
class SimilarityTransform:
    """A change of the picture: turned, scaled about the centre, then shifted.

    Attributes:
        angle: Radians, positive turns the picture's x axis towards its y axis (clockwise).
        scale: Above 1 enlarges the content.
        shift: (x, y) as fractions of the picture.
    """

    angle: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def rotation(self) -> Float[np.ndarray, "2 2"]:
        """The turn of picture coordinates (x right, y down), acting on columns."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])

    def points(self, points: Float[np.ndarray, "*axes 2"]) -> Float[np.ndarray, "*axes 2"]:
        """Return picture positions (fractions) after the change."""
        transformed = (points - 0.5) @ (self.scale * self.rotation).T + 0.5 + np.array(self.shift)
        return transformed.astype(np.asarray(points).dtype)

    def picture(self, picture: UInt8[np.ndarray, "h w *channels"]) -> np.ndarray:
        """Return the changed picture, black where nothing was."""
        size = picture.shape[0]
        matrix = self.scale * self.rotation
        # Pixel i's centre is at (i + 0.5) / size.
        centre = np.full(2, size / 2.0 - 0.5)
        offset = centre + size * np.array(self.shift) - matrix @ centre
        affine = np.concatenate([matrix, offset[:, None]], axis=1)
        return cv2.warpAffine(picture, affine, (size, size), flags=cv2.INTER_LINEAR)


def transformed(sample: Sample, transform: SimilarityTransform) -> Sample:
    """Return a sample with its picture changed; the camera turns, zooms and shifts with it."""
    turn = np.eye(3, dtype=np.float32)
    turn[:2, :2] = transform.rotation
    focal = sample.intrinsics[:2] * transform.scale
    centre = transform.points(sample.intrinsics[2:])
    points = transform.points(sample.keypoints_2d)
    return replace(
        sample,
        image=transform.picture(sample.image),
        mask=None if sample.mask is None else transform.picture(sample.mask),
        intrinsics=np.concatenate([focal, centre]).astype(np.float32),
        fov=float(np.degrees(2.0 * np.arctan(0.5 / focal[1]))),
        # Camera axes (x left, y up) turn like picture axes (x right, y down): both are negated.
        cam_rot=sample.cam_rot @ turn.T,
        cam_trans=sample.cam_trans @ turn.T,
        keypoints_2d=points,
        keypoint_visibility=sample.keypoint_visibility & _inside(points),
    )


def mirrored(sample: Sample, skeleton: Skeleton) -> Sample:
    """Return the sample seen in a mirror: left and right joints change places.

    World and camera are mirrored in x, the animal in its own sagittal plane (y of the model
    frame). Exact for bodies that are symmetric at rest in all shapes.
    """
    order = list(skeleton.mirror)
    pose_order = [joint - 1 for joint in order[1:]]
    points = sample.keypoints_2d[order].copy()
    points[:, 0] = 1.0 - points[:, 0]
    intrinsics = sample.intrinsics.copy()
    intrinsics[2] = 1.0 - intrinsics[2]
    mirror = np.diag(_MIRROR_X)
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        mask=None if sample.mask is None else np.ascontiguousarray(sample.mask[:, ::-1]),
        global_rot=_mirrored_root(sample.global_rot),
        joint_rot=sample.joint_rot[pose_order] * _MIRROR_ROTATION,
        trans=sample.trans * _MIRROR_X,
        cam_rot=mirror @ sample.cam_rot @ mirror,
        cam_trans=sample.cam_trans * _MIRROR_X,
        intrinsics=intrinsics,
        keypoints_2d=points,
        keypoints_3d=sample.keypoints_3d[order] * _MIRROR_X,
        keypoint_visibility=sample.keypoint_visibility[order],
        keypoint_presence=sample.keypoint_presence[order],
    )


def recoloured(
    image: UInt8[np.ndarray, "h w 3"], config: AugmentConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of other brightness, contrast and saturation, with sensor noise."""
    brightness, contrast, saturation = (
        1.0 + rng.uniform(-amount, amount)
        for amount in (config.brightness, config.contrast, config.saturation)
    )
    pixels = image.astype(np.float32) * np.float32(brightness)
    mean = pixels.mean(dtype=np.float64)
    pixels = (pixels - mean) * contrast + mean
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    pixels = grey[..., None] + (pixels - grey[..., None]) * saturation
    if config.noise > 0:
        strength = 255.0 * config.noise * rng.random()
        pixels += rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(strength)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


class Augmenter:
    """Changes samples at random, the same way for the same seed, epoch and sample name.

    Neither the order of samples nor the number of loader processes matters, so that a resumed
    run sees what an uninterrupted one does.
    """

    def __init__(self, config: AugmentConfig, skeleton: Skeleton, seed: int) -> None:
        self.config, self.skeleton, self.seed = config, skeleton, seed

    def __call__(self, sample: Sample, epoch: int) -> Sample:
        """Return `sample` changed; as it is when augmentation is off."""
        config = self.config
        if not config.enabled:
            return sample
        name = zlib.crc32(sample.name.encode())
        rng = np.random.default_rng([self.seed & 0xFFFFFFFF, epoch, name])
        if rng.random() < config.flip:
            sample = mirrored(sample, self.skeleton)
        transform = self._random_transform(sample, rng)
        if transform != SimilarityTransform():
            sample = transformed(sample, transform)
        return replace(sample, image=recoloured(sample.image, config, rng))

    def _random_transform(self, sample: Sample, rng: np.random.Generator) -> SimilarityTransform:
        config = self.config
        angle = np.radians(rng.uniform(-config.rotate_deg, config.rotate_deg))
        scale = 1.0 + rng.uniform(-config.zoom, config.zoom)
        shift = rng.uniform(-1.0, 1.0, 2) * (_LARGEST_SHIFT * config.zoom + config.shift)
        fx, fy = sample.intrinsics[:2]
        if abs(fx - fy) > _SQUARE_PIXELS * abs(fy):
            angle = 0.0  # A turned picture of oblong pixels is not a pinhole camera's.
        return SimilarityTransform(float(angle), float(scale), (float(shift[0]), float(shift[1])))


class AugmentedView(Dataset):
    """A view whose samples are augmented; `set_epoch` before each pass over a loader.

    The epoch lies in shared memory, so that persistent loader processes see it change.
    """

    def __init__(self, view: Any, augmenter: Augmenter) -> None:
        self.view, self.augmenter = view, augmenter
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the random changes of the next pass."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, index: int) -> Sample:
        return self.augmenter(self.view[index], int(self._epoch))

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Return a batch of augmented samples."""
        epoch = int(self._epoch)
        return [self.augmenter(sample, epoch) for sample in self.view.__getitems__(list(indices))]


def _mirrored_root(axis_angle: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the root rotation of the mirrored animal: Mx R My."""
    if not np.isfinite(axis_angle).all():
        return axis_angle
    matrix = Rotation.from_rotvec(axis_angle).as_matrix()
    mirror = Rotation.from_matrix(np.diag([-1.0, 1.0, 1.0]) @ matrix @ np.diag([1.0, -1.0, 1.0]))
    return mirror.as_rotvec().astype(np.float32)


def _inside(points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    return np.logical_and.reduce((points >= 0.0) & (points < 1.0), axis=1)
