"""A picture of a known animal, and a network that always answers with that animal."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig, CropConfig, ModelConfig
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.data.replicant.coordinates import project
from smil_ray.models.features import JointPlaces
from smil_ray.models.regressor import Regressor
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.views import Picture

WIDTH, HEIGHT = 320, 240
CAMERA_PX = np.array([700.0, 700.0, 170.0, 115.0])
INPUT_SIZE = 96


def animal(model: SmilModel, place: tuple[float, float, float] = (1.2, -0.4, 12.0)) -> SmilParams:
    rng = torch.Generator().manual_seed(3)
    return SmilParams(
        global_rot=torch.tensor([[0.4, -0.2, 0.9]]),
        joint_rot=0.2 * torch.randn(1, model.n_joints - 1, 3, generator=rng),
        betas=torch.zeros(1, model.n_betas),
        trans=torch.tensor([place]),
        fov=torch.tensor([[30.0]]),
        cam_rot=torch.eye(3)[None],
        cam_trans=torch.zeros(1, 3),
    )


def joints_px(model: SmilModel, params: SmilParams) -> np.ndarray:
    """Where the joints are in the picture."""
    joints = model.pose(params).joints[0].numpy().astype(np.float64)
    return project(joints, np.eye(3), np.zeros(3), CAMERA_PX)[0]


class KnowingNetwork(Regressor):
    """Answers with `params`; its field of view is what the focal length it is told comes to.

    With `dots` (pixels of the picture) it says that it saw joints there. `asked` records the
    intrinsics, `seen` the pictures, `told` the prompts of each call.
    """

    def __init__(
        self, params: SmilParams, frame: str = "camera", camera: str = "predicted"
    ) -> None:
        nn.Module.__init__(self)
        self.config = ModelConfig.model_validate({"camera": camera})
        self.params = params
        self.frame = frame
        self.anchor = nn.Parameter(torch.zeros(1))
        self.backbone = SimpleNamespace(spec=SimpleNamespace(input_size=INPUT_SIZE))
        self.dots: np.ndarray | None = None
        self.asked: list[Tensor] = []
        self.seen: list[Tensor] = []
        self.told: list[Tensor | None] = []

    def forward(
        self,
        image: Tensor | None = None,
        *,
        tokens: Tensor | None = None,
        intrinsics: Tensor | None = None,
        prompts: Tensor | None = None,
        lifted: JointPlaces | None = None,
    ) -> SmilParams:
        assert image is not None
        assert tokens is None
        assert intrinsics is not None
        self.asked.extend(intrinsics)
        self.seen.extend(image)
        self.told.append(prompts)
        fov = torch.rad2deg(2.0 * torch.atan(0.5 / intrinsics[:, 1:2]))
        n = len(image)
        repeated = self.params.map(lambda value: value.expand(n, *value.shape[1:]))
        found = replace(repeated, fov=fov)
        if self.dots is not None:
            found = replace(
                found,
                keypoint_xy=torch.stack([self._place(i) for i in intrinsics]),
                keypoint_scale=0.01 * torch.ones(n, len(self.dots)),
            )
        return change_frame(found, self.frame)

    def _place(self, intrinsics: Tensor) -> Tensor:
        """Where `dots` (pixels) are in the square with these intrinsics."""
        assert self.dots is not None
        side = torch.tensor(CAMERA_PX[:2]) / intrinsics[:2]
        corner = torch.tensor(CAMERA_PX[2:]) - side * intrinsics[2:]
        return ((torch.tensor(self.dots) - corner) / side).float()


def predictor(
    network: Regressor, model: SmilModel, crop: CropConfig | None = None, *ignored: str
) -> Predictor:
    return Predictor(network, model, BodyConfig(), crop or CropConfig(mode="bbox"), ignored)


def card(points: np.ndarray) -> Picture:
    """A dark picture with a white dot at each point."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for x, y in points:
        # Centres of pixels are at halves; 4 bits of a pixel's fraction.
        centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))
        cv2.circle(rgb, centre, 3 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return Picture(Path("card.png"), rgb)
