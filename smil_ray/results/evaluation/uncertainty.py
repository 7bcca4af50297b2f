"""How sure the figures of an evaluation are: intervals over its samples, groups drawn together."""

from collections.abc import Mapping, Sequence

import numpy as np

from smil_ray.results.ranking.bootstrap import Interval, bootstrap_mean
from smil_ray.training.validation.mean_pose import POSE_SCORE, SCORED
from smil_ray.training.validation.tally import SampleValues

Samples = Mapping[str, SampleValues]
"""Figure -> its values sample by sample."""


def with_pose_score(samples: Samples, mean_pose: Mapping[str, float]) -> dict[str, SampleValues]:
    """Return the figures of samples with each sample's share of `pose_score`.

    The mean pose's figures are taken as given: what is uncertain in them is left out.

    Args:
        samples: Of one predictor.
        mean_pose: Figures of the mean pose over all these samples.
    """
    if not all(name in samples and mean_pose.get(name, 0.0) > 0 for name in SCORED):
        return dict(samples)
    ratios = [samples[name].values / mean_pose[name] for name in SCORED]
    counts = np.minimum(*(samples[name].counts for name in SCORED))
    return {POSE_SCORE: SampleValues(np.mean(ratios, axis=0), counts), **samples}


def intervals(samples: Samples, groups: Sequence[str]) -> dict[str, Interval]:
    """Return the interval of each figure's mean; a figure of fewer than two groups has none.

    Args:
        samples: Of one predictor.
        groups: The group of each sample.
    """
    found = {
        name: bootstrap_mean(given.values, groups=groups, weights=given.counts)
        for name, given in samples.items()
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def differences(ours: Samples, theirs: Samples, groups: Sequence[str]) -> dict[str, Interval]:
    """Return the interval of each figure's mean difference on the same samples, ours - theirs.

    Args:
        ours: Of one predictor.
        theirs: Of another one, on the same samples in the same order.
        groups: The group of each sample.
    """
    both = {
        name: SampleValues(
            ours[name].values - theirs[name].values,
            np.minimum(ours[name].counts, theirs[name].counts),
        )
        for name in ours
        if name in theirs
    }
    return intervals(both, groups)
