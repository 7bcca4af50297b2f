"""Successive halving over fidelity: many trials on little data, the best again on more.

Levels grow in data, resolution and epochs. A trial begins anew at each level, because the
schedules of learning rate and loss weights belong to the number of epochs. Only trials of the
highest level that was reached are ranked. Source: Jamieson & Talwalkar, Non-stochastic Best Arm
Identification and Hyperparameter Optimization, AISTATS 2016.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from smil_ray.config import Config
from smil_ray.config.sweep import LevelConfig, SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.search.space import last_stage_epoch, list_points, make_trial
from smil_ray.orchestration.tune.search.spec import TrialSpec
from smil_ray.results.ranking.leaderboard import rank
from smil_ray.results.ranking.records import TrialRecord


class Levels:
    """The levels of a sweep as generations of trials.

    Args:
        sweep: The sweep's settings.
        base: The configuration that trials vary.
    """

    def __init__(self, sweep: SweepConfig, base: Config) -> None:
        self._sweep = sweep
        self._base = base
        self._points = list_points(sweep, base)
        self._chosen = list(range(len(self._points)))

    def members(self, number: int, records: Mapping[str, TrialRecord]) -> list[TrialSpec]:
        """Return the trials of a level: all points, or the best 1/factor of the level below."""
        if number >= len(self._sweep.scheduler.levels):
            return []
        if number:
            below = [record for record in records.values() if record.level == number - 1]
            places = math.ceil(len(self._chosen) / self._sweep.scheduler.reduction_factor)
            ranked = rank(below, self._base.train.select_mode)[:places]
            self._chosen = sorted(config.index for config in ranked)
        return [
            self._trial(index, number, repeat)
            for index in self._chosen
            for repeat in range(self._sweep.repeats)
        ]

    def _trial(self, index: int, number: int, repeat: int) -> TrialSpec:
        sweep, point = self._sweep, self._points[index]
        settings = level_settings(sweep.scheduler.levels[number])
        spec = make_trial(sweep, self._base, point, index, repeat, settings=settings)
        return replace(spec, name=f"{spec.name}_l{number}", level=number)


def level_settings(level: LevelConfig) -> dict[str, Any]:
    """Return the settings, by dotted key, of trials at a level."""
    settings: dict[str, Any] = {
        "train.epochs": level.epochs,
        "data.train_fraction": level.data_fraction,
    }
    if level.input_size is not None:
        settings["model.backbone.input_size"] = level.input_size
    return settings


def check_levels(sweep: SweepConfig, base: Config) -> None:
    """Refuse levels that cannot be compared or that the space contradicts.

    Raises:
        ConfigError: A level ends before the last curriculum stage begins, the space has a
            setting that levels set, or the search learns from its trials.
    """
    levels = sweep.scheduler.levels
    if sweep.search not in ("random", "grid"):
        raise ConfigError(
            f"sweep {sweep.name}: scheduler.type halving",
            expected="search random or grid, whose points are settled before the first level",
            found=sweep.search,
        )
    needed = last_stage_epoch(sweep, base)
    fewest = min(level.epochs for level in levels)
    if fewest < needed and not sweep.scheduler.allow_early_grace:
        raise ConfigError(
            f"sweep {sweep.name}: scheduler.levels",
            expected=f"at least {needed} epochs, where the last curriculum stage starts",
            found=fewest,
            remedy="raise them, or set scheduler.allow_early_grace: true",
        )
    twice = [key for key in sweep.space for level in levels if key in level_settings(level)]
    if twice:
        raise ConfigError(
            f"sweep {sweep.name}: space.{twice[0]} is set by scheduler.levels",
            remedy="remove it from the space",
        )
