"""Samples drawn more or less often than once an epoch, each time changed anew."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from smil_ray.core.batch import Sample
from smil_ray.data.augment import Augmenter


class Draw(NamedTuple):
    """One drawn sample.

    Attributes:
        position: Its place among the training samples.
        round: How often all samples of its source have been drawn before.
    """

    position: int
    round: int


class DrawnView(Dataset):
    """A view whose samples are asked for by draws; random changes differ from round to round.

    No epoch needs to be set: what a draw gives depends on the draw alone.

    Args:
        view: The samples.
        augmenters: By the source that stands before the samples' names; "" is that of all samples.
    """

    def __init__(self, view: Any, augmenters: dict[str, Augmenter]) -> None:
        self.view, self.augmenters = view, augmenters

    def __len__(self) -> int:
        return len(self.view)

    def __getitems__(self, draws: Sequence[Draw]) -> list[Sample]:
        """Return a batch of samples."""
        samples = self.view.__getitems__([draw.position for draw in draws])
        return [self._changed(s, draw.round) for s, draw in zip(samples, draws, strict=True)]

    def _changed(self, sample: Sample, number: int) -> Sample:
        if "" in self.augmenters:
            return self.augmenters[""](sample, number)
        source, _, name = sample.name.partition("/")
        if source not in self.augmenters:
            return sample
        # A sample of a source changes as it would if the source were alone.
        changed = self.augmenters[source](replace(sample, name=name), number)
        return replace(changed, name=sample.name)


def positions_and_views(
    asked: Sequence[int] | Sequence[Draw], epoch: int
) -> tuple[list[int], np.ndarray]:
    """Return the positions that a batch asks for, and the number of the view of each."""
    if isinstance(asked[0], tuple):
        draws = [Draw(*draw) for draw in asked]  # pyright: ignore[reportGeneralTypeIssues]
        return [draw.position for draw in draws], np.array([draw.round for draw in draws])
    return [int(position) for position in asked], np.full(len(asked), epoch)  # pyright: ignore
