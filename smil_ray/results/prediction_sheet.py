"""Overlays of the best, the median and the worst predictions of a network on held-out samples."""

from pathlib import Path

import numpy as np

from smil_ray.core.batch import Batch, collate
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.render.camera import Camera
from smil_ray.results.evaluate import batches, held_out_indices, network
from smil_ray.results.pictures import (
    PredictionPicture,
    best_median_worst,
    draw_predictions,
    write_prediction_pictures,
)
from smil_ray.training.checkpoint import LoadedRegressor


def write_prediction_sheet(
    loaded: LoadedRegressor,
    dataset: SmilDataset,
    path: Path,
    *,
    split: str = "test",
    each: int = 2,
    batch_size: int = 16,
) -> Path:
    """Write one picture with `each` best, median and worst samples of a split, by 2D error.

    Raises:
        DataError: The split is empty.
    """
    frame = loaded.config.model.reference_frame
    indices = held_out_indices(loaded, dataset, split)
    predict = network(loaded)
    errors: list[float] = []
    for batch in batches(dataset, indices, frame, batch_size):
        xy = loaded_points(loaded, predict(batch), batch)
        errors.extend(_mean_error(xy, batch))
    chosen = [indices[position] for position in best_median_worst(errors, each)]
    batch = collate(dataset.samples(chosen), frame)
    return write_prediction_pictures(_drawn(loaded, batch), path)


def loaded_points(loaded: LoadedRegressor, params: SmilParams, batch: Batch) -> np.ndarray:
    """Return projected joints (B, J, 2) as fractions of the picture."""
    joints = loaded.model.pose(params).joints
    xy, _ = Camera.from_params(params, batch.intrinsics).project(joints)
    return xy.numpy()


def _drawn(loaded: LoadedRegressor, batch: Batch) -> list[PredictionPicture]:
    return draw_predictions(network(loaded)(batch), batch, loaded.model)


def _mean_error(xy: np.ndarray, batch: Batch) -> list[float]:
    """Return each sample's mean 2D error over visible joints, NaN where none is seen."""
    seen = (batch.keypoint_visibility & batch.keypoint_presence).numpy()
    distance = np.linalg.norm(xy - batch.keypoints_2d.numpy(), axis=-1)
    return [
        float(row[mask].mean()) if mask.any() else float("nan")
        for row, mask in zip(distance, seen, strict=True)
    ]
