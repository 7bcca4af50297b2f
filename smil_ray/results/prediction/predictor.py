"""A network asked for pictures: whole ones, squares around boxes, and boxes that it finds itself.

What the network says of a square is turned into what holds for the whole picture. A square of
side a out of a picture whose padded square has side A has tan(fov / 2) smaller by a / A; places
and poses in camera coordinates are the same, since the network is told the principal point.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from smil_ray.body.smil_model import PosedBody, SmilModel
from smil_ray.config import BodyConfig, CropConfig
from smil_ray.core.device import full_precision
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.data.crop import animal_box, mean_window
from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import ConfigError, DataError
from smil_ray.models.regressor import Regressor
from smil_ray.results.prediction.cameras import Intrinsics
from smil_ray.results.prediction.views import Picture
from smil_ray.training.checkpoint.loading import LoadedRegressor

CAMERA_REMEDY = (
    "give --fov-deg F (vertical, of the whole image) or --intrinsics FX FY CX CY (pixels) or "
    "--intrinsics FILE; in Python fov_deg=F or intrinsics=(fx, fy, cx, cy)"
)


@dataclass(frozen=True)
class Question:
    """What the network is asked: a picture, the square of it, and the camera.

    Attributes:
        picture: The whole picture.
        window: The square that the network sees.
        camera_px: fx, fy, cx, cy of the whole picture; fx and fy are NaN where unknown.
        view: The square as the network sees it, if it is cut out already.
        told_px: Known places of joints in the whole picture, NaN where not known.
    """

    picture: Picture
    window: Window
    camera_px: Intrinsics
    view: UInt8[np.ndarray, "size size 3"] | None = None
    told_px: Float[np.ndarray, "n_joints 2"] | None = None

    def with_view(self, size: int) -> "Question":
        """Return the question with its square cut out."""
        return replace(self, view=self.picture.cut(self.window, size))


@dataclass(frozen=True)
class Answer:
    """One animal in one picture.

    Attributes:
        params: In the camera frame; `fov` is that of the picture padded to a square.
        posed: The body with these parameters.
        camera_px: fx, fy, cx, cy of the whole picture, as given or as predicted.
    """

    params: SmilParams
    posed: PosedBody
    camera_px: Intrinsics

    @property
    def joints(self) -> Float[np.ndarray, "n_joints 3"]:
        """Joints in camera coordinates, model units."""
        return self.posed.joints[0].cpu().numpy()

    def vertices(self) -> Float[np.ndarray, "n_verts 3"]:
        """Return the vertices in camera coordinates, model units."""
        return self.posed.skin()[0].cpu().numpy()

    def joints_px(self) -> Float[np.ndarray, "n_joints 2"]:
        """Return where the joints are in the whole picture, NaN behind the camera."""
        return pixels_of(self.joints[None], self.camera_px[None])[0]


@dataclass(frozen=True)
class Answers:
    """The animals of a batch of questions, one each; see `Answer`.

    Attributes:
        params: In the camera frame, on the CPU.
        joints: Camera coordinates, model units.
        joints_px: In the whole picture; NaN behind the camera.
        camera_px: fx, fy, cx, cy of each whole picture.
    """

    params: SmilParams
    joints: Float[np.ndarray, "n n_joints 3"]
    joints_px: Float[np.ndarray, "n n_joints 2"]
    camera_px: Float[np.ndarray, "n 4"]


class Predictor:
    """A network with its body model and the crops that it was trained on.

    Args:
        regressor: In evaluation mode, on any device.
        model: The body model that its parameters refer to, on the CPU.
        body: How bodies are posed.
        crop: Of its training data; gives the room around boxes.
        ignored_joints: Joints that it was not trained on and that no box is drawn around.
    """

    def __init__(
        self,
        regressor: Regressor,
        model: SmilModel,
        body: BodyConfig,
        crop: CropConfig,
        ignored_joints: Sequence[str] = (),
    ) -> None:
        self.regressor, self.model, self.body, self.crop = regressor, model, body, crop
        self._ignored = model.skeleton.mask(tuple(ignored_joints))

    @classmethod
    def of(cls, loaded: LoadedRegressor) -> "Predictor":
        """Return the predictor of a checkpoint."""
        config = loaded.config
        return cls(
            loaded.regressor, loaded.model, config.body, loaded.crop, config.loss.ignored_joints
        )

    @property
    def input_size(self) -> int:
        """Side of the network's square input, pixels."""
        return self.regressor.backbone.spec.input_size

    def check_camera(self, is_given: bool) -> None:
        """Refuse to go on where the network needs to know the camera and it is not given.

        Raises:
            ConfigError: It does and it is not.
        """
        if self.knows_camera and not is_given:
            raise ConfigError(
                "The network was trained with a known camera (model.camera: known)",
                expected="the camera of the images",
                found="none",
                remedy=CAMERA_REMEDY,
            )

    def ask(self, questions: Sequence[Question]) -> SmilParams:
        """Return the parameters of each animal in the network's own frame, for whole pictures.

        Raises:
            ConfigError: The network needs to know the camera, and a question lacks it; or joints
                are told, and it was not trained with any.
        """
        self.check_camera(not any(np.isnan(q.camera_px[0]) for q in questions))
        size = self.input_size
        views = [q.picture.cut(q.window, size) if q.view is None else q.view for q in questions]
        images = np.stack(views)
        intrinsics = np.stack([q.window.intrinsics_of_px(q.camera_px) for q in questions])
        prompts = self._prompts(questions)
        device = next(self.regressor.parameters()).device
        # Not inference mode: its results cannot be optimised any further.
        with torch.no_grad(), full_precision(device):
            params = self.regressor(
                torch.from_numpy(images).to(device).permute(0, 3, 1, 2),
                intrinsics=torch.from_numpy(intrinsics).float().to(device),
                prompts=None if prompts is None else prompts.to(device),
            )
        return _for_whole_pictures(params, questions)

    def answers(self, params: SmilParams, questions: Sequence[Question]) -> Answers:
        """Return the animals that `ask` found for these questions, in camera coordinates."""
        params = change_frame(params.detach(), "camera")
        joints = self.posed(params).joints.cpu().numpy()
        camera_px = self._cameras(params, questions)
        return Answers(params, joints, pixels_of(joints, camera_px), camera_px)

    def posed(self, params: SmilParams) -> PosedBody:
        """Return the bodies of parameters, posed as the network's configuration says."""
        return self.model.pose(
            params.to(self.model.device),
            rest=self.body.rest_joints,
            propagate_scaling=self.body.propagate_scaling,
        )

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Return each animal in camera coordinates of its whole picture, on the CPU."""
        if not questions:
            return []
        params = change_frame(self.ask(questions).detach(), "camera")
        return [
            self._answer(params[index : index + 1], question)
            for index, question in enumerate(questions)
        ]

    def closer(self, question: Question, box: Float[np.ndarray, "4"]) -> Question:
        """Return the question for the square around a box (left, top, right, bottom; px).

        The box has the room that it had on average in training.
        """
        return replace(question, window=mean_window(box, self.crop), view=None)

    def box_of(
        self,
        answer: Answer,
        picture: Picture,
        told_px: Float[np.ndarray, "n_joints 2"] | None = None,
    ) -> Float[np.ndarray, "4"]:
        """Return left, top, right, bottom (px) of an animal inside its picture.

        Joints that are told are where they were told.

        Raises:
            DataError: It is predicted outside the picture.
        """
        joints = np.where(self._ignored[:, None], np.nan, answer.joints_px())
        if told_px is not None:
            joints = np.where(np.isfinite(told_px), told_px, joints)
        outline = pixels_of(answer.vertices()[None], answer.camera_px[None])[0]
        box = animal_box(joints, tuple(self.model.skeleton.parents), picture.size_px, outline)
        if box is None:
            raise DataError(
                f"{picture.path}: box auto",
                expected="an animal in the picture",
                found="one that is predicted outside of it",
                remedy="give its box with --box FILE, or predict with --box none",
            )
        return box

    def _prompts(self, questions: Sequence[Question]) -> torch.Tensor | None:
        """Return what is told, (n, n_joints, 2), fractions of the squares; None: nothing."""
        if all(question.told_px is None for question in questions):
            return None
        nothing = np.full((self.model.n_joints, 2), np.nan)
        told = [q.window.points(nothing if q.told_px is None else q.told_px) for q in questions]
        return torch.from_numpy(np.stack(told)).float()

    def _answer(self, params: SmilParams, question: Question) -> Answer:
        return Answer(params, self.posed(params), self._cameras(params, [question])[0])

    def _cameras(
        self, params: SmilParams, questions: Sequence[Question]
    ) -> Float[np.ndarray, "n 4"]:
        """Return each picture's camera (px), the focal length as given or as predicted."""
        side = np.array([q.picture.whole.side for q in questions])
        fov = params.fov[:, 0].double().numpy()
        focal = 0.5 * side / np.tan(np.radians(fov) / 2.0)
        camera_px = np.stack([q.camera_px for q in questions])
        if not self.knows_camera:
            camera_px[:, :2] = focal[:, None]
        return camera_px

    @property
    def knows_camera(self) -> bool:
        """Whether the network is told the focal length (`model.camera: known`)."""
        return self.regressor.config.camera == "known"


