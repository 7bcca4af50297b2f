"""Pictures for people: predictions over images, and a body model from all sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from smil_ray.body.mesh_io import write_obj
from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch
from smil_ray.core.frames import points_in_camera
from smil_ray.core.params import SmilParams
from smil_ray.data.image_io import write_png
from smil_ray.errors import DataError
from smil_ray.render.camera import Camera
from smil_ray.render.overlay import contact_sheet, draw_comparison, draw_mesh
from smil_ray.render.shading import render_rgb

PANEL = 384
"""Edge in pixels of one panel of an overlay."""
VIEWS = {
    "left": (0.0, 0.0),
    "above": (0.0, 89.0),
    "front": (90.0, 10.0),
    "three-quarter": (40.0, 35.0),
}
"""Name of a view -> azimuth (0 = from the animal's left) and elevation in degrees."""


@dataclass(frozen=True)
class PredictionPicture:
    """One sample: image, predicted mesh over it, predicted against true keypoints.

    Attributes:
        name: Sample name.
        error_px: Mean 2D error over visible joints, pixels of the network's image; NaN if none.
        network_width: Width of the network's image in pixels.
        panels: The three panels side by side, uint8 RGB.
    """

    name: str
    error_px: float
    network_width: int
    panels: np.ndarray

    @property
    def label(self) -> str:
        """Name and error, as it stands above the panels."""
        if not np.isfinite(self.error_px):
            return f"{self.name}: no joint seen"
        return f"{self.name}: error {self.error_px:.1f} px of the {self.network_width} px input"


def draw_predictions(
    params: SmilParams,
    batch: Batch,
    model: SmilModel,
    *,
    body: BodyConfig | None = None,
    edge: int = PANEL,
) -> list[PredictionPicture]:
    """Return a picture of each sample in a batch that has images.

    Args:
        params: Predictions, in any reference frame.
        batch: The samples; samples without 2D keypoints get no comparison.
        model: The body model of the predictions.
        body: How the network's training posed bodies (`config.body`).
        edge: Edge of one panel in pixels.
    """
    if batch.image is None:
        return []
    params, body = params.detach(), body or BodyConfig()
    posed = model.pose(params, rest=body.rest_joints, propagate_scaling=body.propagate_scaling)
    camera = Camera.from_params(params, batch.intrinsics)
    xy, _ = camera.project(posed.joints)
    vertices = points_in_camera(posed.skin(), params)
    seen = batch.keypoint_visibility & batch.keypoint_presence
    seen = seen & batch.presence["keypoints_2d"][:, None]
    width = batch.image.shape[-1]
    error = (xy - batch.keypoints_2d).norm(dim=-1) * width
    pictures = []
    for index, name in enumerate(batch.names):
        image = _enlarged(batch.image[index], edge)
        mesh = draw_mesh(
            image,
            vertices[index].numpy(),
            model.faces.numpy(),
            camera.intrinsics[index].numpy(),
        )
        visible = seen[index].numpy()
        true = np.nan_to_num(batch.keypoints_2d[index].numpy(), nan=-9.0)
        points = draw_comparison(
            image, xy[index].numpy(), true, visible, model.skeleton, network_width=width
        )
        mean = float(error[index][seen[index]].mean()) if visible.any() else float("nan")
        panels = np.concatenate([image, mesh, points], axis=1)
        pictures.append(PredictionPicture(name, mean, width, panels))
    return pictures


def write_prediction_pictures(pictures: Sequence[PredictionPicture], path: Path) -> Path:
    """Write pictures below each other, best first, each with its name and error.

    Raises:
        DataError: There is no picture, or the file cannot be written.
    """
    if not pictures:
        raise DataError(f"{path}: no predictions to draw")
    ranked = sorted(pictures, key=lambda p: np.nan_to_num(p.error_px, nan=np.inf))
    rows = [_labelled(picture.panels, picture.label) for picture in ranked]
    write_png(path, np.concatenate(rows))
    return path


def best_median_worst(errors: Sequence[float], each: int = 2) -> list[int]:
    """Return positions of the smallest, the middle and the largest errors, NaN left out."""
    order = [int(i) for i in np.argsort(errors, kind="stable") if np.isfinite(errors[int(i)])]
    middle = max(0, len(order) // 2 - each // 2)
    chosen = [*order[:each], *order[middle : middle + each], *order[-each:]]
    return list(dict.fromkeys(chosen))


def draw_model_views(
    model: SmilModel | str | Path, vertices: Tensor | None = None, *, edge: int = 480
) -> np.ndarray:
    """Return a body model from four sides, rest pose by default, uint8 RGB."""
    model = SmilModel.open(model)
    points = (model.v_template if vertices is None else vertices).numpy().astype(np.float64)
    centre = (points.max(axis=0) + points.min(axis=0)) / 2
    radius = float(np.linalg.norm(points - centre, axis=1).max())
    fov = np.deg2rad(20.0)
    focal = 0.5 / np.tan(fov / 2)
    intrinsics = np.array([focal, focal, 0.5, 0.5])
    images = []
    for azimuth, elevation in VIEWS.values():
        seen = (points - centre) @ _view(azimuth, elevation)
        seen[:, 2] += radius / np.sin(fov / 2)
        rgb, _ = render_rgb(seen, model.faces.numpy(), intrinsics, edge, edge)
        images.append(rgb)
    return contact_sheet(images, 2, list(VIEWS), cell=edge)


def write_model_sheet(model: SmilModel | str | Path, folder: Path) -> list[Path]:
    """Write NAME.png (four views) and NAME.obj (rest pose) of a body model into `folder`."""
    model = SmilModel.open(model)
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{model.name}.png"
    write_png(picture, draw_model_views(model))
    mesh = folder / f"{model.name}.obj"
    write_obj(mesh, model.v_template.numpy(), model.faces.numpy())
    return [picture, mesh]


def _view(azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Return world -> camera (row convention; x left, y up, z forward) looking at the origin."""
    azimuth, elevation = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    eye = np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.cos(elevation) * np.cos(azimuth),
            np.sin(elevation),
        ]
    )
    forward = -eye
    left = np.cross([0.0, 0.0, 1.0], forward)
    left /= np.linalg.norm(left)
    up = np.cross(forward, left)
    return np.stack([left, up, forward], axis=1)


def _enlarged(image: Tensor, edge: int) -> np.ndarray:
    rgb = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return cv2.resize(rgb, (edge, edge), interpolation=cv2.INTER_CUBIC)


def _labelled(panels: np.ndarray, label: str) -> np.ndarray:
    bar = np.full((28, panels.shape[1], 3), 32, dtype=np.uint8)
    cv2.putText(bar, label, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (235,) * 3, 1, cv2.LINE_AA)
    return np.concatenate([bar, panels])
