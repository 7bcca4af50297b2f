"""What a training run consists of, whatever the data comes from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.utils.data import Dataset

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig
from smil_ray.core.batch import Sample
from smil_ray.data.features.cache import FeatureCache
from smil_ray.data.splits import Splits
from smil_ray.losses.objective import Objective
from smil_ray.models.decoder import TargetStatistics
from smil_ray.models.regressor import Regressor
from smil_ray.training.checkpoint.frozen_weights import FrozenWeights


@runtime_checkable
class SampleSource(Protocol):
    """What training needs from a data set; `data.dataset.SmilDataset` is one."""

    @property
    def names(self) -> Sequence[str]:
        """Sample names in order."""
        ...

    @property
    def groups(self) -> Sequence[str]:
        """Group of each sample; a group is never split."""
        ...

    @property
    def input_size(self) -> int:
        """Side of the square images in pixels."""
        ...

    @property
    def content_hash(self) -> str:
        """Hash of the content, the same wherever the data lies."""
        ...

    @property
    def crop(self) -> CropConfig:
        """How the pictures were cut out of larger ones."""
        ...

    def presence_counts(self) -> dict[str, int]:
        """Return the number of samples with each label."""
        ...

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return samples by index."""
        ...

    def labels(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return what `core.batch.stack_labels` makes of samples, without their images."""
        ...

    def view(self, indices: Any) -> Dataset[Any]:
        """Return a torch data set of these samples whose batches are lists of samples."""
        ...


@dataclass(frozen=True)
class CachedFeatures:
    """The feature caches of a run; without augmentation both are the same one.

    Attributes:
        train: Of the pictures as training sees them.
        held_out: Of unchanged pictures.
    """

    train: FeatureCache
    held_out: FeatureCache


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
