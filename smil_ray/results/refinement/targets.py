"""What the animals of rows are fitted to: labelled joints, heat maps, masks, frames in order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import DataError
from smil_ray.fitting.state import Target
from smil_ray.results.keypoints import Keypoints
from smil_ray.results.prediction.parts import Results, Rows
from smil_ray.results.refinement.masks import Masks

Key = tuple[str, int, int]
"""Source, frame, animal."""
SPREAD_OF_SCALE = math.sqrt(3.0)
"""Standard deviation along an axis of distances distributed as r exp(-r / b) / b^2, in b."""


@dataclass(frozen=True)
class Labels:
    """Labelled joints of the animals of results.

    Attributes:
        places: Pixels of the whole picture, NaN where a joint is not labelled.
        n_joints: Of the body model.
    """

    places: dict[Key, Float[np.ndarray, "n_joints 2"]]
    n_joints: int

    @classmethod
    def of(cls, keypoints: Keypoints, found: Results, n_joints: int) -> "Labels":
        """Return the labels that belong to results.

        Raises:
            DataError: A name means several of their sources, or no name means any.
        """
        sources = list(dict.fromkeys(key[0] for key in found.keys))
        known = keypoints.of_images([Path(source) for source in sources])
        return cls(
            {
                (str(path), *which): xy
                for path, places in known.items()
                for which, xy in places.items()
            },
            n_joints,
        )

    def rows(self, rows: Rows) -> Float[np.ndarray, "n n_joints 2"]:
        """Return the labels of rows."""
        columns = [rows[name].tolist() for name in ("source", "frame", "animal")]
        keys = [(str(s), int(f), int(a)) for s, f, a in zip(*columns, strict=True)]
        empty = np.full((self.n_joints, 2), np.nan)
        return np.stack([self.places.get(key, empty) for key in keys])


def windows_of(rows: Rows) -> Iterator[Window]:
    """Yield the square of each row's picture that was seen."""
    return (Window(*window) for window in rows["window"].tolist())


def target_of(rows: Rows, labels: Labels | None, masks: Masks | None) -> Target:
    """Return what the animals of rows are fitted to, as fractions of the squares seen.

    With labels: these, and for the other joints of the same animals what the head's heat maps saw.
    Without: the heat maps alone.

    Args:
        rows: What `predict` found.
        labels: Labelled joints.
        masks: Silhouettes.

    Raises:
        DataError: There is nothing to fit to.
    """
    seen, scale = _maps(rows)
    if labels is None and seen is None:
        raise DataError(
            "Refinement without labels",
            expected="a head with heat maps (model.head.type: joint_tokens)",
            found="one without",
            remedy="give labelled joints with --keypoints FILE.csv",
        )
    if labels is None:
        assert seen is not None
        pixels = seen
    else:
        pixels = labels.rows(rows)
        labelled = np.isfinite(pixels[..., 0])
        if seen is None:
            scale = None
        else:
            some = np.any(labelled, axis=1, keepdims=True)
            pixels = np.where((some & ~labelled)[..., None], seen, pixels)
            assert scale is not None
            scale = np.where(labelled, 0.0, scale)
    windows = list(windows_of(rows))
    xy = np.stack([w.points(places) for w, places in zip(windows, pixels, strict=True)])
    cameras = zip(windows, rows["camera_px"], strict=True)
    intrinsics = np.stack([window.intrinsics_of_px(camera) for window, camera in cameras])
    return Target(
        torch.from_numpy(np.nan_to_num(xy)).float(),
        torch.from_numpy(np.isfinite(xy).all(axis=2)),
        None if scale is None else torch.from_numpy(scale).float(),
        torch.from_numpy(intrinsics).float(),
        None if masks is None else masks.rows(rows),
        _animals(rows),
    )


def _maps(rows: Rows) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return where heat maps saw the joints (px), and how far off (fractions of the square)."""
    if "keypoints_px" not in rows:
        return None, None
    spread = SPREAD_OF_SCALE * rows["keypoint_scale_px"] / rows["window"][:, 2:]
    return rows["keypoints_px"].astype(np.float64), spread


def _animals(rows: Rows) -> Tensor:
    """Return a number for each animal of each video, and for each picture's."""
    columns = [rows[name].tolist() for name in ("source", "animal")]
    numbers: dict[tuple[str, int], int] = {}
    each = [
        numbers.setdefault((str(s), int(a)), len(numbers)) for s, a in zip(*columns, strict=True)
    ]
    return torch.tensor(each)
