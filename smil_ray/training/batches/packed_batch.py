"""Batches between processes: one piece of shared memory instead of thirty.

A tensor that a loader process sends costs the receiver a third of a millisecond, however small it
is: a file descriptor passed over a socket. A batch has about thirty, most of them labels of some
hundred bytes; sent one by one they can take longer than decoding the pictures.
"""

from collections.abc import Iterator
from dataclasses import fields
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams

ALIGNMENT = 16
"""Tensors begin at multiples of so many bytes, which every dtype can be viewed from."""
_TARGET, _PRESENCE = "target.", "presence."


class Place(NamedTuple):
    """Where a tensor lies in a parcel."""

    name: str
    dtype: torch.dtype
    shape: torch.Size
    start: int


class Parcel(NamedTuple):
    """A batch whose tensors lie behind each other in `memory` (uint8)."""

    names: tuple[str, ...]
    reference_frame: str
    places: tuple[Place, ...]
    memory: Tensor


def pack(batch: Batch) -> Parcel:
    """Return the batch in one piece."""
    tensors = _tensors(batch)
    places, end = [], 0
    for name, value in tensors.items():
        places.append(Place(name, value.dtype, value.shape, end))
        end += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
    memory = torch.empty(end, dtype=torch.uint8)
    for place in places:
        _view(memory, place).copy_(tensors[place.name])
    return Parcel(batch.names, batch.reference_frame, tuple(places), memory)


def unpack(parcel: Parcel) -> Batch:
    """Return the batch; its tensors are views of the parcel's memory."""
    found = {place.name: _view(parcel.memory, place) for place in parcel.places}
    plain: dict[str, Any] = {field.name: found.get(field.name) for field in fields(Batch)}
    plain |= {
        "names": parcel.names,
        "reference_frame": parcel.reference_frame,
        "target": SmilParams(**_under(_TARGET, found)),
        "presence": _under(_PRESENCE, found),
    }
    return Batch(**plain)


class ParcelLoader:
    """A DataLoader whose `collate_fn` ends with `pack`, seen as an iterable of batches."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        # Workers start here, not at the first batch.
        return map(unpack, iter(self._loader))


def _tensors(batch: Batch) -> dict[str, Tensor]:
    plain = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
    target = {_TARGET + name: value for name, value in batch.target.as_dict().items()}
    presence = {_PRESENCE + name: value for name, value in batch.presence.items()}
    return plain | target | presence


def _under(prefix: str, found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): value for n, value in found.items() if n.startswith(prefix)}


def _view(memory: Tensor, place: Place) -> Tensor:
    size = prod(place.shape) * place.dtype.itemsize
    return memory[place.start : place.start + size].view(place.dtype).view(place.shape)
