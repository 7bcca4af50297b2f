"""The part of a file that is a backbone: what trainers wrap around a network, taken off again.

Trainers keep a backbone inside a dictionary (`state_dict`, `teacher`, ...) and inside modules
(`module.`, `backbone.`, ...). Every such part of a file is compared with the names that the
architecture has; the one with most of them is meant.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from smil_ray.errors import ConfigError
from smil_ray.models.weights.files import SETTING

WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "teacher",
    "state_dict",
    "model",
    "student",
)
"""Keys under which trainers keep a network; of two that fit equally, the first one counts."""
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
"""Beginnings that trainers put before a network's names."""
_DEPTH = 4
SHOWN = 3


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes:
        state: Tensors by what is left of their names.
        taken_off: Wrappers and prefixes around it, from the outside in.
        whole: Nothing beside it was left out by taking prefixes off.
    """

    state: dict[str, Tensor]
    taken_off: tuple[str, ...] = ()
    whole: bool = True

    def describe(self) -> str:
        """Return in words what was taken off, empty if nothing was."""
        return ", ".join(repr(name) for name in self.taken_off)


def part_that_fits(loaded: Mapping[str, Any], names: Collection[str]) -> Part:
    """Return the part of a file that has most of an architecture's names.

    Where no part has any (some families are published under other names, which timm translates),
    it is the first wrapper's content without the prefixes that all of its names share.

    Raises:
        ConfigError: The file holds no tensors.
    """
    parts = list(_parts(loaded))
    if not parts:
        raise ConfigError(f"{SETTING}: holds no state_dict", expected="tensors by name")
    scores = [len(part.state.keys() & set(names)) for part in parts]
    if max(scores) > 0:
        return parts[scores.index(max(scores))]
    return [part for part in _stripped(parts[0]) if part.whole][-1]


def differences(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> str | None:
    """Return how a state dict differs from what is expected, in words; None where it fits.

    Tensors that nothing expects, such as a classifier, are named only beside missing ones.
    """
    missing = [key for key in shapes if key not in state]
    others = [key for key in state if key not in shapes]
    changed = [
        f"{key} {tuple(state[key].shape)} in place of {tuple(shape)}"
        for key, shape in shapes.items()
        if key in state and state[key].shape != shape
    ]
    if not missing and not changed:
        return None
    found = [("missing", missing), ("of other shape", changed)]
    found += [("not expected", others)] if missing else []
    return "; ".join(f"{what}: {_shown(keys)}" for what, keys in found if keys)


def _parts(loaded: Mapping[str, Any], taken_off: tuple[str, ...] = ()) -> Iterator[Part]:
    """Yield every part of a file: inside wrappers first, and each without its prefixes."""
    if len(taken_off) < _DEPTH:
        for key in WRAPPERS:
            if isinstance(loaded.get(key), Mapping):
                yield from _parts(loaded[key], (*taken_off, key))
    tensors = {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}
    if tensors:
        yield from _stripped(Part(tensors, taken_off))


def _stripped(part: Part, depth: int = 0) -> Iterator[Part]:
    """Yield a part as it is, then without each chain of prefixes that its names begin with."""
    yield part
    for prefix in PREFIXES if depth < _DEPTH else ():
        inner = {
            key.removeprefix(prefix): value
            for key, value in part.state.items()
            if key.startswith(prefix)
        }
        if inner:
            whole = part.whole and len(inner) == len(part.state)
            yield from _stripped(Part(inner, (*part.taken_off, prefix), whole), depth + 1)


def _shown(keys: list[str]) -> str:
    more = len(keys) - SHOWN
    return ", ".join(keys[:SHOWN]) + (f" and {more} more" if more > 0 else "")