def pixels_of(
    points: Float[np.ndarray, "n n_points 3"], camera_px: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n n_points 2"]:
    """Return where points in camera coordinates are in their pictures, NaN behind the camera."""
    x, y, z = np.moveaxis(points.astype(np.float64), 2, 0)
    safe = np.where(z > 0, z, np.nan)
    fx, fy, cx, cy = camera_px.T[..., None]
    return np.stack([cx - fx * x / safe, cy - fy * y / safe], axis=2)


def _for_whole_pictures(params: SmilParams, questions: Sequence[Question]) -> SmilParams:
    """Return parameters that refer to the pictures padded to squares, in place of the views."""

    def column(values: list[float]) -> torch.Tensor:
        return params.fov.new_tensor(values)[:, None]

    share = column([q.window.side / q.picture.whole.side for q in questions])
    half = torch.tan(torch.deg2rad(params.fov) / 2.0)
    fov = torch.where(share == 1.0, params.fov, torch.rad2deg(2.0 * torch.atan(half / share)))
    if params.keypoint_xy is None or params.keypoint_scale is None:
        return replace(params, fov=fov)
    starts = [q.picture.whole.points(q.window.pixels(np.zeros(2))) for q in questions]
    start = params.fov.new_tensor(np.stack(starts))[:, None]
    return replace(
        params,
        fov=fov,
        keypoint_xy=start + share[..., None] * params.keypoint_xy,
        keypoint_scale=share * params.keypoint_scale,
    )
