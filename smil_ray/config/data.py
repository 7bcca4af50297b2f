"""Settings of the data: which samples, how they are split, augmented and cached."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from smil_ray.config.base import Fraction, NonNegative, Positive, Settings, booleans_as_words
from smil_ray.config.crop import CropConfig

FeatureCacheMode = Literal["off", "auto", "fp32", "fp16", "bf16"]


class AugmentConfig(Settings):
    """Random changes of training images; labels move with the pixels. Off by default.

    `shift` is how far the picture moves along each axis, as a share of its side; `zoom` moves it
    too, as far as it leaves room.
    """

    enabled: bool = False
    brightness: NonNegative = 0.2
    contrast: NonNegative = 0.2
    saturation: NonNegative = 0.15
    noise: NonNegative = 0.015
    rotate_deg: NonNegative = 20.0
    zoom: Annotated[float, Field(ge=0.0, lt=0.9)] = 0.15
    shift: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    flip: Fraction = 0.0


class DataConfig(Settings):
    """Which samples are read, how they are split (`train_fraction`: of training groups), batched.

    `crop` is for replicAnt folders; what is in a file was cut by `smil-ray preprocess --crop`.
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
    crop: CropConfig = CropConfig()
    augment: AugmentConfig = AugmentConfig()
    feature_cache: Annotated[FeatureCacheMode, booleans_as_words({False: "off"})] = "auto"
    feature_views: Annotated[int, Field(ge=0)] = 0
    feature_cache_dir: str | None = None
    feature_cache_limit_gb: Positive = 50.0

    @model_validator(mode="after")
    def _fractions_leave_training_data(self) -> "DataConfig":
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ValueError("val_fraction + test_fraction must be below 1")
        return self
