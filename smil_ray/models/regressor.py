"""Backbone and head: an RGB image becomes SMIL parameters."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from smil_ray.config import ModelConfig
from smil_ray.core.device import exact
from smil_ray.core.params import SmilParams
from smil_ray.errors import ConfigError
from smil_ray.models.backbones import Backbone, build_backbone
from smil_ray.models.decoder import (
    ParameterDecoder,
    ScaleBasis,
    TargetStatistics,
    given_intrinsics,
)
from smil_ray.models.features import Features, JointPlaces
from smil_ray.models.heads.build import build_head, corrects_itself, finest_stride
from smil_ray.models.heads.output import EstimatedJoints, Estimator, HeadOutput, KeypointMaps
from smil_ray.models.kinematics import Kinematics


def build_regressor(
    config: ModelConfig,
    *,
    n_joints: int,
    n_betas: int,
    statistics: TargetStatistics,
    basis: ScaleBasis | None = None,
    kinematics: Kinematics | None = None,
    backbone: Backbone | None = None,
) -> "Regressor":
    """Return the network of `config` for a SMIL model with these sizes.

    The head's initial weights depend on torch's generator as it is now, not on the backbone's use.

    Args:
        config: Backbone, head and outputs.
        n_joints: Joints of the SMIL model.
        n_betas: Its shape coefficients.
        statistics: What the outputs start from.
        basis: The SMIL model's directions.
        kinematics: The SMIL model's joints; heads that correct their estimate need them.
        backbone: A backbone to share; None makes `config`'s own.

    Raises:
        ConfigError: See `build_backbone`; or a mode of joint scales or translations needs
            directions that the SMIL model does not have.
        ValueError: The head corrects its estimate and there are no `kinematics`.
    """
    if kinematics is None and corrects_itself(config.head):
        raise ValueError("build_regressor: a head with refinements needs the body's kinematics")
    decoder = ParameterDecoder(config, n_joints, n_betas, statistics, basis)
    head_seed = int(torch.randint(2**62, ()))
    if backbone is None:
        backbone = build_backbone(config.backbone, finest_stride(config))
    torch.manual_seed(head_seed)
    head = build_head(config.head, backbone.spec, decoder.layout)
    return Regressor(config, backbone, head, decoder, kinematics)


class Regressor(nn.Module):
    """Image (or cached features) to SMIL parameters in `config.reference_frame`."""

    def __init__(
        self,
        config: ModelConfig,
        backbone: Backbone,
        head: nn.Module,
        decoder: ParameterDecoder,
        kinematics: Kinematics | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.head = head
        self.decoder = decoder
        self.kinematics = kinematics if corrects_itself(config.head) else None
        width = backbone.spec.num_features
        self.camera = CameraInput(width) if config.camera == "known" else None

    @property
    def looks_at_joints(self) -> bool:
        """Return whether the head sees single joints, and can lift places without a picture."""
        return self.config.head.type == "joint_tokens"

    @property
    def takes_prompts(self) -> bool:
        """Return whether places of joints can be given as an input."""
        return self.looks_at_joints and self.config.head.prompt_share > 0

    def check_prompts(self) -> None:
        """Refuse places of joints as an input.

        Raises:
            ConfigError: The network was not trained with any.
        """
        if not self.takes_prompts:
            raise ConfigError(
                "places of joints as prompts",
                expected="a network with joint_tokens, trained with model.head.prompt_share",
                found=f"head {self.config.head.type}, prompt_share "
                f"{self.config.head.prompt_share:g}",
                remedy="train one with --set model.head.type=joint_tokens "
                "--set model.head.prompt_share=0.3",
            )

    def set_epoch(self, epoch: int) -> bool:
        """Freeze or unfreeze for `epoch`; true when trained parameters changed (rebuild DDP)."""
        return self.backbone.set_epoch(epoch)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return optimiser groups of everything that is ever trained.

        Each has `name`, `params`, `weight_decay` (0 for biases and norms) and `lr_factor`, by
        which the scheduled learning rate is to be multiplied.
        """
        groups = []
        factor = self.config.backbone.learning_rate_factor
        parts = (
            ("head", self._head_parameters(), 1.0),
            ("backbone", self.backbone.trainable_parameters(), factor),
        )
        for name, parameters, lr_factor in parts:
            split: dict[bool, list[nn.Parameter]] = {True: [], False: []}
            for parameter in parameters:
                split[parameter.ndim > 1].append(parameter)
            for decayed, chosen in split.items():
                if chosen:
                    groups.append(
                        {
                            "name": name if decayed else f"{name}_no_decay",
                            "params": chosen,
                            "weight_decay": weight_decay if decayed else 0.0,
                            "lr_factor": lr_factor,
                        }
                    )
        return groups

    def _head_parameters(self) -> list[nn.Parameter]:
        camera = [] if self.camera is None else list(self.camera.parameters())
        return [*self.head.parameters(), *camera]

    def forward(
        self,
        image: Shaped[Tensor, "batch 3 h w"] | None = None,
        *,
        tokens: Float[Tensor, "batch width"] | None = None,
        intrinsics: Float[Tensor, "batch 4"] | None = None,
        prompts: Float[Tensor, "batch n_joints 2"] | None = None,
        lifted: JointPlaces | None = None,
    ) -> SmilParams | tuple[SmilParams, SmilParams]:
        """Return the parameters of the animal in each image.

        Args:
            image: RGB 0-255, uint8 or float.
            tokens: `Features.packed()` of the same images in place of `image`.
            intrinsics: fx, fy, cx, cy as fractions of width and height. With `camera: predicted`
                only the principal point is used (a crop moves it); None: the middle.
            prompts: Places of joints that are known, fractions of the picture; NaN: not known.
            lifted: Places of the joints of animals without pictures, for heads that look at
                joints; what is returned then is a pair, the animals in the pictures and these.

        Raises:
            ConfigError: The network needs to know the camera and `intrinsics` is None, or there
                are prompts and it was not trained with any.
        """
        if prompts is not None:
            self.check_prompts()
        features: Features
        if image is not None:
            features = Features(*self.backbone(image))
        elif tokens is not None:
            features = self.backbone.spec.unpack(tokens)
        else:
            raise ValueError("Regressor: expected an image or tokens, found neither")
        if lifted is not None:
            features, intrinsics = _beside(features, intrinsics, lifted)
        if self.camera is not None:
            pooled = features.pooled + self.camera(given_intrinsics(intrinsics))
            features = features._replace(pooled=pooled)
        found: HeadOutput = self.head(
            features,
            self.decoder.initial,
            self._estimator(intrinsics),
            prompts,
            **({} if lifted is None else {"lifted": lifted}),
        )
        with exact(found.raw.device):
            params = self.decoder(found.raw.float(), intrinsics)
        if found.keypoints is None:
            return params
        if lifted is None:
            return self._with_keypoints(params, found.keypoints)
        pictures = len(found.keypoints.xy)
        in_pictures = params.map(lambda value: value[:pictures])
        others = params.map(lambda value: value[pictures:])
        return self._with_keypoints(in_pictures, found.keypoints), others

    def _estimator(self, intrinsics: Float[Tensor, "batch 4"] | None) -> Estimator | None:
        """Return the function that says where raw outputs put the joints of this batch."""
        kinematics = self.kinematics
        if kinematics is None:
            return None

        def joints_of(raw: Float[Tensor, "batch total"]) -> EstimatedJoints:
            return kinematics(self.decoder(raw, intrinsics), intrinsics)

        return joints_of

    def _with_keypoints(self, params: SmilParams, keypoints: KeypointMaps) -> SmilParams:
        return replace(
            params,
            keypoint_xy=keypoints.xy,
            keypoint_scale=keypoints.scale,
            keypoint_logits=keypoints.logits if self.training else None,
        )


def _beside(
    features: Features, intrinsics: Float[Tensor, "batch 4"] | None, lifted: JointPlaces
) -> tuple[Features, Float[Tensor, "all 4"]]:
    """Return pooled features and cameras with rows for animals without pictures."""
    blank = features.pooled.new_zeros(len(lifted.xy), features.pooled.shape[1])
    pooled = torch.cat([features.pooled, blank])
    cameras = torch.cat([given_intrinsics(intrinsics), lifted.intrinsics])
    return features._replace(pooled=pooled), cameras


class CameraInput(nn.Module):
    """What a network is told about a known camera, in the width of the pooled feature.

    Focal length and principal point say how the crop lies in the field of view (Li et al. 2022,
    "CLIFF: Carrying Location Information in Full Frames").
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        last = nn.Linear(hidden, width)
        # At first the camera leaves the feature as the backbone gives it.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(4, hidden), nn.GELU(), last)

    def forward(self, intrinsics: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch width"]:
        """Return the embedding of fx, fy, cx, cy (fractions of the picture)."""
        focal, centre = intrinsics[:, :2], intrinsics[:, 2:]
        return self.layers(torch.cat([focal.log(), centre - 0.5], dim=1))
