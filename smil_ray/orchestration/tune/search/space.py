"""A sweep's space to trials: pure, seeded, and every trial's configuration checked at once.

A *point* says for each searched key which choice (its number) or which value was drawn. The same
sweep settings always give the same points, so that an interrupted sweep finds its trials again.
"""

import itertools
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from smil_ray.config import Config
from smil_ray.config.reading import apply_overrides, config_from_dict, merge, set_key
from smil_ray.config.sweep import ParameterSpace, SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.search.spec import Point, TrialSpec

Pick = Callable[[str, ParameterSpace], int | float]

DRAWS_FOR_A_NEW_POINT = 50
CHECKED_SAMPLES = 64


def base_config(sweep: SweepConfig, overrides: Sequence[str] = (), **sections: Any) -> Config:
    """Return the configuration that trials vary: the sweep's base, `--set` and `sections`."""
    values = merge(apply_overrides(sweep.base, overrides), sections)
    return config_from_dict(values, source=f"sweep {sweep.name}").with_absolute_paths()


def list_points(sweep: SweepConfig, base: Config) -> list[Point]:
    """Return the points of a random or grid search in their order.

    A grid takes every combination, or the first `trials` ones where the sweep says how many; a
    random search repeats a point only when the space has no more.
    """
    if sweep.search == "grid":
        points = list(grid_points(sweep, base))
        return points[: sweep.trials] if "trials" in sweep.model_fields_set else points
    points: list[Point] = []
    stream = RandomStream(sweep.seed)
    for _ in range(sweep.trials):
        point = draw(sweep, base, stream.pick)
        for _attempt in range(DRAWS_FOR_A_NEW_POINT):
            if point not in points:
                break
            point = draw(sweep, base, stream.pick)
        points.append(point)
    return points


class RandomStream:
    """Seeded draws, each key with its own stream, so that one more key changes no other.

    Choices come in shuffled rounds: each value once before any comes again, so that a short
    search does not leave one out by chance.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._generators: dict[str, np.random.Generator] = {}
        self._rounds: dict[str, list[int]] = {}

    def pick(self, key: str, space: ParameterSpace) -> int | float:
        """Return the next draw of a key."""
        if key not in self._generators:
            self._generators[key] = np.random.default_rng([self._seed, zlib.crc32(key.encode())])
        generator = self._generators[key]
        if space.choice is not None:
            left = self._rounds.setdefault(key, [])
            if not left:
                left += generator.permutation(len(space.choice)).tolist()
            return left.pop()
        low, high = space.uniform or space.loguniform or (0.0, 1.0)
        if space.loguniform is None:
            return float(generator.uniform(low, high))
        return math.exp(generator.uniform(math.log(low), math.log(high)))


def grid_points(sweep: SweepConfig, base: Config) -> Iterator[Point]:
    """Yield every combination of choices once; the last key varies fastest.

    Raises:
        ConfigError: A key has a continuous range.
    """
    for key, space in sweep.space.items():
        if space.choice is None:
            raise ConfigError(
                f"sweep {sweep.name}: a grid cannot walk the range of {key}",
                expected="choice",
                remedy="list values under choice, or set search: random",
            )
    keys = list(sweep.space)
    numbers = [range(len(sweep.space[key].choice or ())) for key in keys]
    seen: list[Point] = []
    for combination in itertools.product(*numbers):
        chosen = dict(zip(keys, combination, strict=True))
        point = draw(sweep, base, lambda key, _, chosen=chosen: chosen[key])
        if point not in seen:
            seen.append(point)
            yield point


def draw(sweep: SweepConfig, base: Config, pick: Pick) -> Point:
    """Return one point: `pick` chooses for each key whose condition holds."""
    values = base.model_dump(mode="json")
    point: Point = {}
    for key in ordered_keys(sweep):
        space = sweep.space[key]
        if _applies(space.when, values):
            point[key] = pick(key, space)
            set_key(values, key, value_of(space, point[key]))
    return point


def ordered_keys(sweep: SweepConfig) -> list[str]:
    """Return the searched keys, each after those that its condition asks for.

    Raises:
        ConfigError: Conditions wait for each other.
    """
    ordered: list[str] = []
    waiting = list(sweep.space)
    while waiting:
        ready = [key for key in waiting if not set(sweep.space[key].when) & set(waiting)]
        if not ready:
            raise ConfigError(
                f"sweep {sweep.name}: the conditions (when) of {', '.join(waiting)} wait for "
                "each other",
                remedy="remove one of them",
            )
        ordered += ready
        waiting = [key for key in waiting if key not in ready]
    return ordered


def value_of(space: ParameterSpace, drawn: int | float) -> Any:
    """Return the setting's value for what was drawn: the choice with that number, or a number."""
    return space.choice[int(drawn)] if space.choice is not None else float(drawn)


