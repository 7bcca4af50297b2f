"""Where the weights that `pretrained` means can be had, in the order in which they are taken.

A package that ships them comes first, so that every machine has the same ones; then the hub's
cache; then timm's server, if it answers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import timm

from smil_ray.models.weights.files import SETTING
from smil_ray.models.weights.hub import cached_file, is_offline, is_reachable, published, server
from smil_ray.models.weights.shipped import SHIPPED_WEIGHTS, ShippedWeights, shipped_weights

LISTED = (
    *SHIPPED_WEIGHTS,
    "resnet50",
    "resnet101",
    "resnet152",
    "mobilenetv3_small_100",
    "vit_base_patch16_224",
    "vit_large_patch16_224",
    "swin_tiny_patch4_window7_224",
    "test_resnet",
    "test_vit",
)
"""Backbones that the tests of this package cover."""

Kind = Literal["shipped", "cached", "download", "not here", "none"]


@dataclass(frozen=True)
class WeightSource:
    """Where the pretrained weights of one timm model are.

    Attributes:
        name: timm name.
        kind: In an installed package, in a cache on this machine, on a server that answers, to be
            had but not here, or never published.
        state: The same in words.
        place: Package, address or file, or how to get it; empty if nowhere.
        path: The file, if it is on this machine.
        package: The package that ships them, installed or not.
        remedy: What to do; None where nothing is to be done.
    """

    name: str
    kind: Kind
    state: str
    place: str = ""
    path: Path | None = None
    package: ShippedWeights | None = None
    remedy: str | None = None


def find_all_pretrained(names: Iterable[str]) -> Iterator[WeightSource]:
    """Yield where the pretrained weights of each timm model are; every server is asked once."""
    answers = lru_cache(is_reachable)
    return (find_pretrained(name, answers) for name in names)


def find_pretrained(name: str, answers: Callable[[str], bool] = is_reachable) -> WeightSource:
    """Return where the pretrained weights of a timm model are; takes seconds at most.

    Args:
        name: timm name, known to exist.
        answers: Whether the server at an address does; asked only if nothing is on this machine.
    """
    package = shipped_weights(name)
    path = package.find() if package else None
    if package and path:
        found = package.distribution
        return WeightSource(name, "shipped", f"shipped by {found}", found, path, package)
    settings = published(name)
    if settings is None:
        return WeightSource(
            name,
            "none",
            f"timm has none for {name}",
            remedy="set weights to none or to a file, or choose another backbone",
        )
    path = cached_file(settings)
    if path is not None:
        return WeightSource(name, "cached", "in the hub's cache", str(path), path, package)
    offline = is_offline(settings)
    address = server(settings)
    if not offline and answers(address):
        return WeightSource(name, "download", f"downloaded from {address}", address)
    return WeightSource(
        name,
        "not here",
        f"{name} is not on this machine and its server cannot be reached"
        + (" (HF_HUB_OFFLINE is set)" if offline else ""),
        place=package.install if package else "",
        package=package,
        remedy=_remedy(package),
    )


def matching_backbones(pattern: str | None) -> list[str]:
    """Return the timm names that a pattern with `*`, or a part of a name, stands for, sorted.

    None stands for the backbones that the tests of this package cover.
    """
    if pattern is None:
        return list(LISTED)
    if timm.is_model(pattern):
        return [pattern]
    return timm.list_models(pattern if "*" in pattern else f"*{pattern}*")


def _remedy(package: ShippedWeights | None) -> str:
    here = [name for name, shipped in SHIPPED_WEIGHTS.items() if shipped.find()]
    other = [f"choose {here[0]}, whose weights are installed"] if here else []
    return ", or ".join(
        [
            *([package.install] if package else []),
            *other,
            f"set {SETTING} to a .safetensors or .pth file, or to none",
            "download once on a machine with a network (the hub's cache folder can be copied)",
        ]
    )
