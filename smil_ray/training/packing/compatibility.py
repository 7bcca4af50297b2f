"""Which runs can be packed, by their settings alone; see `packing.loop`."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from smil_ray.config import Config

OWN_SETTINGS: dict[str, tuple[str, ...]] = {
    "model": ("head", "rotation_representation", "joint_scales", "joint_translations"),
    "loss": (),
    "optim": (),
    "train": (),
    "run": (),
    "tracking": (),
}
"""What may differ between runs of a pack: whole sections (empty), or entries of a section."""
SHARED_SETTINGS: dict[str, tuple[str, ...]] = {"train": ("seed", "deterministic", "init_from")}
"""What may not, within those sections: the seed sets the order of the samples, the network that
runs begin with the frozen backbone."""


def stream_key(config: Config) -> str | None:
    """Return what runs must have in common to be packed, as a hash; None if a run cannot be.

    Only a run whose backbone is always frozen and whose features may be cached can be.
    """
    is_frozen = config.model.backbone.freeze is True
    augment = config.data.augment.enabled and config.data.feature_views == 0
    if not is_frozen or config.data.feature_cache == "off" or augment:
        return None
    plain = config.model_dump(mode="json")
    shared: dict[str, Any] = {}
    for section, values in plain.items():
        own = OWN_SETTINGS.get(section)
        if own is None:
            shared[section] = values
        elif own:
            shared[section] = {k: v for k, v in values.items() if k not in own}
        else:
            kept = SHARED_SETTINGS.get(section, ())
            shared[section] = {k: v for k, v in values.items() if k in kept}
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]


def group_into_packs(streams: Sequence[str | None], size: int) -> Iterator[list[int]]:
    """Yield the numbers of runs that go together, at most `size` at once, in their order."""
    left = list(range(len(streams)))
    while left:
        first = left[0]
        alike = [n for n in left if streams[n] is not None and streams[n] == streams[first]]
        pack = alike[:size] or [first]
        left = [n for n in left if n not in pack]
        yield pack
