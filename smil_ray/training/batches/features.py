"""Features of a frozen backbone in place of pictures: whether a run uses them, and whence.

Several processes of a run, or several trials of a sweep, that come here at the same time build
one cache together.
"""

import contextlib
import hashlib
import logging
import os
from dataclasses import dataclass, replace
from importlib.metadata import version

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from smil_ray.config import Config, DataConfig
from smil_ray.config.addresses import joined, remote_address
from smil_ray.core.device import full_precision
from smil_ray.data.augment import Augmenter
from smil_ray.data.features.build import MANIFEST, BuildHooks, build, is_complete
from smil_ray.data.features.cache import FeatureCache, MixedCache
from smil_ray.data.features.folder import CacheLimitError, check_limit
from smil_ray.data.features.key import (
    NO_AUGMENTATION,
    FeatureKey,
    augmentation_id,
    order_hash,
    rows_per_shard,
)
from smil_ray.data.features.shard import ShardMaker
from smil_ray.data.mixed import MixedData, SourceData
from smil_ray.models.backbones import Backbone
from smil_ray.models.placement import place
from smil_ray.storage.node_cache import cache_root
from smil_ray.training.parts import CachedFeatures, Parts

log = logging.getLogger(__name__)

AUTO_PRECISION = "fp16"


@dataclass(frozen=True)
class FeaturePlan:
    """The keys of the caches of a data set.

    Attributes:
        train: With the changes of pictures that training sees.
        held_out: Without any.
    """

    train: FeatureKey
    held_out: FeatureKey

    @property
    def keys(self) -> tuple[FeatureKey, ...]:
        """The different keys."""
        return tuple(dict.fromkeys((self.held_out, self.train)))


Plans = dict[str, FeaturePlan]
"""By source; "" is the only one."""


def with_cached_features(
    parts: Parts,
    config: Config,
    device: torch.device | str = "cpu",
    *,
    hooks: BuildHooks | None = None,
) -> Parts:
    """Return the parts with cached features where `data.feature_cache` asks for them.

    What is missing of the cache is computed here, on `device`. `feature_note` says what was done.

    Args:
        parts: The run's parts.
        config: The resolved configuration.
        device: Where the backbone computes.
        hooks: Progress, and whether to stop.

    Raises:
        BuildStoppedError: `hooks.stop` said so.
        CacheLimitError: The cache would be too large, and not `auto`.
        DataError: A sample cannot be read, or the cache cannot be written.
    """
    reason = _reason_against(parts, config)
    if reason is not None:
        if config.data.feature_cache not in ("off", "auto"):
            log.warning("features are not cached: %s", reason)
        return replace(parts, feature_note=f"not cached: {reason}")
    plans = plan_features(parts, config)
    try:
        features = ensure_caches(parts, config, plans, device, hooks)
    except CacheLimitError as error:
        if config.data.feature_cache != "auto":
            raise
        log.warning("features are not cached: %s", error)
        return replace(parts, feature_note=f"not cached: {error}")
    note = ", ".join(key.folder_name for key in keys_of(plans))
    return replace(parts, features=features, feature_note=note)


def ensure_caches(
    parts: Parts,
    config: Config,
    plans: Plans,
    device: torch.device | str = "cpu",
    hooks: BuildHooks | None = None,
) -> CachedFeatures:
    """Return the caches of a run, after computing what is missing; see `with_cached_features`."""
    root, keys = cache_root(config.data.feature_cache_dir), keys_of(plans)
    check_limit(root, keys, config.data.feature_cache_limit_gb)
    for key in keys:
        if hooks is not None and not is_complete(root / key.folder_name):
            hooks.announce(f"{key.describe_build()}, in {root}")
    train, held_out = {}, {}
    for name, (data, settings) in _each_data(parts, config).items():
        plan = plans[name]
        made = {}
        for key in plan.keys:
            own = config.model_copy(update={"data": settings})
            made[key] = _ensure(parts, own, data, key, device, hooks)
        train[name], held_out[name] = made[plan.train], made[plan.held_out]
    if not isinstance(parts.data, MixedData):
        return CachedFeatures(train[""], held_out[""])
    segments = parts.data.segments
    return CachedFeatures(MixedCache(segments, train), MixedCache(segments, held_out))


