"""The training processes of one run, seen from one of them."""

from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """Rank and number of processes; with one process nothing is communicated."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def is_first(self) -> bool:
        """True in the one process that writes files."""
        return self.rank == 0

    def all_reduce(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all processes."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is true in any process."""
        if self.size == 1:
            return flags
        votes = torch.tensor([float(flag) for flag in flags], device=self.device)
        torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
        return tuple(vote > 0 for vote in votes.tolist())

    def barrier(self) -> None:
        """Wait for the other processes."""
        if self.size > 1:
            torch.distributed.barrier()
