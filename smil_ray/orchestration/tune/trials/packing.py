"""Which trials of a sweep share a process, and how many."""

import math
from collections.abc import Callable

from smil_ray.config import Config
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.search.space import list_points
from smil_ray.orchestration.tune.search.spec import TrialSpec
from smil_ray.orchestration.tune.trials.resources import TrialPlan
from smil_ray.training.packing.compatibility import group_into_packs, stream_key

LARGEST_PACK = 8
LOOK_AHEAD = 4
"""Packs' worth of trials that are taken from the queue to find some that fit together; of a search
that learns from results only one, since every trial taken ahead is one drawn without them."""
FREEZE = "model.backbone.freeze"


def pack_size(sweep: SweepConfig, base: Config, plan: TrialPlan) -> int:
    """Return how many trials may share a process; 1 where none can.

    `auto` shares the trials out evenly among what runs at once, up to `LARGEST_PACK` a process.

    Raises:
        ConfigError: A number is set and trials are Ray Train runs, which have processes of their
            own.
    """
    if plan.execution != "inline":
        if sweep.pack not in ("auto", 1):
            raise ConfigError(
                f"sweep {sweep.name}: pack",
                expected="1, because trials run as Ray Train runs",
                found=sweep.pack,
                remedy="set execution: inline, or leave pack out",
            )
        return 1
    if sweep.pack != "auto":
        return sweep.pack
    if not _may_be_frozen(sweep, base):
        return 1
    points = sweep.trials
    if sweep.search == "grid":
        points = len(list_points(sweep, base))
    return min(LARGEST_PACK, math.ceil(points * sweep.repeats / plan.concurrent))


class Packer:
    """Takes trials from the queue and hands them out in packs that fit together.

    Args:
        take: Returns the next trial, None when there is none.
        size: The most trials of a pack.
        look_ahead: The most packs' worth of trials that are taken to find some.

    Attributes:
        held: Trials that were taken and not yet handed out.
        alone: Trials that are handed out again, each in a process of its own.
    """

    def __init__(
        self, take: Callable[[], TrialSpec | None], size: int, look_ahead: int = LOOK_AHEAD
    ) -> None:
        self._take = take
        self._size = size
        self._most = look_ahead * size
        self.held: list[TrialSpec] = []
        self.alone: list[TrialSpec] = []

    def next(self) -> list[TrialSpec]:
        """Return the next pack; empty when there is no trial left."""
        if self.alone:
            return [self.alone.pop(0)]
        while True:
            streams = [self._stream(spec) for spec in self.held]
            pack = next(group_into_packs(streams, self._size), [])
            if len(pack) == self._size or len(self.held) >= self._most:
                break
            if self.held and streams[0] is None:
                break
            spec = self._take()
            if spec is None:
                break
            self.held.append(spec)
        chosen = [self.held[number] for number in pack]
        self.held = [spec for number, spec in enumerate(self.held) if number not in pack]
        return chosen

    @staticmethod
    def _stream(spec: TrialSpec) -> str | None:
        return stream_key(Config.model_validate(spec.config))


def _may_be_frozen(sweep: SweepConfig, base: Config) -> bool:
    if FREEZE in sweep.space:
        return True in (sweep.space[FREEZE].choice or ())
    searched = sweep.space.get("model.backbone")
    if searched is not None:
        return any(choice.get("freeze") is True for choice in searched.choice or ())
    return base.model.backbone.freeze is True
