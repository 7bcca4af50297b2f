"""Settings of the loss: weights by term, and the curriculum that changes them."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from smil_ray.config.base import NonNegative, Positive, Settings, Stage

# fmt: off
LOSS_TERM_NAMES = (
    "global_rot", "joint_rot", "betas", "trans", "fov", "cam_rot", "cam_trans",
    "log_beta_scales", "betas_trans", "keypoint_2d", "keypoint_3d", "silhouette",
    "joint_angle", "joint_limit", "limb_scale", "pose_prior", "shape_prior",
    "keypoint_heatmap", "keypoint_place", "keypoint_confidence",
)
# fmt: on
"""Every loss term by name; `losses.terms.LOSS_TERMS` implements exactly these."""


class CurriculumStage(Stage):
    """From `epoch` on, these weights replace the earlier ones."""

    weights: dict[str, NonNegative]


class LossConfig(Settings):
    """Loss weights by term and the curriculum that changes them over epochs.

    `base_weights` in a file replaces all the defaults: a term that it does not name is off.
    `--set loss.base_weights.betas=0` changes one weight and keeps the others.

    In the camera frame `cam_rot` and `cam_trans` are constant and their terms zero; in the root
    frame `global_rot` and `trans` are. `unseen_joint_weight` is the weight, in 3D and rotation
    terms, of joints that are labelled but not seen (the seed: 0). `pose_prior` and `shape_prior`
    are distances from the poses and shapes of the training split, or of the run that
    `train.init_from` names, for samples that have no such labels; `joint_limit` is for all. The
    terms `keypoint_heatmap`, `keypoint_place` and `keypoint_confidence` count only for heads that
    look at single joints.
    """

    base_weights: dict[str, NonNegative] = {
        "global_rot": 1.0,
        "joint_rot": 20.0,
        "betas": 0.5,
        "trans": 1.0,
        "fov": 0.05,
        "cam_rot": 1.0,
        "cam_trans": 1.0,
        "keypoint_2d": 30.0,
        "keypoint_3d": 30.0,
        "keypoint_heatmap": 1.0,
        "keypoint_place": 10.0,
        "keypoint_confidence": 0.1,
    }
    stages: tuple[CurriculumStage, ...] = ()
    transition: Literal["step", "linear"] = "step"
    ramp_epochs: Annotated[int, Field(ge=1)] = 5
    ignored_joints: tuple[str, ...] = ()
    verbose_ignored_joints: bool = True
    joint_importance: dict[str, NonNegative] = {}
    unseen_joint_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    normalise: bool = True
    silhouette_size: Annotated[int, Field(ge=16)] = 64
    silhouette_sigma: Positive = 1e-4

    @field_validator("stages")
    @classmethod
    def _stages_ascend(cls, stages: tuple[CurriculumStage, ...]) -> tuple[CurriculumStage, ...]:
        epochs = [stage.epoch for stage in stages]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"stage epochs must be distinct and ascending, found {epochs}")
        return stages

    @model_validator(mode="after")
    def _terms_are_known(self) -> "LossConfig":
        for weights in (self.base_weights, *(stage.weights for stage in self.stages)):
            unknown = sorted(set(weights) - set(LOSS_TERM_NAMES))
            if unknown:
                raise ValueError(
                    f"unknown loss term {unknown[0]!r}; terms are {', '.join(LOSS_TERM_NAMES)}"
                )
        return self
