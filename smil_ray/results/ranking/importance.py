"""Which settings of a search mattered: fANOVA (Hutter, Hoos, Leyton-Brown 2014) of its trials.

A forest is fitted to the ranked configurations; a setting's importance is the share of the
forest's variance over the searched space that this setting explains alone. What is left belongs
to settings acting together. The forest is fitted again to configurations drawn with replacement,
which shows how far few trials can be trusted.
"""

import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smil_ray.results.ranking.leaderboard import RankedConfig

FEWEST = 10
PER_SETTING = 4
"""So many configurations are needed for each varied setting, and FEWEST at least."""
DRAWS = 12
TREES, DEPTH = 32, 32
ABSENT = "not set"


@dataclass(frozen=True)
class Importance:
    """Share of the variance that a setting explains alone, and its range over the draws.

    Attributes:
        key: The setting.
        share: 0 to 1.
        low: Lower quartile over the draws.
        high: Upper quartile.
    """

    key: str
    share: float
    low: float
    high: float


def fewest_configs(n_settings: int) -> int:
    """Return how many ranked configurations are needed for so many varied settings."""
    return max(FEWEST, PER_SETTING * n_settings)


def importances(configs: Sequence[RankedConfig], keys: Sequence[str]) -> list[Importance]:
    """Return the importance of the settings, largest first; none where there are too few trials.

    Args:
        configs: Ranked configurations; the mean of repeats counts.
        keys: Searched settings; those that never vary are left out. A setting that some
            configurations do not have counts as `not set` there, or, if it is a number, as the
            median of the others.
    """
    columns = {key: [config.labels.get(key) for config in configs] for key in keys}
    columns = {key: values for key, values in columns.items() if len(set(map(str, values))) > 1}
    if not columns or len(configs) < fewest_configs(len(columns)):
        return []
    metric = np.array([config.metric for config in configs])
    everything = np.arange(len(configs))
    shares = _shares(columns, metric, everything, seed=0)
    generator = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {key: [] for key in columns}
    for draw in range(DRAWS):
        chosen = generator.integers(len(configs), size=len(configs))
        for key, share in _shares(columns, metric, chosen, seed=draw).items():
            drawn[key].append(share)
    found = []
    for key, share in shares.items():
        low, high = np.quantile(drawn[key], [0.25, 0.75])
        found.append(Importance(key, share, float(low), float(high)))
    return sorted(found, key=lambda entry: -entry.share)


def _shares(
    columns: Mapping[str, Sequence[Any]], metric: np.ndarray, chosen: np.ndarray, *, seed: int
) -> dict[str, float]:
    """Return the share of each setting from the chosen configurations."""
    # Imported here: a page without this plot needs neither.
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    values = metric[chosen]
    nothing = dict.fromkeys(columns, 0.0)
    if np.ptp(values) == 0.0:
        return nothing
    picked = {key: _encoded([column[i] for i in chosen]) for key, column in columns.items()}
    spaces = {key: _space(column) for key, column in picked.items()}
    usable = [key for key, space in spaces.items() if space is not None]
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={key: picked[key][row] for key in usable},
                distributions={key: spaces[key] for key in usable},
                value=float(value),
            )
            for row, value in enumerate(values)
        ]
    )
    if not usable:
        return nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=seed)
        found = get_param_importances(study, evaluator=evaluator, normalize=False)
    return {**nothing, **{key: float(share) for key, share in found.items()}}


def _encoded(values: Sequence[Any]) -> list[Any]:
    """Return numbers as they are if all are, else names."""
    present = [value for value in values if value is not None]
    if present and all(_is_number(value) for value in present):
        middle = statistics.median(float(value) for value in present)
        return [middle if value is None else float(value) for value in values]
    return [ABSENT if value is None else str(value) for value in values]


def _space(values: Sequence[Any]) -> Any:
    """Return the range that values span, None if they are all the same."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if len(set(values)) < 2:
        return None
    if isinstance(values[0], str):
        return CategoricalDistribution(sorted(set(values)))
    low, high = min(values), max(values)
    return FloatDistribution(low, high, log=low > 0 and high / low >= 20)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
