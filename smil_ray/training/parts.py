"""What a training run consists of, whatever the data comes from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.features.cache import FeatureCache, MixedCache
from smil_ray.data.mixed import SourceData as SampleSource
from smil_ray.data.splits import Splits
from smil_ray.losses.objective import Objective
from smil_ray.losses.prior import ParameterPrior
from smil_ray.models.decoder import TargetStatistics
from smil_ray.models.regressor import Regressor
from smil_ray.training.batches.lifting import LabelledPoses
from smil_ray.training.checkpoint.frozen_weights import FrozenWeights


@dataclass(frozen=True)
class SourceSplits:
    """One of several data sets of a run.

    Attributes:
        name: As in `val/NAME/...`.
        weight: Its share of the draws, up to a common factor.
        splits: Its samples, by their indices among those of all sources.
        mean_pose: Figures of the mean pose on its validation samples.
    """

    name: str
    weight: float
    splits: Splits
    mean_pose: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunSplits:
    """The splits of a run.

    Attributes:
        whole: Of all samples.
        used: With as much training data as is wanted.
        sources: Those of each data set, if there are several.
    """

    whole: Splits
    used: Splits
    sources: tuple[SourceSplits, ...] = ()


@dataclass(frozen=True)
class CachedFeatures:
    """The feature caches of a run; without augmentation both are the same one.

    Attributes:
        train: Of the pictures as training sees them.
        held_out: Of unchanged pictures.
    """

    train: FeatureCache | MixedCache
    held_out: FeatureCache | MixedCache


@dataclass(frozen=True)
class Parent:
    """The run that another one began from.

    Attributes:
        checkpoint: The checkpoint folder.
        step: Optimiser steps that the parent had taken.
        metrics: Its validation figures then.
        weights_sha256: Of the file with its weights.
    """

    checkpoint: Path
    step: int
    metrics: dict[str, float]
    weights_sha256: str

    @property
    def run(self) -> Path:
        """The run folder: a checkpoint is RUN/checkpoints/NAME."""
        return self.checkpoint.parents[1]

    def as_facts(self) -> dict[str, Any]:
        """Return what run.json says."""
        facts = {name: value for name, value in vars(self).items() if name != "checkpoint"}
        return {"run": str(self.run), "checkpoint": str(self.checkpoint), **facts}


@dataclass(frozen=True)
class Parts:
    """Network, loss and data of one run, ready for `fit`.

    Attributes:
        regressor: The network, on the CPU.
        objective: The loss.
        model: The body model that the parameters refer to.
        data: The data set.
        splits: Sample indices for training, validation and test.
        statistics: Means of the training split that the network's outputs start from.
        features: Cached features to train on in place of pictures.
        feature_note: Which caches these are, or why there are none.
        frozen: Where the backbone's weights are on the disk, if it is never trained.
        mean_pose: Figures of the training split's mean pose on the validation split, which
            `val/pose_score` is relative to; empty where the labels do not allow them.
        parent: The run whose network this one begins with.
        sources: The data sets that `data` is made of, if there are several.
        prior: What poses and shapes are likely; None where nothing tells.
        poses: Labels to lift beside pictures; None where the training split has no whole ones.
    """

    regressor: Regressor
    objective: Objective
    model: SmilModel
    data: SampleSource
    splits: Splits
    statistics: TargetStatistics
    features: CachedFeatures | None = None
    feature_note: str = "not cached"
    frozen: FrozenWeights | None = None
    mean_pose: dict[str, float] = field(default_factory=dict)
    parent: Parent | None = None
    sources: tuple[SourceSplits, ...] = ()
    prior: ParameterPrior | None = None
    poses: LabelledPoses | None = None
