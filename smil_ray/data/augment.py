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
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey."""


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
    return replace(
        labels_transformed(sample, transform),
        image=transform.picture(sample.image),
        mask=None if sample.mask is None else transform.picture(sample.mask),
    )


def labels_transformed(sample: Sample, transform: SimilarityTransform) -> Sample:
    """Return a sample with the labels of its changed picture, which is left as it is."""
    turn = np.eye(3, dtype=np.float32)
    turn[:2, :2] = transform.rotation
    focal = sample.intrinsics[:2] * transform.scale
    centre = transform.points(sample.intrinsics[2:])
    points = transform.points(sample.keypoints_2d)
    return replace(
        sample,
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
    return replace(
        labels_mirrored(sample, skeleton),
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        mask=None if sample.mask is None else np.ascontiguousarray(sample.mask[:, ::-1]),
    )


def labels_mirrored(sample: Sample, skeleton: Skeleton) -> Sample:
    """Return a sample with the labels of its mirrored picture, which is left as it is."""
    order = list(skeleton.mirror)
    pose_order = [joint - 1 for joint in order[1:]]
    points = sample.keypoints_2d[order].copy()
    points[:, 0] = 1.0 - points[:, 0]
    intrinsics = sample.intrinsics.copy()
    intrinsics[2] = 1.0 - intrinsics[2]
    mirror = np.diag(_MIRROR_X)
    return replace(
        sample,
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


@dataclass(frozen=True)
class Recolouring:
    """A change of a picture's colours.

    Attributes:
        brightness: Factor of every value.
        contrast: Factor of the distance from the picture's mean.
        saturation: Factor of the distance from each pixel's grey.
        noise: Standard deviation of what is added to every value, of 255.
    """

    brightness: float
    contrast: float
    saturation: float
    noise: float

    @classmethod
    def draw(cls, config: AugmentConfig, rng: np.random.Generator) -> "Recolouring":
        """Return a random change within the limits of `config`."""
        brightness, contrast, saturation = (
            1.0 + rng.uniform(-amount, amount)
            for amount in (config.brightness, config.contrast, config.saturation)
        )
        noise = 255.0 * config.noise * rng.random() if config.noise > 0 else 0.0
        return cls(brightness, contrast, saturation, noise)

    def picture(
        self, image: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Return the changed picture."""
        pixels = image.astype(np.float32) * np.float32(self.brightness)
        mean = pixels.mean(dtype=np.float64)
        pixels = (pixels - mean) * self.contrast + mean
        grey = pixels @ np.array(LUMA, dtype=np.float32)
        pixels = grey[..., None] + (pixels - grey[..., None]) * self.saturation
        if self.noise > 0:
            noise = rng.standard_normal(pixels.shape, dtype=np.float32)
            pixels += noise * np.float32(self.noise)
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


class Augmenter:
    """Changes samples at random, the same way for the same seed, epoch and sample name.

    Neither the order of samples nor the number of loader processes matters, so that a resumed
    run sees what an uninterrupted one does.

    Args:
        config: Limits of the changes.
        skeleton: Says which joints change places in a mirror.
        seed: Of the changes.
        pictures: Change pictures and masks as well; otherwise their change is noted in the sample
            for `data.augment_batch.with_changed_pictures`.
    """

    def __init__(
        self, config: AugmentConfig, skeleton: Skeleton, seed: int, *, pictures: bool = True
    ) -> None:
        self.config, self.skeleton, self.seed = config, skeleton, seed
        self.pictures = pictures

    def __call__(self, sample: Sample, epoch: int) -> Sample:
        """Return `sample` changed; as it is when augmentation is off."""
        config = self.config
        if not config.enabled:
            return sample
        name = zlib.crc32(sample.name.encode())
        rng = np.random.default_rng([self.seed & 0xFFFFFFFF, epoch, name])
        is_mirrored = rng.random() < config.flip
        if is_mirrored:
            mirror = mirrored if self.pictures else labels_mirrored
            sample = mirror(sample, self.skeleton)
        transform = self._random_transform(sample, rng)
        if transform != SimilarityTransform():
            change = transformed if self.pictures else labels_transformed
            sample = change(sample, transform)
        colours = Recolouring.draw(config, rng)
        if self.pictures:
            return replace(sample, image=colours.picture(sample.image, rng))
        return replace(sample, picture_change=encode_change(is_mirrored, transform, colours))

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


def encode_change(
    is_mirrored: bool, transform: SimilarityTransform, colours: Recolouring
) -> Float[np.ndarray, "10"]:
    """Return a change of a picture as numbers.

    The first six are the matrix (2, 3) from places in the changed picture to places in the stored
    one, with the edges at -1 and 1 (what `torch.nn.functional.affine_grid` wants), the others
    brightness, contrast, saturation and noise.
    """
    back = np.linalg.inv(transform.scale * transform.rotation)
    place = np.concatenate([back, -2.0 * (back @ np.array(transform.shift))[:, None]], axis=1)
    if is_mirrored:
        place[0] *= -1.0
    tones = [colours.brightness, colours.contrast, colours.saturation, colours.noise]
    return np.concatenate([place.ravel(), tones]).astype(np.float32)


def _mirrored_root(axis_angle: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the root rotation of the mirrored animal: Mx R My."""
    if not np.isfinite(axis_angle).all():
        return axis_angle
    matrix = Rotation.from_rotvec(axis_angle).as_matrix()
    mirror = Rotation.from_matrix(np.diag([-1.0, 1.0, 1.0]) @ matrix @ np.diag([1.0, -1.0, 1.0]))
    return mirror.as_rotvec().astype(np.float32)


def _inside(points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    return np.logical_and.reduce((points >= 0.0) & (points < 1.0), axis=1)
