"""Reading files that the predecessor (SMILify's neuralSMIL) wrote, with its quirks undone.

What is undone (`docs/data_format.md` section 9): red and blue are swapped in the JPEGs; 2D
keypoints are (y, x); lengths are centimetres; missing labels are NaN, missing joints zeros.
Its frame, model at the origin with identity root, is exactly the package's root frame and
serves as the samples' world.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.batch import LABELS, Sample
from smil_ray.core.skeleton import chain_length
from smil_ray.data.hdf5._trial import FileState, check_readable, trust
from smil_ray.data.hdf5.reading import (
    array_at,
    attribute,
    attributes,
    dataset_at,
    opened,
    texts_at,
)
from smil_ray.data.hdf5.schema import StoreInfo
from smil_ray.data.image_io import decode_jpeg
from smil_ray.data.sample_source import rows_of_labels
from smil_ray.errors import DataError

UNITS_PER_CM = 0.1
_FIELDS = ("global_rot", "joint_rot", "betas", "trans", "fov", "cam_rot", "cam_trans")


def is_predecessor_file(path: Path) -> bool:
    """Return whether `path` is a single-view HDF5 file of the predecessor.

    Raises:
        DataError: It is no HDF5 file at all.
    """
    with opened(path) as file:
        metadata = file.get("metadata")
        if not isinstance(metadata, h5py.Group) or "schema_version" in metadata.attrs:
            return False
        return "target_resolution" in metadata.attrs and "images/rgb_jpeg" in file


class PredecessorSource:
    """Samples of a predecessor's file; see `sample_source.SampleSource`.

    Each process opens the file for itself when it first reads an image.

    Raises:
        DataError: A data set is missing, or the file's joints cannot be the model's.
    """

    def __init__(self, path: Path, model: SmilModel) -> None:
        self.path = Path(path).absolute()
        self._images: tuple[int, h5py.File] | None = None
        with opened(self.path) as file:
            self._tried = FileState.of(self.path)
            n = attribute(file, "metadata", "total_samples", int)
            size = attribute(file, "metadata", "target_resolution", int)
            self._labels = _read_labels(file, n, model)
            self.names = _read_names(file, n)
            settings = {key: str(value) for key, value in attributes(file, "metadata").items()}
        self.groups = self.names
        self._body_length = _body_lengths(self._labels["keypoints_3d"], model)
        self._mask_present = np.ones(n, dtype=bool)
        self.presence = self._find_presence()
        self.info = StoreInfo(
            joint_names=tuple(model.skeleton.joint_names),
            parents=tuple(model.skeleton.parents),
            model_name=model.name,
            model_hash=model.content_hash,
            n_betas=self._labels["betas"].shape[1],
            n_weights=self._labels["scale_weights"].shape[1],
            input_size=size,
            settings={"predecessor": settings},
            content_hash=self._hash(),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_images": None}

    def read(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples in the order of `indices`.

        Raises:
            DataError: An image is damaged.
        """
        file = self._file()
        return [self._sample(file, i) for i in indices]

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the labels of samples without reading their images."""
        focal = 0.5 / np.tan(np.radians(self._labels["fov"].astype(np.float64)) / 2.0)
        middle = np.full_like(focal, 0.5)
        columns = {
            **self._labels,
            "intrinsics": np.stack([focal, focal, middle, middle], axis=1).astype(np.float32),
            "body_length": self._body_length,
        }
        return rows_of_labels(columns, self.presence, indices)

    def _file(self) -> h5py.File:
        """Return this process's own handle; one inherited across fork is left alone."""
        if self._images is None or self._images[0] != os.getpid():
            trust(self._tried)
            check_readable(self.path)
            self._images = (os.getpid(), h5py.File(self.path, "r", locking=False))
        return self._images[1]

    def _sample(self, file: h5py.File, index: int) -> Sample:
        try:
            swapped = decode_jpeg(np.asarray(dataset_at(file, "images/rgb_jpeg")[index], np.uint8))
            mask = np.asarray(dataset_at(file, "images/silhouette_masks")[index])[0]
        except (OSError, DataError) as error:
            raise DataError(f"{self.path}: sample {index}: {error}") from error
        mask = (mask * 255 if mask.max(initial=0) <= 1 else mask).astype(np.uint8)
        row = {name: values[index] for name, values in self._labels.items()}
        fov = float(row.pop("fov"))
        focal = 0.5 / np.tan(np.radians(fov) / 2.0)
        present = {name for name, here in zip(LABELS, self.presence[index], strict=True) if here}
        return Sample(
            name=self.names[index],
            group=self.groups[index],
            image=np.ascontiguousarray(swapped[..., ::-1]),
            mask=mask if "mask" in present else None,
            fov=fov,
            intrinsics=np.array([focal, focal, 0.5, 0.5], dtype=np.float32),
            body_length=float(self._body_length[index]),
            present=frozenset(present),
            **row,
        )

    def _find_presence(self) -> np.ndarray:
        """The predecessor has no mask as a mask of zeros, and no label as NaN."""
        with opened(self.path) as file:
            masks = dataset_at(file, "images/silhouette_masks")
            has_mask = [bool(np.any(masks[i])) for i in range(len(self.names))]
        labels = self._labels
        finite = {
            name: np.isfinite(labels[name].reshape(len(self.names), -1)).all(axis=1)
            for name in ("global_rot", "joint_rot", "trans")
        }
        for name in ("betas", "scale_weights", "trans_weights"):
            values = labels[name]
            finite[name] = np.isfinite(values).all(axis=1) & (values.shape[1] > 0)
        camera = np.concatenate([labels["cam_rot"].reshape(-1, 9), labels["cam_trans"]], axis=1)
        finite["camera"] = np.isfinite(camera).all(axis=1) & np.isfinite(labels["fov"])
        finite["keypoints_2d"] = labels["keypoint_presence"].any(axis=1)
        finite["keypoints_3d"] = labels["keypoint_presence"].any(axis=1)
        finite["mask"] = np.array(has_mask, dtype=bool)
        return np.stack([finite[name] for name in LABELS], axis=1)

    def _hash(self) -> str:
        """Hash labels, names and the file's size: reading every image would take too long."""
        digest = hashlib.sha256(str(self.path.stat().st_size).encode())
        digest.update("\n".join(self.names).encode())
        for name in sorted(self._labels):
            digest.update(np.ascontiguousarray(self._labels[name]).tobytes())
        return digest.hexdigest()


