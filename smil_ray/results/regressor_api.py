"""`SMILImageRegressor`: one object for a notebook, with the names that the field's scripts use.

It is put together from the parts of the package (network, body model, camera, renderer, losses)
and holds only which animal was set last; nothing in the package depends on it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from smil_ray.body.smil_model import PosedBody, SmilModel
from smil_ray.config import (
    SHAPE_FAMILY,
    BackboneConfig,
    BodyConfig,
    Config,
    CropConfig,
    HeadConfig,
    ModelConfig,
)
from smil_ray.core.batch import Batch
from smil_ray.core.device import find_device
from smil_ray.core.params import SmilParams
from smil_ray.errors import ConfigError, DataError
from smil_ray.losses.objective import Objective
from smil_ray.models.decoder import ScaleBasis, TargetStatistics
from smil_ray.models.kinematics import Kinematics
from smil_ray.models.placement import place
from smil_ray.models.regressor import Regressor, build_regressor
from smil_ray.render.camera import Camera
from smil_ray.render.rasterize import hard_mask, project_to_pixels
from smil_ray.render.shading import render_rgb
from smil_ray.results.prediction.arrays import Boxes, questions_of
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.target_dicts import batch_from_dict
from smil_ray.tracking.models.local import network_folder
from smil_ray.training.checkpoint.loading import load_regressor

UNTRAINED = TargetStatistics(fov_deg=30.0, log_extent=0.5)
"""Where an untrained network's estimate starts; training replaces it by the data's means."""


class SMILImageRegressor:
    """Predict, pose, render and score SMIL parameters of images.

    Args:
        device: `auto` (the first GPU, where there is one), `cpu`, `cuda` or `cuda:N`.
        data_batch: A sample's `x` dictionary or a list of them; gives the size of renderings.
        batch_size: Kept for callers; batches of any size are accepted.
        shape_family: Body model: `builtin`, a .pkl/.npz file or a `SmilModel`.
        backbone_name: Any timm backbone.
        head_type: `mlp` or `transformer_decoder`.
        rotation_representation: `6d` or `axis_angle`.
        freeze_backbone: Keep the backbone's weights as they are.
        weights: Backbone weights: `none`, `pretrained` or a file.
        hidden_dim: Width of the head; from the backbone where None.

    Raises:
        ConfigError: A setting is unknown, or there is no such device.
        ModelFileError: The body model cannot be read.
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        data_batch: Mapping[str, Any] | list[Mapping[str, Any]] | None = None,
        batch_size: int = 1,
        shape_family: SmilModel | str | Path = SHAPE_FAMILY,
        backbone_name: str = "vit_large_patch16_224",
        head_type: Literal["mlp", "transformer_decoder"] = "transformer_decoder",
        rotation_representation: Literal["6d", "axis_angle"] = "6d",
        **options: Any,
    ) -> None:
        model_config = _model_config(backbone_name, head_type, rotation_representation, options)
        body = SmilModel.open(shape_family)
        regressor = build_regressor(
            model_config,
            n_joints=body.n_joints,
            n_betas=body.n_betas,
            statistics=UNTRAINED,
            basis=ScaleBasis(body.scaledirs, body.transdirs),
            kinematics=Kinematics(body, BodyConfig()),
        )
        config = Config(model=model_config, body=BodyConfig(model=_name(shape_family)))
        place(regressor.eval(), find_device(device))
        self._assemble(regressor, body, config, CropConfig(), _render_size(data_batch))
        self.batch_size = batch_size

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, device: str | torch.device = "cpu"
    ) -> "SMILImageRegressor":
        """Return the trained network of a run or checkpoint folder, or of MLflow.

        Args:
            path: Run or checkpoint folder, or `models:/NAME@ALIAS`; see
                `tracking.models.local.network_folder`.
            device: See the class.

        Raises:
            CheckpointError: The folder holds no readable checkpoint.
            ConfigError: There is no such device, or the address is of no form that is known.
            TrackingError: MLflow is away, or has no such network.
        """
        loaded = load_regressor(network_folder(path), device=device)
        self = cls.__new__(cls)
        self._assemble(loaded.regressor, loaded.model, loaded.config, loaded.crop, None)
        self.batch_size = 1
        return self

    def _assemble(
        self,
        regressor: Regressor,
        body: SmilModel,
        config: Config,
        crop: CropConfig,
        size: int | None,
    ) -> None:
        self.regressor = regressor
        self.device = next(regressor.parameters()).device
        self.body = body.to(self.device)
        self.config = config
        self.input_resolution = regressor.backbone.spec.input_size
        self.image_size = size or self.input_resolution
        self._objective = Objective(self.body, config.loss, config.body, config.model)
        self._predictor = Predictor(
            regressor, body.to("cpu"), config.body, crop, config.loss.ignored_joints
        )
        self._current: SmilParams | None = None

    def predict_from_image(
        self,
        image: np.ndarray | Tensor,
        *,
        box: Boxes = None,
        fov_deg: float | None = None,
        intrinsics: Sequence[Any] | None = None,
    ) -> dict[str, Tensor]:
        """Return the seed's output dictionary for one image or a batch.

        It refers to the whole image, padded to a square, whatever box is given.

        Args:
            image: (H, W, 3) or (B, H, W, 3) array, or (3, H, W) or (B, 3, H, W) tensor; RGB, uint8
                or float in [0, 1]. Pictures of another size or shape are padded and resized.
            box: x, y of the top left corner, width and height (pixels) of the animal, or one such
                row for each image: the network sees a square around it. `auto`: the box of the
                animal that it finds in the whole image. None: the whole image.
            fov_deg: Full vertical field of view of the whole image, if it is known.
            intrinsics: In place of it fx, fy, cx, cy of the whole image, pixels.

        Raises:
            DataError: The image is not RGB or not in the stated range, or a box is not usable.
            ConfigError: The camera is not usable, or the network needs it and it is not given.
        """
        questions = questions_of(
            self._predictor, _as_uint8(image), box, fov_deg=fov_deg, intrinsics=intrinsics
        )
        return self._predictor.ask(questions).as_dict()

    def set_smil_parameters(
        self, parameters: Mapping[str, Tensor] | SmilParams, batch_idx: int = 0
    ) -> None:
        """Choose the animal that the mesh and render functions show."""
        params = _as_params(parameters)
        if not 0 <= batch_idx < params.batch_size:
            raise DataError("batch_idx", expected=f"below {params.batch_size}", found=batch_idx)
        self._current = params[batch_idx : batch_idx + 1].to(self.device)

    def get_mesh_vertices_faces(self) -> tuple[Tensor, Tensor]:
        """Return vertices (V, 3) in the parameters' reference frame, model units, and faces."""
        return self._posed().skin()[0], self.body.faces

    def get_joints(self) -> Tensor:
        """Return the joints (J, 3) in the parameters' reference frame, model units."""
        return self._posed().joints[0]

    def render_rgb_image(self, background: np.ndarray | None = None) -> np.ndarray:
        """Return the animal as its camera sees it, uint8 (H, W, 3) RGB."""
        vertices, faces, intrinsics = self._in_camera()
        size = self.image_size
        rgb, _ = render_rgb(vertices, faces, intrinsics, size, size, background=background)
        return rgb

    def render_silhouette(self) -> np.ndarray:
        """Return the animal's hard silhouette, float32 (H, W), 1 on the animal."""
        vertices, faces, intrinsics = self._in_camera()
        points, depth = project_to_pixels(vertices, intrinsics, self.image_size, self.image_size)
        return hard_mask(points, depth, faces, self.image_size, self.image_size).astype(np.float32)

    def compute_prediction_loss(
        self,
        predicted: Mapping[str, Tensor] | SmilParams,
        target: Batch | Mapping[str, Any],
        epoch: float = 0.0,
    ) -> dict[str, Tensor]:
        """Return `total` and every loss term (unweighted) of predictions for a target batch.

        Args:
            predicted: Output dictionary, in the network's reference frame.
            target: A batch (`core.batch.collate(dataset.samples([0]))`), the `y` of one sample, or
                an output dictionary of one animal.
            epoch: Position in the curriculum.
        """
        if not isinstance(target, Batch):
            target = batch_from_dict(target, self.body, self.config.model.reference_frame)
        params = _as_params(predicted).to(self.device)
        result = self._objective(params, target.to(self.device), epoch)
        return {"total": result.total, **result.terms}

    def _posed(self) -> PosedBody:
        body = self.config.body
        return self.body.pose(
            self._shown(), rest=body.rest_joints, propagate_scaling=body.propagate_scaling
        )

    def _shown(self) -> SmilParams:
        if self._current is None:
            raise DataError("No animal to show", remedy="call set_smil_parameters(...) first")
        return self._current

    def _in_camera(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        params = self._shown()
        vertices, faces = self.get_mesh_vertices_faces()
        camera = Camera.from_params(params)
        points = camera.to_camera(vertices[None])[0]
        return (
            points.detach().cpu().numpy(),
            faces.cpu().numpy(),
            camera.intrinsics[0].detach().cpu().numpy(),
        )


def _name(model: SmilModel | str | Path) -> str:
    return model.name if isinstance(model, SmilModel) else str(model)


def _model_config(
    backbone: str,
    head: Literal["mlp", "transformer_decoder"],
    representation: Literal["6d", "axis_angle"],
    options: dict[str, Any],
) -> ModelConfig:
    known = {"freeze_backbone": True, "weights": "none", "hidden_dim": None}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"SMILImageRegressor: unknown option {unknown[0]!r}", expected=", ".join(known)
        )
    chosen = known | options
    return ModelConfig(
        backbone=BackboneConfig(
            name=backbone, weights=chosen["weights"], freeze=chosen["freeze_backbone"]
        ),
        head=HeadConfig(type=head, hidden_dim=chosen["hidden_dim"]),
        rotation_representation=representation,
    )


def _render_size(data_batch: Mapping[str, Any] | list[Mapping[str, Any]] | None) -> int | None:
    if not data_batch:
        return None
    first = data_batch[0] if isinstance(data_batch, list) else data_batch
    return int(first["input_image_data"].shape[0])


def _as_params(values: Mapping[str, Tensor] | SmilParams) -> SmilParams:
    return values if isinstance(values, SmilParams) else SmilParams.from_dict(values)


def _as_uint8(image: np.ndarray | Tensor) -> list[np.ndarray]:
    """Return pictures as uint8 (H, W, 3) arrays, from any of the accepted layouts."""
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    array = array[None] if array.ndim == 3 else array
    if array.ndim == 4 and array.shape[1] == 3 and array.shape[-1] != 3:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[-1] != 3:
        raise DataError("Image", expected="(H, W, 3) or (B, 3, H, W) RGB", found=array.shape)
    if array.dtype == np.uint8:
        return list(array)
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1.0:
        raise DataError(
            "Image", expected="floats in [0, 1] or uint8", found=f"{array.min()} to {array.max()}"
        )
    return list(np.round(array * 255.0).astype(np.uint8))
