"""Labels that people made here, as COCO keypoints: `preprocess` and other tools read them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from smil_ray.core.skeleton import Skeleton

_HALF_PIXEL = 0.5
"""COCO counts points from the middle of the first pixel, the package from its corner."""
_ABSENT, _SEEN = 0, 2


@dataclass(frozen=True)
class Labelled:
    """The labelled joints of one animal in one picture.

    Attributes:
        file_name: The picture, relative to the file of labels.
        size_px: Its width and height.
        joints_px: Pixels from the picture's corner, NaN where a joint is not labelled.
    """

    file_name: str
    size_px: tuple[int, int]
    joints_px: Float[np.ndarray, "n_joints 2"]


def write_coco(path: Path, labelled: Sequence[Labelled], skeleton: Skeleton) -> None:
    """Write labels, one animal a picture; joints have the body model's names."""
    images = [
        {"id": n, "file_name": each.file_name, "width": each.size_px[0], "height": each.size_px[1]}
        for n, each in enumerate(labelled, start=1)
    ]
    annotations = [_annotation(n, each) for n, each in enumerate(labelled, start=1)]
    bones = [[p + 1, j + 1] for j, p in enumerate(skeleton.parents) if p >= 0]
    names = list(skeleton.joint_names)
    category = {"id": 1, "name": "animal", "keypoints": names, "skeleton": bones}
    document = {"images": images, "annotations": annotations, "categories": [category]}
    path.write_text(json.dumps(document), encoding="utf-8")


def _annotation(number: int, labelled: Labelled) -> dict[str, Any]:
    known = np.asarray(np.isfinite(labelled.joints_px).all(axis=1))
    places = np.where(known[:, None], labelled.joints_px - _HALF_PIXEL, 0.0)
    flags = np.where(known, _SEEN, _ABSENT)
    low, high = labelled.joints_px[known].min(axis=0), labelled.joints_px[known].max(axis=0)
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": int(known.sum()),
        "keypoints": np.column_stack([places.round(3), flags]).ravel().tolist(),
        "bbox": [*low.round(3).tolist(), *(high - low).round(3).tolist()],
    }