def make_trial(
    sweep: SweepConfig,
    base: Config,
    point: Point,
    index: int,
    repeat: int = 0,
    *,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> TrialSpec:
    """Return the trial of a point, with `settings` by dotted key laid over it.

    Raises:
        ConfigError: The point's values do not make a valid configuration.
    """
    plain = base.model_dump(mode="json")
    for key in ordered_keys(sweep):
        if key in point:
            set_key(plain, key, value_of(sweep.space[key], point[key]))
    for key, value in settings.items():
        set_key(plain, key, value)
    set_key(plain, "train.seed", int(lookup(plain, "train.seed")) + repeat)
    name = f"trial_{index:03d}" + (f"_r{repeat}" if sweep.repeats > 1 else "")
    config = config_from_dict(plain, source=f"sweep {sweep.name}, {name}")
    resolved = config.model_dump(mode="json")
    values = {key: lookup(resolved, key) for key in point}
    labels = {key: _label(sweep.space[key], point[key], values[key]) for key in point}
    trial = config.with_absolute_paths().model_dump(mode="json")
    return TrialSpec(name, index, repeat, point, values, labels, trial)


def check_space(sweep: SweepConfig, base: Config) -> None:
    """Refuse a space that can give an invalid configuration, before anything starts.

    Raises:
        ConfigError: A sampled trial is invalid.
    """
    if sweep.search == "optuna":
        sample = sweep.model_copy(update={"search": "random", "trials": CHECKED_SAMPLES})
        points = list_points(sample, base)
    else:
        points = list_points(sweep, base)
    for index, point in enumerate(points):
        make_trial(sweep, base, point, index)


def last_stage_epoch(sweep: SweepConfig, base: Config) -> int:
    """Return the latest start of a last curriculum stage (with its ramp) in any trial."""
    configs = [base]
    for key, space in sweep.space.items():
        if key.split(".")[0] == "loss":
            for value in space.choice or ():
                plain = base.model_dump(mode="json")
                set_key(plain, key, value)
                configs.append(config_from_dict(plain, source=f"sweep {sweep.name}: {key}"))
    return max(_last_stage(config) for config in configs)


def grace_epochs(sweep: SweepConfig, base: Config) -> int:
    """Return after how many finished epochs a trial may be stopped at the earliest.

    Before the last curriculum stage trials with different stages cannot be compared.

    Raises:
        ConfigError: The sweep's grace is shorter than that and does not insist.
    """
    needed = last_stage_epoch(sweep, base)
    given = sweep.scheduler.grace_epochs
    if given is None:
        return needed + 1
    if given < needed and not sweep.scheduler.allow_early_grace:
        raise ConfigError(
            f"sweep {sweep.name}: scheduler.grace_epochs",
            expected=f"at least {needed}, where the last curriculum stage starts",
            found=given,
            remedy="raise it, or set scheduler.allow_early_grace: true",
        )
    return given


def lookup(values: Mapping[str, Any], dotted: str) -> Any:
    """Return `values["a"]["b"]` for `a.b`, or None where there is no such entry."""
    current: Any = values
    for name in dotted.split("."):
        if not isinstance(current, Mapping) or name not in current:
            return None
        current = current[name]
    return current


def _last_stage(config: Config) -> int:
    if not config.loss.stages:
        return 0
    ramp = config.loss.ramp_epochs if config.loss.transition == "linear" else 0
    return config.loss.stages[-1].epoch + ramp


def _applies(when: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    for key, wanted in when.items():
        accepted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        if lookup(values, key) not in accepted:
            return False
    return True


def _label(space: ParameterSpace, drawn: int | float, value: Any) -> Any:
    if space.labels is not None:
        return space.labels[int(drawn)]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return json.dumps(value)
