"""An animal over time, and the scene that files show it in.

Scene axes are those of glTF: x right, y up, z towards the viewer; metres; the camera is at the
origin and looks along -z. Rest poses stand upright in them: x left of the animal, y up, z forward.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from smil_ray.body.posed_body import PosedBody
from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.params import SmilParams

METRES = 0.1
"""Metres in a model unit."""
SCENE_FROM_CAMERA = np.diag([-1.0, 1.0, -1.0])
"""Camera axes (x left, y up, z forward) to scene axes; column convention."""
UPRIGHT_FROM_MODEL = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
"""Model axes (x forward, y left, z up) to the upright axes of rest poses; column convention."""
DEFAULT_FPS = 30.0
SHAPE = ("betas", "log_beta_scales", "betas_trans")
_CHUNK = 64


@dataclass(frozen=True)
class Animation:
    """One animal in the frames of a video, or in a picture.

    Attributes:
        name: Of the animal in files.
        model: Body model of the parameters.
        body: How the model is posed.
        params: A row for each frame, in the camera frame.
        frames: Their numbers, ascending.
        time_s: When they are shown; NaN where that is not known.
        camera_px: fx, fy, cx, cy of each frame.
        size_px: Width and height of the picture.
    """

    name: str
    model: SmilModel
    body: BodyConfig
    params: SmilParams
    frames: Int[np.ndarray, " n"]
    time_s: Float[np.ndarray, " n"]
    camera_px: Float[np.ndarray, "n 4"]
    size_px: tuple[int, int]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def seconds(self) -> Float[np.ndarray, " n"]:
        """When each frame is shown, from the first; at `DEFAULT_FPS` where it is not known."""
        known = len(self) > 1 and bool(np.isfinite(self.time_s).all())
        times = self.time_s if known else self.frames / DEFAULT_FPS
        return times - times[0]

    @property
    def rate(self) -> float:
        """Frames of the video a second."""
        if len(self) == 1:
            return DEFAULT_FPS
        return float(self.frames[-1] - self.frames[0]) / float(self.seconds[-1])

    @property
    def fps(self) -> float:
        """Frames of this animation a second, by the shortest step between two."""
        return self.rate / int(np.diff(self.frames).min()) if len(self) > 1 else DEFAULT_FPS

    def posed(self) -> PosedBody:
        """Return the bodies of all frames in the camera frame, model units."""
        return self._pose(self.params)

    def scene_joints(self) -> Float[np.ndarray, "n n_joints 3"]:
        """Return the posed joints of all frames in the scene, metres."""
        return to_scene(self.posed().joints.double().numpy())

    def scene_vertices(self) -> Iterator[Float[np.ndarray, "n_verts 3"]]:
        """Yield the posed vertices of each frame in the scene, metres."""
        for start in range(0, len(self), _CHUNK):
            body = self._pose(self.params[start : start + _CHUNK])
            yield from to_scene(body.skin().double().numpy())

    def with_one_shape(self) -> "Animation":
        """Return the animal with the mean of its frames' shapes, as smoothing gives it one."""
        mean = {
            name: value.double().mean(dim=0, keepdim=True).to(value.dtype).expand_as(value)
            for name, value in self.params.as_dict().items()
            if name in SHAPE
        }
        return replace(self, params=replace(self.params, **mean))

    def shape_note(self) -> list[str]:
        """Return what a person should know of `with_one_shape`; nothing if no joint moves."""
        apart = self.posed().joints - self.with_one_shape().posed().joints
        percent = 100.0 * float(apart.norm(dim=-1).max()) / self.model.body_length
        if percent < 0.01:
            return []
        return [
            f"one shape for {len(self)} frames, their mean: joints are up to {percent:.1f} % of "
            "body length from the prediction's (predict --smooth gives each animal one shape)"
        ]

    def _pose(self, params: SmilParams) -> PosedBody:
        body = self.body
        with torch.no_grad():
            return self.model.pose(
                params, rest=body.rest_joints, propagate_scaling=body.propagate_scaling
            )


def to_scene(points_cam: Float[np.ndarray, "*axes 3"]) -> Float[np.ndarray, "*axes 3"]:
    """Return points of the camera frame (model units) in the scene (metres)."""
    return METRES * points_cam @ SCENE_FROM_CAMERA.T


def upright(points: Float[np.ndarray, "*axes 3"]) -> Float[np.ndarray, "*axes 3"]:
    """Return points of the model frame (model units) in upright axes (metres)."""
    return METRES * points @ UPRIGHT_FROM_MODEL.T
