"""Settings of the data: which samples, how they are split, augmented and cached."""

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from smil_ray.config.addresses import absolute_place
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


class SourceConfig(Settings):
    """One of several data sets that a run draws its training samples from.

    What is null is as `data` says it.

    Attributes:
        path: HDF5 file, here or in an object store, or replicAnt folder.
        name: Stands in `val/NAME/...` and before the names of samples; by default the file's.
        weight: Its share of the samples that are drawn, relative to the other sources' weights.
        val_fraction: Share of its groups that are validated on.
        test_fraction: Share of its groups that are kept for the end.
        train_fraction: Share of its training groups that is trained on.
        limit: The most training samples.
        crop: How a folder's pictures are cut.
        augment: Random changes of its training images.
    """

    path: str
    name: Annotated[str, Field(pattern=r"^[\w.+-]+$")]
    weight: Positive = 1.0
    val_fraction: Fraction | None = None
    test_fraction: Fraction | None = None
    train_fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    crop: CropConfig | None = None
    augment: AugmentConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_follows_from_the_path(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("name") is None and values.get("path"):
            stem = PurePath(str(values["path"])).stem
            return {**values, "name": re.sub(r"[^\w.+-]", "_", stem)}
        return values


class DataConfig(Settings):
    """Which samples are read, how they are split (`train_fraction`: of training groups), batched.

    `sources` are several data sets in place of the one in `path`; an epoch then draws
    `samples_per_epoch` samples (null: as many as there are in training) by the sources' weights.
    `crop` is for replicAnt folders; what is in a file was cut by `smil-ray preprocess --crop`.
    `feature_cache`: where the backbone is frozen, its features are computed once and kept on the
    disk in this precision; `auto` is fp16 where they fit and pay off. With augmentation they are
    those of `feature_views` changes of each picture, taken in turn by epochs (0: not cached).
    `feature_cache_dir` null means SMIL_RAY_CACHE, or `smil_ray` in the user's cache folder.
    A `path` in an object store (`s3://`, `gs://`) is copied once to each node's cache.
    """

    path: str | None = None
    sources: tuple[SourceConfig, ...] = ()
    samples_per_epoch: Annotated[int, Field(ge=1)] | None = None
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
    def _sources_are_told_apart(self) -> "DataConfig":
        names = [source.name for source in self.sources]
        if self.path is not None and names:
            raise ValueError("path or sources: give one of them")
        if len(set(names)) < len(names):
            raise ValueError(f"sources need different names, found {', '.join(names)}")
        if "loss" in names:
            raise ValueError("a source must not be named loss, which stands in val/loss/...")
        return self

    @model_validator(mode="after")
    def _fractions_leave_training_data(self) -> "DataConfig":
        for settings in (self, *self.each().values()):
            if settings.val_fraction + settings.test_fraction >= 1.0:
                raise ValueError("val_fraction + test_fraction must be below 1")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The path, or those of the sources."""
        if self.path is not None:
            return (self.path,)
        return tuple(source.path for source in self.sources)

    def each(self) -> "dict[str, DataConfig]":
        """Return the settings of each source, as if it were the only data set, by its name."""
        found = {}
        for source in self.sources:
            own = source.model_dump(exclude={"name", "weight"}, exclude_none=True)
            own |= {"crop": source.crop or self.crop, "augment": source.augment or self.augment}
            found[source.name] = self.model_copy(update={"sources": (), **own})
        return found

    def main_source(self, metric: str) -> str | None:
        """Return the source that `val/SOURCE/...` names, or the first; None without sources."""
        names = [source.name for source in self.sources]
        named = source_of_metric(metric)
        return named if named in names else next(iter(names), None)

    def with_absolute_paths(self) -> "DataConfig":
        """Return the same data, wherever a program starts."""
        sources = tuple(
            source.model_copy(update={"path": absolute_place(source.path)})
            for source in self.sources
        )
        changes: dict[str, Any] = {"sources": sources} if sources else {}
        if self.path is not None:
            changes["path"] = absolute_place(self.path)
        if self.feature_cache_dir is not None:
            changes["feature_cache_dir"] = absolute_place(self.feature_cache_dir)
        return self.model_copy(update=changes)


def source_of_metric(metric: str) -> str | None:
    """Return SOURCE of `val/SOURCE/...`; None where a metric is of all samples."""
    return metric.split("/")[1] if metric.count("/") > 1 else None
