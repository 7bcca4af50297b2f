"""Every setting of a run and its default, once. Configuration is data that is passed down.

Files and `--set` overrides become a `Config` in `config_io`; nothing imports a live configuration.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

SHAPE_FAMILY = "builtin"
"""The body model that `body.model` names when nothing else is said; also `SMILImageRegressor`s."""

RotationRepresentation = Literal["6d", "axis_angle"]
ReferenceFrame = Literal["camera", "root"]
JointDeformation = Literal["ignore", "pca", "per_joint", "from_betas"]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Epoch = Annotated[int, Field(ge=0)]
FeatureCacheMode = Literal["off", "auto", "fp32", "fp16", "bf16"]


def _words(meant: dict[bool, str]) -> BeforeValidator:
    """Accept words without quotes that YAML 1.1 reads as booleans: yes, no, off."""
    return BeforeValidator(lambda said: meant.get(said, said) if isinstance(said, bool) else said)


# fmt: off
LOSS_TERM_NAMES = (
    "global_rot", "joint_rot", "betas", "trans", "fov", "cam_rot", "cam_trans",
    "log_beta_scales", "betas_trans", "keypoint_2d", "keypoint_3d", "silhouette",
    "joint_angle", "joint_limit", "limb_scale",
)
# fmt: on
"""Every loss term by name; `losses.terms.LOSS_TERMS` implements exactly these."""


class Settings(BaseModel):
    """Base of all configuration: unknown keys are refused, values do not change after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class AugmentConfig(Settings):
    """Random changes of training images; labels move with the pixels. Off by default."""

    enabled: bool = False
    brightness: NonNegative = 0.2
    contrast: NonNegative = 0.2
    saturation: NonNegative = 0.15
    noise: NonNegative = 0.015
    rotate_deg: NonNegative = 20.0
    zoom: Annotated[float, Field(ge=0.0, lt=0.9)] = 0.15
    flip: Fraction = 0.0


class DataConfig(Settings):
    """Which samples are read, how they are split (`train_fraction`: of training groups), batched.

    `feature_cache`: where the backbone is frozen, its features are computed once and kept on the
    disk in this precision; `auto` is fp16 where they fit and pay off. With augmentation they are
    those of `feature_views` changes of each picture, taken in turn by epochs (0: not cached).
    `feature_cache_dir` null means SMIL_RAY_CACHE, or `smil_ray` in the user's cache folder.
    """

    path: str | None = None
    val_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.10
    train_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    split_seed: int = 13
    batch_size: Annotated[int, Field(ge=1)] = 8
    loader_workers: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1)] | None = None
    augment: AugmentConfig = AugmentConfig()
    feature_cache: Annotated[FeatureCacheMode, _words({False: "off"})] = "auto"
    feature_views: Annotated[int, Field(ge=0)] = 0
    feature_cache_dir: str | None = None
    feature_cache_limit_gb: Positive = 50.0

    @model_validator(mode="after")
    def _fractions_leave_training_data(self) -> "DataConfig":
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ValueError("val_fraction + test_fraction must be below 1")
        return self


class BodyConfig(Settings):
    """The SMIL model that parameters refer to: `builtin` or a .pkl/.npz file."""

    model: str = SHAPE_FAMILY
    rest_joints: Literal["auto", "regressed", "static"] = "auto"
    propagate_scaling: bool = True


class PartialFreeze(Settings):
    """Train the last `last_blocks` blocks of the backbone from `unfreeze_at_epoch` on."""

    unfreeze_at_epoch: Epoch = 0
    last_blocks: Annotated[int, Field(ge=1)] | None = None


class BackboneConfig(Settings):
    """A timm backbone; its input size, normalisation and width come from timm."""

    name: str = "test_resnet"
    weights: str = "none"
    freeze: bool | PartialFreeze = False
    input_size: Annotated[int, Field(ge=16)] | None = None
    learning_rate_factor: Positive = 1.0