def shared_features(config: Config) -> str | None:
    """Return where nodes leave features for one another: beside runs in an object store."""
    home = remote_address(config.run.output_dir)
    return None if home is None else joined(home, "features")


def plan_features(parts: Parts, config: Config) -> Plans:
    """Return the keys of the caches that a run would use, by source; "" is the only one.

    Each source has caches of its own, which runs on that source alone share.
    """
    weights = weights_hash(parts.regressor.backbone)
    return {
        name: _plan(parts, config.model_copy(update={"data": settings}), data, weights)
        for name, (data, settings) in _each_data(parts, config).items()
    }


def keys_of(plans: Plans) -> tuple[FeatureKey, ...]:
    """Return the different keys of all sources."""
    return tuple(dict.fromkeys(key for plan in plans.values() for key in plan.keys))


def _each_data(parts: Parts, config: Config) -> dict[str, tuple[SourceData, DataConfig]]:
    if not isinstance(parts.data, MixedData):
        return {"": (parts.data, config.data)}
    each = config.data.each()
    return {name: (data, each[name]) for name, data in parts.data.sources.items()}


def _plan(parts: Parts, config: Config, data: SourceData, weights: str) -> FeaturePlan:
    spec, mode = parts.regressor.backbone.spec, config.data.feature_cache
    precision = AUTO_PRECISION if mode in ("off", "auto") else mode
    width = sum(spec.widths)
    plain = FeatureKey(
        data_hash=data.content_hash,
        order_hash=order_hash(data.names),
        model_hash=parts.model.content_hash,
        backbone=spec.name,
        weights_hash=weights,
        library=f"timm {version('timm')}",
        input_size=spec.input_size,
        precision=precision,
        augmentation=NO_AUGMENTATION,
        views=1,
        width=width,
        samples=len(data.names),
        rows_per_shard=rows_per_shard(width, precision, len(data.names)),
    )
    augment = config.data.augment
    if not augment.enabled:
        return FeaturePlan(plain, plain)
    changes = augmentation_id(augment, config.train.seed)
    views = max(1, config.data.feature_views)
    rows = rows_per_shard(width, precision, views * plain.samples)
    changed = replace(plain, augmentation=changes, views=views, rows_per_shard=rows)
    return FeaturePlan(changed, plain)


def weights_hash(backbone: Backbone) -> str:
    """Return a hash of a backbone's weights, whether random, pretrained or trained."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.model.state_dict().items()):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name}:{plain.dtype}:{tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _reason_against(parts: Parts, config: Config) -> str | None:
    """Return why features cannot or need not be cached, None if they are to be."""
    data = config.data
    if data.feature_cache == "off":
        return "data.feature_cache is off"
    if not parts.regressor.backbone.always_frozen:
        return "the backbone is trained (model.backbone.freeze)"
    each = _each_data(parts, config).values()
    changed = [source for source, settings in each if settings.augment.enabled]
    if changed and data.feature_views == 0:
        return "pictures change in every epoch (data.augment); set data.feature_views"
    drawn = data.samples_per_epoch or len(parts.splits.train)
    rows = len(parts.data.names) + data.feature_views * sum(len(s.names) for s in changed)
    if (
        data.feature_cache == "auto"
        and config.train.epochs * (drawn + len(parts.splits.val)) < rows
    ):
        return "the run is shorter than computing the features of all samples"
    return None


def _ensure(
    parts: Parts,
    config: Config,
    data: SourceData,
    key: FeatureKey,
    device: torch.device | str,
    hooks: BuildHooks | None,
) -> FeatureCache:
    folder = cache_root(config.data.feature_cache_dir) / key.folder_name
    backbone, where = parts.regressor.backbone, torch.device(device)
    place(backbone, where)

    @torch.no_grad()
    def encode(pictures: UInt8[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch width"]:
        # The same cache serves every device.
        with full_precision(where):
            return backbone(pictures.to(where)).packed().float().cpu()

    augmenter = None
    if key.augmentation != NO_AUGMENTATION:
        augmenter = Augmenter(config.data.augment, parts.model.skeleton, config.train.seed)
    make = ShardMaker(key, data.samples, encode, augmenter)
    build(folder, key, make, hooks, shared_features(config))
    with contextlib.suppress(OSError):  # Somebody else's cache may be read-only.
        os.utime(folder / MANIFEST)
    return FeatureCache(folder, key)
