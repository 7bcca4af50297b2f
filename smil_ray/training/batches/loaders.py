"""Batches of a split: in the run's seeded order for training, in file order for validation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from smil_ray.config import Config
from smil_ray.core.batch import Batch, collate
from smil_ray.data.augment import AugmentedView, Augmenter
from smil_ray.data.features.cache import FeatureCache, FeatureView, unchanged
from smil_ray.errors import ConfigError
from smil_ray.losses.curriculum import used_terms
from smil_ray.training.batches.packed_batch import PackedBatch, PackedBatchLoader, pack
from smil_ray.training.batches.sampler import EpochBatches
from smil_ray.training.parts import Parts
from smil_ray.training.world import World

Batches = DataLoader[Any] | PackedBatchLoader
"""An iterable of batches, with a length."""


def train_loader(parts: Parts, config: Config, world: World) -> tuple[Batches, EpochBatches]:
    """Return the training batches of this process and the sampler that sets their position."""
    follow = None
    if parts.features is not None:
        view: Any = _cached(parts.features.train, parts, config, parts.splits.train)
        follow = view.set_epoch
    else:
        view = parts.data.view(parts.splits.train)
    if config.data.augment.enabled and parts.features is None:
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


def val_loader(parts: Parts, config: Config, world: World) -> Batches:
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
    if parts.features is not None:
        view: Any = _cached(parts.features.held_out, parts, config, indices)
    else:
        view = parts.data.view(indices)
    return _loader(view, config, batch_size=config.data.batch_size)


def _cached(cache: FeatureCache, parts: Parts, config: Config, indices: Any) -> FeatureView:
    return FeatureView(
        cache,
        parts.data.names,
        indices,
        config.model.reference_frame,
        with_masks="silhouette" in used_terms(config.loss),
    )


def _loader(view: Any, config: Config, **batching: Any) -> Batches:
    workers = config.data.loader_workers
    made = unchanged
    if not isinstance(view, FeatureView):
        made = partial(collate, reference_frame=config.model.reference_frame)
    loader = DataLoader(
        view,
        collate_fn=partial(_packed, made) if workers else made,
        num_workers=workers,
        persistent_workers=workers > 0,
        # Without a generator of its own, each pass over a loader draws from torch's global one.
        generator=torch.Generator(),
        **batching,
    )
    return PackedBatchLoader(loader) if workers else loader


def _packed(make: Callable[[Any], Batch], samples: Any) -> PackedBatch:
    return pack(make(samples))
