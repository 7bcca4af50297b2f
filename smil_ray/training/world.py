"""The training processes of one run, seen from one of them."""

from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import ProcessGroup

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """Rank and number of processes; with one process nothing is communicated.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
        device: Where this process computes.
        host: Processes of `any` on the CPU, so that a GPU is not waited for at every step; None:
            the group that adds up gradients.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    host: ProcessGroup | None = None

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
        device = self.device if self.host is None else CPU
        votes = torch.tensor([float(flag) for flag in flags], device=device)
        torch.distributed.all_reduce(votes, torch.distributed.ReduceOp.MAX, self.host)
        return tuple(vote > 0 for vote in votes.tolist())

    def barrier(self) -> None:
        """Wait for the other processes."""
        if self.size > 1:
            torch.distributed.barrier()
