"""Batches of a split: in the run's seeded order for training, in file order for validation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from smil_ray.config import Config
from smil_ray.core.batch import Batch, collate
from smil_ray.data.augment import AugmentedView, Augmenter
from smil_ray.data.draws import DrawnView
from smil_ray.data.features.cache import FeatureCache, FeatureView, MixedCache, unchanged
from smil_ray.errors import ConfigError
from smil_ray.losses.curriculum import used_terms
from smil_ray.training.batches.order import EpochOrder, ShuffledOrder, WeightedOrder
from smil_ray.training.batches.packed_batch import PackedBatch, PackedBatchLoader, pack
from smil_ray.training.batches.sampler import EpochBatches
from smil_ray.training.parts import Parts
from smil_ray.training.world import World

Batches = DataLoader[Any] | PackedBatchLoader
"""An iterable of batches, with a length."""


def train_loader(parts: Parts, config: Config, world: World) -> tuple[Batches, EpochBatches]:
    """Return the training batches of this process and the sampler that sets their position.

    Raises:
        ConfigError: There are fewer samples than processes, or a source would not be drawn.
    """
    order = _order(parts, config)
    follow = None
    if parts.features is not None:
        view: Any = _cached(parts.features.train, parts, config, parts.splits.train)
        follow = view.set_epoch
    else:
        view = parts.data.view(parts.splits.train)
        # A GPU changes pictures itself (`Stepper`), a CPU where they are read; samples of several
        # sources, which differ in what is changed, are changed where they are read as well.
        is_drawn = isinstance(order, WeightedOrder)
        pictures = is_drawn or world.device.type != "cuda"
        augmenters = _augmenters(parts, config, pictures=pictures)
        if is_drawn:
            view = DrawnView(view, augmenters)
        elif augmenters:
            view = AugmentedView(view, augmenters[""])
            follow = view.set_epoch
    sampler = EpochBatches(order, config.data.batch_size, world.rank, world.size, follow)
    return _loader(view, config, batch_sampler=sampler), sampler


def _order(parts: Parts, config: Config) -> EpochOrder:
    settings, seed = config.data, config.train.seed
    count = len(parts.splits.train)
    if not parts.sources and settings.samples_per_epoch is None:
        return ShuffledOrder(count, seed)
    every = [(s.name, len(s.splits.train), s.weight) for s in parts.sources]
    names, sizes, weights = zip(*(every or [("data", count, 1.0)]), strict=True)
    return WeightedOrder(names, sizes, weights, settings.samples_per_epoch or count, seed)


def _augmenters(parts: Parts, config: Config, *, pictures: bool) -> dict[str, Augmenter]:
    """Return the random changes of each source that has some; "" stands for the only one."""
    each = config.data.each() or {"": config.data}
    return {
        name: Augmenter(
            settings.augment, parts.model.skeleton, config.train.seed, pictures=pictures
        )
        for name, settings in each.items()
        if settings.augment.enabled
    }


def val_loader(parts: Parts, config: Config, world: World) -> Batches:
    """Return this process's share of the validation split; no batch has samples of two sources.

    Raises:
        ConfigError: There are fewer validation samples than processes.
    """
    shares = [share for _, share in _val_shares(parts, world)]
    indices = np.concatenate(shares)
    if parts.features is not None:
        view: Any = _cached(parts.features.held_out, parts, config, indices)
    else:
        view = parts.data.view(indices)
    size, batches, first = config.data.batch_size, [], 0
    for share in shares:
        end = first + len(share)
        batches += [list(range(at, min(at + size, end))) for at in range(first, end, size)]
        first = end
    return _loader(view, config, batch_sampler=batches)


def val_sources(parts: Parts, config: Config, world: World) -> list[str | None]:
    """Return the source of each batch of `val_loader`; None where there is only one data set."""
    size = config.data.batch_size
    return [n for n, share in _val_shares(parts, world) for _ in range(-(-len(share) // size))]


def _val_shares(parts: Parts, world: World) -> list[tuple[str | None, Any]]:
    """Return this process's validation samples of each source that has some."""
    every = [(s.name, s.splits.val) for s in parts.sources] or [(None, parts.splits.val)]
    every = [(name, val) for name, val in every if len(val)]
    for name, val in every:
        if len(val) < world.size:
            raise ConfigError(
                "Validation split" if name is None else f"Validation split of {name}",
                expected=f"at least one sample for each of {world.size} workers",
                found=f"{len(val)} samples",
                remedy="raise data.val_fraction or use more data",
            )
    return [(name, val[world.rank :: world.size]) for name, val in every]


def _cached(
    cache: FeatureCache | MixedCache, parts: Parts, config: Config, indices: Any
) -> FeatureView:
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
