"""Pictures of a run while it trains: fixed validation samples, and curves of what was measured."""

import logging
from pathlib import Path

import cv2
import numpy as np

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig, Config
from smil_ray.core.frames import points_in_camera
from smil_ray.core.skeleton import Skeleton
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.reports import Predictions

log = logging.getLogger(__name__)

SMALLEST_SIDE = 256


def write_plots(run: RunDir, config: Config) -> None:
    """Draw the run's metrics into its `plots`; a full disk costs the plots, not the run."""
    # Matplotlib takes half a second to import, and most processes draw nothing.
    from smil_ray.results.run_plots import write_run_plots

    try:
        write_run_plots(run.read_metrics(), config, run.plots)
    except OSError as error:
        log.warning("Plots of %s cannot be written: %s", run.path, error)


def write_alignment_plot(
    predictions: Predictions, model: SmilModel, body: BodyConfig, folder: Path
) -> None:
    """Draw predicted against true joint distances of fixed samples: `alignment.png`."""
    from smil_ray.results.alignment_plot import write_alignment

    batch = predictions.batch
    model = model.to("cpu")
    posed = model.pose(
        predictions.params,
        rest=body.rest_joints,
        propagate_scaling=body.propagate_scaling,
    )
    predicted = points_in_camera(posed.joints, predictions.params)
    true = points_in_camera(batch.keypoints_3d, batch.target)
    percent = 100.0 / batch.body_length[:, None, None]
    valid = batch.keypoint_presence & batch.presence["keypoints_3d"][:, None]
    path = folder / "alignment.png"
    try:
        write_alignment(
            (predicted * percent).numpy(),
            (true * percent).numpy(),
            valid.numpy(),
            model.skeleton.joint_names,
            path,
        )
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error)


def write_overlays(predictions: Predictions, skeleton: Skeleton, folder: Path) -> Path | None:
    """Write `FOLDER/epoch_0007.png`: predicted (pink) against true joints (green) and errors.

    Returns None where there are no images (training from cached features).
    """
    # Imported here because its kernels take a while to load and most processes draw nothing.
    from smil_ray.render.overlay import contact_sheet, draw_comparison

    batch = predictions.batch
    if batch.image is None:
        return None
    pictures = []
    for index in range(batch.size):
        image = _enlarged(batch.image[index].permute(1, 2, 0).contiguous().numpy())
        seen = batch.keypoint_visibility[index] & batch.keypoint_presence[index]
        pictures.append(
            draw_comparison(
                image,
                predictions.xy[index].float().numpy(),
                batch.keypoints_2d[index].numpy(),
                seen.numpy(),
                skeleton,
                network_width=batch.image.shape[-1],
            )
        )
    sheet = contact_sheet(pictures, min(4, len(pictures)), labels=list(batch.names))
    path = folder / f"epoch_{predictions.epoch:04d}.png"
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return path


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Enlarge small network inputs so that lines and labels can be read."""
    factor = -(-SMALLEST_SIDE // image.shape[0])
    if factor <= 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
