"""Which frames are most worth labelling: the most uncertain ones, spread over each video."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

_SPREAD = 0.5
"""Chosen frames of a source are at least this share of an even spacing apart."""


def most_uncertain(
    uncertainty: Float[np.ndarray, " n"],
    sources: Sequence[str],
    frames: Int[np.ndarray, " n"],
    count: int,
) -> list[int]:
    """Return the rows of the most uncertain frames, the most uncertain first.

    Of each source, chosen frames lie at least half as far apart as `count` evenly spaced ones
    would. Where that leaves fewer than `count`, there are fewer.

    Args:
        uncertainty: Of each row; NaN is never chosen.
        sources: Of each row.
        frames: Of each row.
        count: How many are wanted at most.
    """
    names = np.array(sources)
    gaps = {
        name: max(1.0, _SPREAD * float(np.ptp(frames[names == name])) / count)
        for name in dict.fromkeys(sources)
    }
    taken: dict[str, list[int]] = {}
    chosen: list[int] = []
    for place in np.argsort(-np.nan_to_num(uncertainty, nan=-np.inf), kind="stable"):
        row = int(place)
        if len(chosen) == count or not np.isfinite(uncertainty[row]):
            break
        frame, source = int(frames[row]), str(names[row])
        near = taken.setdefault(source, [])
        if all(abs(frame - other) >= gaps[source] for other in near):
            near.append(frame)
            chosen.append(row)
    return chosen
