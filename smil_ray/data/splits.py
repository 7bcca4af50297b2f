"""Training, validation and test samples: by hash of the group, so that splits never move.

A sample's place depends on its group's name and the seed only. Adding samples moves none, order
and number of workers do not matter, and near-duplicates (one group) stay together. Only in data
of a few groups, where chance leaves a wanted split empty, the nearest group moves into it.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from smil_ray.errors import ConfigError, DataError


@dataclass(frozen=True)
class Splits:
    """Sample indices of each split, ascending; together they are all samples, once each."""

    train: Int64[np.ndarray, " n_train"]
    val: Int64[np.ndarray, " n_val"]
    test: Int64[np.ndarray, " n_test"]

    def names(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the sample names of each split, for the record of a run."""
        return {split: [names[int(i)] for i in indices] for split, indices in vars(self).items()}


def split_indices(
    names: Sequence[str],
    groups: Sequence[str],
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> Splits:
    """Return the splits of a data set; fractions hold on average over groups.

    Every split whose fraction is above 0 gets a group as soon as there are enough: training comes
    first, then validation, then test.

    Raises:
        ConfigError: Fractions are negative or leave nothing to train on.
        DataError: Names and groups differ in number, or there are too few groups for a training
            and a validation split.
    """
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise ConfigError(
            "data.val_fraction and data.test_fraction",
            expected="not negative, sum below 1",
            found=f"{val_fraction} and {test_fraction}",
        )
    if len(names) != len(groups):
        raise DataError("splits", expected=f"{len(names)} groups", found=len(groups))
    place = {group: position(group, seed) for group in set(groups)}
    places = np.array([place[group] for group in groups], dtype=np.float64)
    least_val = int(val_fraction > 0)
    if len(place) < 1 + least_val:
        raise DataError(
            f"the {'validation' if place else 'training'} split is empty",
            found=f"{len(names)} samples in {len(place)} groups",
            remedy="use more samples, or more scenes if these are views of one; labels of a "
            "single video can be split with `smil-ray preprocess --group-by picture`",
        )
    ranked = np.sort(np.array(list(place.values())))
    n_test, n_val = _group_counts(ranked, val_fraction, test_fraction)
    rank = np.searchsorted(ranked, places)
    train, val, test = (
        np.flatnonzero(chosen).astype(np.int64)
        for chosen in (
            rank >= n_test + n_val,
            (rank >= n_test) & (rank < n_test + n_val),
            rank < n_test,
        )
    )
    return Splits(train, val, test)


def share_of_groups(
    indices: Int64[np.ndarray, " n"], groups: Sequence[str], fraction: float, seed: int
) -> Int64[np.ndarray, " kept"]:
    """Return those of the samples `indices` that lie in a share of their groups.

    The groups are the first ones by a hash of seed and name: a smaller share is a part of each
    larger one, and at least one group stays.

    Args:
        indices: Samples of one split.
        groups: The group of every sample of the data set.
        fraction: Share of the groups to keep, above 0 and at most 1.
        seed: The seed of the splits.
    """
    present = sorted({groups[int(i)] for i in indices}, key=lambda name: _order(name, seed))
    kept = set(present[: math.ceil(fraction * len(present) - 1e-9)])
    return indices[[groups[int(i)] in kept for i in indices]]


def _order(group: str, seed: int) -> tuple[float, str]:
    """Return the place of a group among those to keep, another one than among the splits."""
    return position(f"share:{group}", seed), group


def position(group: str, seed: int) -> float:
    """Return the place of a group in [0, 1), uniform over groups: a hash of seed and name."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2.0**48


def _group_counts(
    ranked: Float64[np.ndarray, " n_groups"], val_fraction: float, test_fraction: float
) -> tuple[int, int]:
    """Return how many of the groups, by ascending place, are test and how many then validation."""
    groups = len(ranked)
    least_val = int(val_fraction > 0)
    least_test = int(test_fraction > 0 and groups > 1 + least_val)
    n_test = int(np.searchsorted(ranked, test_fraction))
    n_val = int(np.searchsorted(ranked, test_fraction + val_fraction)) - n_test
    n_test = min(max(n_test, least_test), groups - 1 - least_val)
    return n_test, min(max(n_val, least_val), groups - 1 - n_test)