def _read_labels(file: h5py.File, n: int, model: SmilModel) -> dict[str, np.ndarray]:
    """Return the labels as `Sample` fields, one row a sample."""
    joints = model.skeleton.n_joints
    raw = {name: np.asarray(dataset_at(file, f"parameters/{name}")[...]) for name in _FIELDS}
    found = raw["joint_rot"].shape[1] + 1 if raw["joint_rot"].ndim == 3 else 0
    if found != joints:
        raise DataError(
            f"{file.filename}: parameters/joint_rot",
            expected=f"the {joints} joints of the model {model.name!r}",
            found=f"{found} joints",
            remedy="give the model the file was made with",
        )
    labels = {name: values.astype(np.float32) for name, values in raw.items()}
    labels["fov"] = labels["fov"].reshape(n)
    for name in ("global_rot", "joint_rot"):
        labels[name] = _axis_angle(labels[name])
    for name in ("trans", "cam_trans"):
        labels[name] = labels[name] * np.float32(UNITS_PER_CM)
    for name in ("scale_weights", "trans_weights"):
        labels[name] = _weights(file, name, n, model.n_scale_weights)
    return labels | _read_keypoints(file, n, joints)


def _read_keypoints(file: h5py.File, n: int, joints: int) -> dict[str, np.ndarray]:
    yx = array_at(file, "keypoints/keypoints_2d", (n, joints, 2), "float32")
    points = array_at(file, "keypoints/keypoints_3d", (n, joints, 3), "float32")
    visible = array_at(file, "keypoints/keypoint_visibility", (n, joints), "float32")
    finite = np.isfinite(np.concatenate([yx, points], axis=-1))
    present: np.ndarray = np.logical_and.reduce(finite, axis=-1)
    # Zeros stand for a missing joint, except for the root, which is the origin.
    present[:, 1:] &= (points[:, 1:] != 0).any(-1)
    missing = ~present[..., None]
    return {
        "keypoints_2d": np.where(missing, np.nan, yx[..., ::-1]).astype(np.float32),
        "keypoints_3d": np.where(missing, np.nan, points * UNITS_PER_CM).astype(np.float32),
        "keypoint_visibility": (visible > 0.5) & present,
        "keypoint_presence": present,
    }


def _axis_angle(
    values: Float[np.ndarray, "*axes width"],
) -> Float[np.ndarray, "*axes 3"]:
    if values.shape[-1] == 3:
        return values
    matrices = rotations.to_matrix(torch.from_numpy(values).double())
    return rotations.matrix_to_axis_angle(matrices).float().numpy()


def _weights(file: h5py.File, name: str, n: int, width: int) -> np.ndarray:
    """Return (n, k) weights; the predecessor writes a NaN scalar a sample where it has none."""
    values = file.get(f"parameters/{name}")
    if isinstance(values, h5py.Dataset) and values.ndim == 2 and values.shape[0] == n:
        return np.asarray(values[...], dtype=np.float32)
    return np.full((n, width), np.nan, dtype=np.float32)


def _read_names(file: h5py.File, n: int) -> tuple[str, ...]:
    """Return file names without suffix, numbered, since the predecessor may repeat them."""
    if "auxiliary/original_paths" not in file:
        return tuple(f"sample_{i:06d}" for i in range(n))
    stored = dataset_at(file, "auxiliary/original_paths")
    if stored.dtype.kind == "S":
        paths = texts_at(file, "auxiliary/original_paths", n)
    else:
        paths = tuple(str(text) for text in stored.asstr()[...])
    stems = [Path(path).stem or f"sample_{i:06d}" for i, path in enumerate(paths)]
    if len(set(stems)) == n:
        return tuple(stems)
    return tuple(f"{stem}_{i:06d}" for i, stem in enumerate(stems))


def _body_lengths(points: np.ndarray, model: SmilModel) -> np.ndarray:
    """Return the length of each trunk in model units, the model's where joints are missing."""
    lengths = chain_length(points, model.skeleton.body_chain)
    return np.where(np.isfinite(lengths) & (lengths > 0), lengths, model.body_length)
