"""Axes of the report's drawings: where a value lies, and which values are written beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smil_ray.results.ranking.leaderboard import format_value

MAX_LABEL = 22
MAX_CHOICES = 6


@dataclass(frozen=True)
class Axis:
    """A range of numbers, or a list of categories, laid over [0, 1].

    Attributes:
        low: Smallest number.
        high: Largest number.
        is_log: Whether equal ratios have equal lengths.
        categories: Names in their order, in place of numbers.
        is_whole: Whether ticks are at whole numbers only.
    """

    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    categories: tuple[str, ...] = ()
    is_whole: bool = False

    @classmethod
    def of(
        cls,
        values: Sequence[Any],
        *,
        pad: float = 0.05,
        from_zero: bool = False,
    ) -> "Axis":
        """Return the axis that holds `values`: numbers if all are, else categories.

        A few whole numbers, such as layers, are categories too.
        """
        present = [value for value in values if value is not None]
        distinct = set(map(_category, values))
        is_few = len(distinct) <= MAX_CHOICES and all(isinstance(v, int) for v in present)
        if is_few or not all(_is_number(value) for value in present):
            order = sorted(
                set(present), key=lambda v: (not _is_number(v), v if _is_number(v) else 0, str(v))
            )
            names = [_category(value) for value in order]
            return cls(categories=tuple(dict.fromkeys([*names, *sorted(distinct - set(names))])))
        low, high = float(min(present)), float(max(present))
        if low > 0 and high / low >= 20 and not from_zero:
            factor = (high / low) ** pad
            return cls(low / factor, high * factor, is_log=True)
        if from_zero:
            low = min(low, 0.0)
        room = (high - low or abs(high) or 1.0) * pad
        return cls(low if from_zero else low - room, high + room)

    def at(self, value: Any) -> float:
        """Return the place of a value in [0, 1]."""
        if self.categories:
            place = self.categories.index(_category(value))
            return (place + 0.5) / len(self.categories)
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Return places and labels of the ticks."""
        if self.categories:
            return [(self.at(name), _short(name)) for name in self.categories]
        values = self._log_values(most) if self.is_log else self._linear_values(most)
        return [(self.at(value), f"{value:.4g}") for value in values]

    def _linear_values(self, most: int) -> list[float]:
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        if self.is_whole:
            rough = max(rough, 1.0)
            power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]

    def _log_values(self, most: int) -> list[float]:
        first = math.floor(math.log10(self.low))
        last = math.ceil(math.log10(self.high))
        for factors in ((1, 2, 5), (1, 3), (1,)):
            values = [f * 10.0**power for power in range(first, last + 1) for f in factors]
            inside = [value for value in values if self.low <= value <= self.high]
            if len(inside) <= most:
                break
        return inside


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _category(value: Any) -> str:
    return "not set" if value is None else format_value(value)


def _short(name: str) -> str:
    return name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1] + "…"
