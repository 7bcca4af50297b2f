"""Sums of errors and their counts: by figure, by joint and, where asked for, by sample."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class SampleValues:
    """One figure of every sample: the mean over what was counted, and how much that was.

    Attributes:
        values: NaN where nothing was counted.
        counts: Joints that were counted, or 1 for a figure of the whole sample.
    """

    values: Float[np.ndarray, " n"]
    counts: Float[np.ndarray, " n"]


class Tally:
    """Sums over any number of batches, divided by counts in the end.

    Args:
        keeps_samples: Also keep every figure of every sample.
    """

    def __init__(self, *, keeps_samples: bool = False) -> None:
        self._keeps_samples = keeps_samples
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        self._rows: dict[str, list[tuple[Tensor, Tensor]]] = {}

    @property
    def names(self) -> list[str]:
        """Names of all figures, in the order in which they were added first."""
        return list(self._sums)

    def add(
        self,
        name: str,
        values: Float[Tensor, "batch *joints"],
        valid: Bool[Tensor, "batch *joints"],
    ) -> None:
        """Add `values` where `valid`; a second axis is joints and is kept apart."""
        values = values.double()
        known = torch.where(valid, values, torch.zeros_like(values))
        total, count = known.sum(dim=0), valid.double().sum(dim=0)
        if self._keeps_samples:
            row = (known.reshape(len(values), -1), valid.double().reshape(len(values), -1))
            self._rows.setdefault(name, []).append((row[0].sum(dim=1), row[1].sum(dim=1)))
        if name in self._sums:
            total, count = self._sums[name] + total, self._counts[name] + count
        self._sums[name], self._counts[name] = total, count

    def include(self, other: "Tally") -> None:
        """Add the sums and counts of other samples; figures of single samples stay apart."""
        for name, total in other._sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + total
            self._counts[name] = self._counts.get(name, 0.0) + other._counts[name]

    def mean(self, name: str) -> float | None:
        """Return a figure, None if nothing was counted for it."""
        count = self.count(name)
        return float(self._sums[name].sum()) / count if count > 0 else None

    def count(self, name: str) -> float:
        """Return how many values a figure is the mean of."""
        return float(self._counts[name].sum()) if name in self._counts else 0.0

    def means(self) -> dict[str, float]:
        """Return every figure that something was counted for."""
        found = {name: self.mean(name) for name in self._sums}
        return {name: value for name, value in found.items() if value is not None}

    def by_joint(self, name: str, joints: Sequence[str]) -> dict[str, float]:
        """Return a figure joint by joint; joints that were never counted are left out.

        Args:
            name: The figure.
            joints: Names of the joints along its second axis.
        """
        counts, sums = self._counts[name].tolist(), self._sums[name].tolist()
        return {
            joint: total / count
            for joint, total, count in zip(joints, sums, counts, strict=True)
            if count > 0
        }

    def by_group(
        self, name: str, groups: Mapping[str, Sequence[int]]
    ) -> dict[str, tuple[float, int]]:
        """Return a figure and its count over groups of joints; empty groups are left out.

        Args:
            name: The figure.
            groups: Places along its second axis by the group's name.
        """
        found = {}
        counts, sums = self._counts[name].cpu(), self._sums[name].cpu()
        for group, places in groups.items():
            count = float(counts[list(places)].sum())
            if count > 0:
                total = float(sums[list(places)].sum())
                found[group] = (total / count, round(count))
        return found

    def by_sample(self) -> dict[str, SampleValues]:
        """Return every figure of every sample, in the order in which they were added."""
        return {name: _sample_values(rows) for name, rows in self._rows.items()}

    def reduce(self, all_reduce: Callable[[Tensor], object]) -> None:
        """Add up the sums of all processes; every process must have counted the same figures.

        Figures of single samples stay those of this process.
        """
        for name in sorted(self._sums):
            all_reduce(self._sums[name])
            all_reduce(self._counts[name])


def _sample_values(rows: Sequence[tuple[Tensor, Tensor]]) -> SampleValues:
    sums = torch.cat([total for total, _ in rows])
    counts = torch.cat([count for _, count in rows])
    values = torch.where(counts > 0, sums / counts.clamp_min(1.0), torch.nan)
    return SampleValues(values.cpu().numpy(), counts.cpu().numpy())
