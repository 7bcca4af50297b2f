"""How long a search may take and how long it has taken, over all its sessions.

Time is counted while trials are handed out and run, in the driver, and kept in the sweep's
journal every few seconds: a driver that is killed forgets no more than that.
"""

import math
import time
from collections.abc import Callable

from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.journal import Journal
from smil_ray.orchestration.tune.trials.resources import TrialPlan

KEEP_EVERY_S = 10.0


class Budget:
    """The limits of a sweep and the clock that is held against them.

    Args:
        sweep: Its `max_hours` and `max_gpu_hours` are the limits.
        journal: Where spent time is kept.
        clock: Returns seconds.
    """

    def __init__(
        self, sweep: SweepConfig, journal: Journal, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = (sweep.max_hours, sweep.max_gpu_hours)
        self._journal = journal
        self._clock = clock
        self._last: float | None = None
        self._unkept = [0.0, 0.0]
        self._spent = [0.0, 0.0]
        for event in journal.events("spent"):
            self._spent[0] += float(event["seconds"])
            self._spent[1] += float(event["device_seconds"])

    def tick(self, devices: float) -> None:
        """Count the time since the last call, in which `devices` devices were in use."""
        now = self._clock()
        elapsed = 0.0 if self._last is None else now - self._last
        self._last = now
        for place, seconds in enumerate((elapsed, elapsed * devices)):
            self._unkept[place] += seconds
            self._spent[place] += seconds
        if self._unkept[0] >= KEEP_EVERY_S:
            self.keep()

    def keep(self) -> None:
        """Write what was spent to the journal."""
        seconds, device_seconds = self._unkept
        if seconds > 0:
            self._journal.append("spent", seconds=seconds, device_seconds=device_seconds)
            self._unkept = [0.0, 0.0]

    @property
    def hours(self) -> float:
        """Hours that the search has taken."""
        return self._spent[0] / 3600

    @property
    def device_hours(self) -> float:
        """Device hours that the trials have taken: GPUs, or CPU cores where they had none."""
        return self._spent[1] / 3600

    @property
    def is_spent(self) -> bool:
        """Whether no more trial may begin."""
        return any(
            limit is not None and used >= limit
            for limit, used in zip(self._limits, (self.hours, self.device_hours), strict=True)
        )

    def __str__(self) -> str:
        used = zip(self._limits, (self.hours, self.device_hours), ("", "device "), strict=True)
        parts = [f"{spent:.3g} of {limit:g} {kind}hours" for limit, spent, kind in used if limit]
        return " and ".join(parts) or "no limit"


def devices_in_use(plan: TrialPlan, running: int) -> float:
    """Return how many devices `running` trials use, those of one pack sharing theirs."""
    return min(plan.concurrent, math.ceil(running / plan.pack)) * plan.devices
