"""The ground-truth test: a data set's own parameters through body model, camera and losses.

If labels, signs, units and model agree, the loss is zero and every joint lands on its keypoint.
It says whether a data set and a body model belong together before a network is trained on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.core.batch import Batch, collate
from smil_ray.core.device import find_device
from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import DataError
from smil_ray.losses.objective import Objective
from smil_ray.losses.targets import true_params
from smil_ray.render.overlay import draw_comparison

PARAMETER_TERMS = ("global_rot", "joint_rot", "betas", "trans", "fov", "cam_rot", "cam_trans")
MAX_PARAMETER_LOSS = 0.01
MAX_ERROR_2D_PX = 2.0
PLOT_SIZE = 512


@dataclass(frozen=True)
class GroundTruthCheck:
    """What came out for one sample.

    Attributes:
        name: Sample name.
        parameter_loss: Weighted sum of the parameter terms; 0 unless something is inconsistent.
        error_2d_px: Mean distance of projected joints to 2D keypoints, pixels of the image.
        error_3d: Distance of each joint to its 3D keypoint, model units; NaN where absent.
        projected: Projected joints, (J, 2) fractions of the picture.
        passed: Every tested quantity is within its tolerance.
    """

    name: str
    parameter_loss: float
    error_2d_px: float
    error_3d: np.ndarray
    projected: np.ndarray
    passed: bool

    @property
    def largest_3d(self) -> float:
        """Largest 3D error over the joints that the data has, model units; NaN without any."""
        known = self.error_3d[np.isfinite(self.error_3d)]
        return float(known.max()) if known.size else float("nan")


def check_ground_truth(
    dataset: SmilDataset,
    model: SmilModel | str | Path,
    indices: Sequence[int],
    *,
    test_3d: bool = True,
    tolerance_3d: float = 0.1,
    config: Config | None = None,
    device: str | torch.device = "cpu",
) -> list[GroundTruthCheck]:
    """Return a check of each sample in `indices`.

    Args:
        dataset: Samples with rotations and cameras.
        model: The body model that the labels refer to, or its file.
        indices: Which samples.
        test_3d: Whether 3D joints must be within `tolerance_3d` for a sample to pass.
        tolerance_3d: Model units (Unreal centimetres / 10).
        config: Loss and body settings; the defaults where None.
        device: Where to compute, see `core.device.find_device`.

    Raises:
        ConfigError: There is no such device.
        DataError: A sample has no pose, so there is nothing to test, or the index is out of range.
    """
    config = config or Config()
    model = SmilModel.open(model).to(find_device(device))
    objective = Objective(model, config.loss, config.body, config.model)
    outside = [index for index in indices if not 0 <= index < len(dataset)]
    if outside:
        raise DataError(
            f"Sample index {outside[0]}", expected=f"0 to {len(dataset) - 1}", found=outside[0]
        )
    return [_check(dataset, model, objective, index, test_3d, tolerance_3d) for index in indices]


def draw_alignment(dataset: SmilDataset, index: int, check: GroundTruthCheck) -> np.ndarray:
    """Return a sample's picture with projected joints against keypoints, uint8 RGB."""
    sample = dataset.sample(index)
    edge = max(PLOT_SIZE, sample.image.shape[0])
    image = cv2.resize(sample.image, (edge, edge), interpolation=cv2.INTER_CUBIC)
    true = np.nan_to_num(sample.keypoints_2d, nan=-9.0)
    return draw_comparison(
        image,
        check.projected,
        true,
        sample.keypoint_presence,
        dataset.skeleton,
        network_width=sample.image.shape[1],
    )


def _check(
    dataset: SmilDataset,
    model: SmilModel,
    objective: Objective,
    index: int,
    test_3d: bool,
    tolerance_3d: float,
) -> GroundTruthCheck:
    batch = collate(dataset.samples([index]), "camera")
    for label in ("global_rot", "joint_rot", "trans", "camera"):
        if not bool(batch.presence[label][0]):
            raise DataError(
                f"Sample {batch.names[0]} has no {label}",
                remedy="the ground-truth test needs rotations and a camera in the data set",
            )
    batch = batch.to(model.device)
    representation = objective.model_config.rotation_representation
    truth = true_params(batch, model).with_representation(representation)
    result = objective(truth, batch, epoch=0.0)
    loss = sum(
        result.weights[term] * float(value)
        for term, value in result.terms.items()
        if term in PARAMETER_TERMS
    )
    joints, projected = objective.posed(truth, batch)
    error_2d = _masked_mean(_distance_px(projected, batch), batch.keypoint_presence)
    error_3d = (joints - batch.keypoints_3d).norm(dim=-1)
    error_3d = torch.where(batch.keypoint_presence, error_3d, torch.nan)[0]
    within = bool((error_3d[batch.keypoint_presence[0]] <= tolerance_3d).all())
    passed = loss < MAX_PARAMETER_LOSS and error_2d < MAX_ERROR_2D_PX and (within or not test_3d)
    return GroundTruthCheck(
        batch.names[0],
        loss,
        error_2d,
        error_3d.cpu().numpy(),
        projected[0].cpu().numpy(),
        passed,
    )


def _distance_px(projected: Tensor, batch: Batch) -> Tensor:
    if batch.image is None:
        raise DataError("The ground-truth test needs images, not cached features")
    return (projected - batch.keypoints_2d).norm(dim=-1) * batch.image.shape[-1]


def _masked_mean(values: Tensor, mask: Tensor) -> float:
    return float(values[mask].mean())
