"""Batches in one piece instead of thirty, between processes and on their way to a GPU.

A tensor that a loader process sends costs the receiver a third of a millisecond, however small it
is: a file descriptor passed over a socket. A batch has about thirty, most of them labels of some
hundred bytes; sent one by one they can take longer than decoding the pictures. So it is with
copies to a GPU, each of which the host would wait for.
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


class TensorSlot(NamedTuple):
    """Where a tensor lies in a packed batch."""

    name: str
    dtype: torch.dtype
    shape: torch.Size
    start: int


class PackedBatch(NamedTuple):
    """A batch whose tensors lie behind each other in `memory` (uint8)."""

    names: tuple[str, ...]
    reference_frame: str
    slots: tuple[TensorSlot, ...]
    memory: Tensor


def pack(batch: Batch, *, pinned: bool = False) -> PackedBatch:
    """Return the batch in one piece of ordinary or of pinned memory."""
    tensors = _tensors(batch)
    slots, end = [], 0
    for name, value in tensors.items():
        slots.append(TensorSlot(name, value.dtype, value.shape, end))
        end += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
    memory = torch.empty(end, dtype=torch.uint8, pin_memory=pinned)
    for slot in slots:
        _view(memory, slot).copy_(tensors[slot.name])
    return PackedBatch(batch.names, batch.reference_frame, tuple(slots), memory)


def unpack(packed: PackedBatch) -> Batch:
    """Return the batch; its tensors are views of its memory."""
    found = {slot.name: _view(packed.memory, slot) for slot in packed.slots}
    plain: dict[str, Any] = {field.name: found.get(field.name) for field in fields(Batch)}
    plain |= {
        "names": packed.names,
        "reference_frame": packed.reference_frame,
        "target": SmilParams(**_under(_TARGET, found)),
        "presence": _under(_PRESENCE, found),
    }
    return Batch(**plain)


def to_device(batch: Batch, device: torch.device | str) -> Batch:
    """Return the batch on a device.

    A GPU gets it as one piece of pinned memory in one copy, which the host does not wait for.
    """
    device = torch.device(device)
    if batch.intrinsics.device == device:
        return batch
    if device.type != "cuda":
        return batch.to(device)
    # Pinned memory belongs to the context of the current GPU, which each thread has its own of.
    with torch.cuda.device(device):
        packed = pack(batch, pinned=True)
        return unpack(moved(packed, device))


def moved(packed: PackedBatch, device: torch.device) -> PackedBatch:
    """Return the packed batch with its memory on a device, queued where that is a GPU."""
    return packed._replace(memory=packed.memory.to(device, non_blocking=True))


class PackedBatchLoader:
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


def _view(memory: Tensor, slot: TensorSlot) -> Tensor:
    size = prod(slot.shape) * slot.dtype.itemsize
    return memory[slot.start : slot.start + size].view(slot.dtype).view(slot.shape)