class HeadConfig(Settings):
    """The regression head on top of the backbone's tokens.

    `hidden_dim` null follows from the backbone's width. `depth`, `num_heads`, `iterations` and
    `queries` (query tokens that share the work) are the transformer decoder's.
    """

    type: Literal["mlp", "transformer_decoder"] = "transformer_decoder"
    hidden_dim: Annotated[int, Field(ge=8)] | None = None
    dropout: Fraction = 0.1
    depth: Annotated[int, Field(ge=1)] = 3
    num_heads: Annotated[int, Field(ge=1)] = 8
    iterations: Annotated[int, Field(ge=1)] = 3
    queries: Annotated[int, Field(ge=1)] = 1


class ModelConfig(Settings):
    """The network: backbone, head and how it expresses its outputs."""

    backbone: BackboneConfig = BackboneConfig()
    head: HeadConfig = HeadConfig()
    rotation_representation: RotationRepresentation = "6d"
    reference_frame: ReferenceFrame = "camera"
    joint_scales: JointDeformation = "ignore"
    joint_translations: JointDeformation = "ignore"


class Stage(Settings):
    """What holds from `epoch` on; the seed's spelling `(epoch, value)` is accepted as well."""

    epoch: Epoch

    @model_validator(mode="before")
    @classmethod
    def _accept_pairs(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) == 2:
            return dict(zip(cls.model_fields, value, strict=True))
        return value


class CurriculumStage(Stage):
    """From `epoch` on, these weights replace the earlier ones."""

    weights: dict[str, NonNegative]


class LossConfig(Settings):
    """Loss weights by term and the curriculum that changes them over epochs.

    In the camera frame `cam_rot` and `cam_trans` are constant and their terms zero; in the root
    frame `global_rot` and `trans` are. `unseen_joint_weight` is the weight, in 3D and rotation
    terms, of joints that are labelled but not seen (the seed: 0).
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


class LearningRateStage(Stage):
    """From `epoch` on, this learning rate."""

    learning_rate: Positive


class OptimConfig(Settings):
    """AdamW and everything around one optimiser step."""

    learning_rate: Positive = 5e-4
    weight_decay: NonNegative = 1e-4
    stages: tuple[LearningRateStage, ...] = ()
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: NonNegative = 1.0
    final_fraction: Fraction = 0.01
    clip_norm: Positive | None = 1.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    compile: bool = False


class TrainConfig(Settings):
    """How long to train, what counts as better and what is kept.

    A run ends after `stop_epoch`, if that is set, on the schedules of a run of all `epochs`.
    Every `overlay_every_epochs` epochs and at the end, `overlay_samples` validation samples are
    drawn, and with `plots` the curves of the run.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    stop_epoch: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 13
    select_metric: str = "val/pa_mpjpe_pct_bl"
    select_mode: Literal["min", "max"] = "min"
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    checkpoint_every_epochs: Annotated[int, Field(ge=1)] = 1
    checkpoint_every_minutes: Positive | None = None
    keep_best: Annotated[int, Field(ge=1)] = 1
    overlay_every_epochs: Annotated[int, Field(ge=1)] = 10
    overlay_samples: Annotated[int, Field(ge=0)] = 4
    plots: bool = True
    deterministic: bool = True

    @field_validator("select_metric")
    @classmethod
    def _metric_is_not_a_weighted_loss(cls, name: str) -> str:
        if "loss" in name.split("/"):
            raise ValueError(
                "select_metric must not be a loss: loss weights change with the curriculum, so "
                "its values at different epochs cannot be compared; use e.g. val/pa_mpjpe_pct_bl"
            )
        return name


class RunConfig(Settings):
    """Where a run lives and what it may use."""

    name: str | None = None
    output_dir: str = "runs"
    num_workers: Annotated[int, Field(ge=1)] = 1
    cpus_per_worker: Positive = 1.0
    use_gpu: Annotated[Literal["auto", "yes", "no"], _words({True: "yes", False: "no"})] = "auto"
    max_failures: Annotated[int, Field(ge=0)] = 2


class TrackingConfig(Settings):
    """MLflow: `uri` null means MLFLOW_TRACKING_URI, or sqlite `mlflow.db` in this folder."""

    enabled: bool = True
    uri: str | None = None
    experiment: str = "smil_ray"


class Config(Settings):
    """One run: data, body model, network, loss, optimiser, training, run folder, tracking."""

    data: DataConfig = DataConfig()
    body: BodyConfig = BodyConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    run: RunConfig = RunConfig()
    tracking: TrackingConfig = TrackingConfig()
