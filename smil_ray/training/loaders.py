"""Batches of a split: in the run's seeded order for training, in file order for validation."""

from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from smil_ray.config import Config
from smil_ray.core.batch import collate
from smil_ray.data.augment import AugmentedView, Augmenter
from smil_ray.errors import ConfigError
from smil_ray.training.parts import Parts
from smil_ray.training.sampler import EpochBatches
from smil_ray.training.world import World


def train_loader(
    parts: Parts, config: Config, world: World
) -> tuple[DataLoader[Any], EpochBatches]:
    """Return the training batches of this process and the sampler that sets their position."""
    view: Any = parts.data.view(parts.splits.train)
    follow = None
    if config.data.augment.enabled:
        augmenter = Augmenter(config.data.augment, parts.model.skeleton, config.train.seed)
        view = AugmentedView(view, augmenter)
        follow = view.set_epoch
    sampler = EpochBatches(
        len(parts.splits.train),
        config.data.batch_size,
        config.train.seed,
        world.rank,
        world.size,
        follow,
    )
    return _loader(view, config, batch_sampler=sampler), sampler


def val_loader(parts: Parts, config: Config, world: World) -> DataLoader[Any]:
    """Return this process's share of the validation split.

    Raises:
        ConfigError: There are fewer validation samples than processes.
    """
    indices = parts.splits.val[world.rank :: world.size]
    if len(parts.splits.val) < world.size:
        raise ConfigError(
            "Validation split",
            expected=f"at least one sample for each of {world.size} workers",
            found=f"{len(parts.splits.val)} samples",
            remedy="raise data.val_fraction or use more data",
        )
    return _loader(parts.data.view(indices), config, batch_size=config.data.batch_size)


def _loader(view: Any, config: Config, **batching: Any) -> DataLoader[Any]:
    workers = config.data.loader_workers
    return DataLoader(
        view,
        collate_fn=partial(collate, reference_frame=config.model.reference_frame),
        num_workers=workers,
        persistent_workers=workers > 0,
        # Without a generator of its own, each pass over a loader draws from torch's global one.
        generator=torch.Generator(),
        **batching,
    )
