"""Training, validation and test samples: by hash of the group, so that splits never move.

A sample's place depends on its group's name and the seed only. Adding samples moves none, order
and number of workers do not matter, and near-duplicates (one group) stay together.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

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

    Raises:
        ConfigError: Fractions are negative or leave nothing to train on.
        DataError: Names and groups differ in number, or chance left the training or the
            validation split empty because there are too few groups.
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
    is_test = places < test_fraction
    is_val = ~is_test & (places < test_fraction + val_fraction)
    train, val, test = (
        np.flatnonzero(chosen).astype(np.int64) for chosen in (~is_test & ~is_val, is_val, is_test)
    )
    if not train.size or (val_fraction > 0 and not val.size):
        empty = "validation" if train.size else "training"
        raise DataError(
            f"the {empty} split is empty",
            found=f"{len(names)} samples in {len(place)} groups",
            remedy="use more samples, another data.split_seed or a larger fraction",
        )
    return Splits(train, val, test)


def position(group: str, seed: int) -> float:
    """Return the place of a group in [0, 1), uniform over groups: a hash of seed and name."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2.0**48
