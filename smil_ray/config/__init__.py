"""Every setting and its default, once: run settings, sweep settings, and their reading from YAML.

Configuration is data that is passed down: `reading` makes a `Config` of files and `--set`
overrides, and nothing imports a live configuration.
"""

from smil_ray.config.base import (
    Epoch,
    Fraction,
    NonNegative,
    Positive,
    Settings,
    Stage,
)
from smil_ray.config.crop import CropConfig
from smil_ray.config.data import (
    AugmentConfig,
    DataConfig,
    FeatureCacheMode,
    source_of_metric,
)
from smil_ray.config.labels import LabelConfig
from smil_ray.config.loss import (
    LOSS_TERM_NAMES,
    CurriculumStage,
    LossConfig,
)
from smil_ray.config.model import (
    SHAPE_FAMILY,
    BackboneConfig,
    BodyConfig,
    HeadConfig,
    JointDeformation,
    ModelConfig,
    PartialFreeze,
    ReferenceFrame,
    RotationRepresentation,
)
from smil_ray.config.optim import (
    LearningRateStage,
    OptimConfig,
)
from smil_ray.config.run import (
    Config,
    RunConfig,
    TrackingConfig,
)
from smil_ray.config.train import (
    TrainConfig,
)

__all__ = [
    "LOSS_TERM_NAMES",
    "SHAPE_FAMILY",
    "AugmentConfig",
    "BackboneConfig",
    "BodyConfig",
    "Config",
    "CropConfig",
    "CurriculumStage",
    "DataConfig",
    "Epoch",
    "FeatureCacheMode",
    "Fraction",
    "HeadConfig",
    "JointDeformation",
    "LabelConfig",
    "LearningRateStage",
    "LossConfig",
    "ModelConfig",
    "NonNegative",
    "OptimConfig",
    "PartialFreeze",
    "Positive",
    "ReferenceFrame",
    "RotationRepresentation",
    "RunConfig",
    "Settings",
    "Stage",
    "TrackingConfig",
    "TrainConfig",
    "source_of_metric",
]
