"""Overlays of the best, the median and the worst predictions of a network on held-out samples."""

from pathlib import Path

import numpy as np

from smil_ray.core.batch import Batch, collate
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.render.camera import Camera
from smil_ray.results.evaluate import batches, held_out_indices, network
from smil_ray.results.pictures import (
    best_median_worst,
    draw_predictions,
    write_prediction_pictures,
)
from smil_ray.training.checkpoint.loading import LoadedRegressor


def write_prediction_sheet(
    loaded: LoadedRegressor | str | Path,
    dataset: SmilDataset,
    path: Path,
    *,
    split: str = "test",
    each: int = 2,
    batch_size: int = 16,
) -> Path:
    """Write one picture with `each` best, median and worst samples of a split, by 2D error.

    `loaded` may be a run or checkpoint folder.

    Raises:
        DataError: The split is empty.
    """
    loaded = LoadedRegressor.open(loaded)
    frame = loaded.config.model.reference_frame
    indices = held_out_indices(loaded, dataset, split)
    predict = network(loaded)
    errors: list[float] = []
    for batch in batches(dataset, indices, frame, batch_size):
        xy = _projected(loaded, predict(batch).detach(), batch)
        errors.extend(_mean_error(xy, batch))
    chosen = [indices[position] for position in best_median_worst(errors, each)]
    batch = collate(dataset.samples(chosen or indices[:each]), frame)
    drawn = draw_predictions(predict(batch), batch, loaded.model, body=loaded.config.body)
    return write_prediction_pictures(drawn, path)


def _projected(loaded: LoadedRegressor, params: SmilParams, batch: Batch) -> np.ndarray:
    """Return projected joints (B, J, 2) as fractions of the picture."""
    body = loaded.config.body
    joints = loaded.model.pose(
        params, rest=body.rest_joints, propagate_scaling=body.propagate_scaling
    ).joints
    xy, _ = Camera.from_params(params, batch.intrinsics).project(joints)
    return xy.numpy()


def _mean_error(xy: np.ndarray, batch: Batch) -> list[float]:
    """Return each sample's mean 2D error over visible joints, NaN where none is seen."""
    seen = (batch.keypoint_visibility & batch.keypoint_presence).numpy()
    distance = np.linalg.norm(xy - batch.keypoints_2d.numpy(), axis=-1)
    return [
        float(row[mask].mean()) if mask.any() else float("nan")
        for row, mask in zip(distance, seen, strict=True)
    ]
