"""Pictures of fixed validation samples while a run trains: where the network sees the joints."""

from pathlib import Path

import cv2
import numpy as np

from smil_ray.core.skeleton import Skeleton
from smil_ray.training.reports import Predictions

SMALLEST_SIDE = 256


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
