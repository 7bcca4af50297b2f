"""Samples with random labels, for tests of files and data sets."""

import cv2
import numpy as np

from smil_ray.core.batch import LABELS, Sample
from smil_ray.data.hdf5.schema import StoreInfo

JOINTS = ("b_t", "b_a_1", "l_1_l", "l_1_r")
PARENTS = (-1, 0, 0, 0)
N_BETAS, N_WEIGHTS, SIZE = 3, 2, 16
EVERY_LABEL = frozenset(LABELS)


def store_info(**changes: object) -> StoreInfo:
    values: dict = {
        "joint_names": JOINTS,
        "parents": PARENTS,
        "model_name": "four",
        "model_hash": "0" * 64,
        "n_betas": N_BETAS,
        "n_weights": N_WEIGHTS,
        "input_size": SIZE,
        "settings": {"jpeg_quality": 95},
    }
    return StoreInfo(**{**values, **changes})


def make_sample(
    index: int,
    *,
    present: frozenset[str] = EVERY_LABEL,
    size: int = SIZE,
    name: str | None = None,
) -> Sample:
    """Return a sample whose values follow from `index`; absent labels are NaN."""
    rng = np.random.default_rng(index)

    def label(name: str, *shape: int) -> np.ndarray:
        values = rng.normal(size=shape).astype(np.float32)
        return values if name in present else np.full(shape, np.nan, np.float32)

    return Sample(
        name=name or f"set/s_{index:05d}",
        group=f"set/s_{index // 2:05d}",
        image=smooth_picture(rng, size),
        mask=soft_mask(rng, size) if "mask" in present else None,
        global_rot=label("global_rot", 3),
        joint_rot=label("joint_rot", len(JOINTS) - 1, 3),
        betas=label("betas", N_BETAS),
        trans=label("trans", 3),
        fov=float(np.float32(rng.uniform(10, 60))) if "camera" in present else float("nan"),
        cam_rot=label("camera", 3, 3),
        cam_trans=label("camera", 3),
        intrinsics=label("camera", 4),
        scale_weights=label("scale_weights", N_WEIGHTS),
        trans_weights=label("trans_weights", N_WEIGHTS),
        keypoints_2d=label("keypoints_2d", len(JOINTS), 2),
        keypoints_3d=label("keypoints_3d", len(JOINTS), 3),
        keypoint_visibility=rng.random(len(JOINTS)) > 0.5,
        keypoint_presence=rng.random(len(JOINTS)) > 0.2,
        body_length=float(np.float32(rng.uniform(0.5, 2.0))),
        present=present,
    )


def smooth_picture(rng: np.random.Generator, size: int) -> np.ndarray:
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def soft_mask(rng: np.random.Generator, size: int) -> np.ndarray:
    centre, radius = rng.uniform(0.3, 0.7, 2) * size, rng.uniform(0.1, 0.4) * size
    rows, columns = np.mgrid[:size, :size]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    return np.round(255 * np.clip(radius - distance + 0.5, 0, 1)).astype(np.uint8)


def assert_same_labels(found: Sample, expected: Sample) -> None:
    """Everything but the image, which JPEG changes a little, is equal."""
    for field, value in vars(expected).items():
        if field != "image":
            np.testing.assert_array_equal(getattr(found, field), value, err_msg=field)
