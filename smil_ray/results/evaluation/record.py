"""What an evaluation found: figures of a network and of baselines, as a table, words and JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.markup import escape
from rich.table import Table

from smil_ray.results.evaluation.captions import (
    GROUPED,
    SHORT,
    SHOWN,
    digits,
    is_better,
    is_higher_better,
)

MEAN_POSE = "mean pose"
ONE_LINE = 165
"""Characters of a terminal in which a figure and its interval stand on one line."""
POSE_FIGURE = "pa_mpjpe_pct_bl"


@dataclass(frozen=True)
class Evaluation:
    """Figures of a network and of the baselines on the same samples.

    Intervals are of 95 %, bootstrapped over groups of samples (`ranking.bootstrap`).

    Attributes:
        split: Which part of the data set: `test`, `val` or `all`.
        n_samples: How many samples there are.
        metrics: Predictor -> figure -> value; the network comes first.
        per_joint: Figure -> joint -> value, of the network.
        left_out: Baseline -> why the data do not allow it.
        body_chain: The joints along which 100 % of body length is measured.
        counts: Figure -> how many samples have the labels that it needs.
        intervals: Predictor -> figure -> lower and upper bound.
        differences: Baseline -> figure -> mean, lower and upper bound of the network's value
            minus the baseline's on the same samples.
        per_group: Predictor -> figure -> part of the body -> value; none where joint names do
            not tell.
    """

    split: str
    n_samples: int
    metrics: dict[str, dict[str, float]]
    per_joint: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    body_chain: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    differences: dict[str, dict[str, tuple[float, float, float]]] = field(default_factory=dict)
    per_group: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Evaluation":
        """Return the evaluation that `as_record` described; other keys are ignored."""
        metrics = record.get("metrics") or record.get("figures") or {}
        known = {key: record[key] for key in cls.__dataclass_fields__ if key in record}
        for key in ("intervals", "differences"):  # JSON has no tuples.
            known[key] = {
                name: {figure: tuple(bounds) for figure, bounds in found.items()}
                for name, found in record.get(key, {}).items()
            }
        return cls(**{**known, "metrics": metrics})

    def as_record(self) -> dict[str, Any]:
        """Return everything as plain numbers, texts and mappings."""
        return asdict(self)

    def write_json(self, path: Path) -> None:
        """Write every figure to `path`."""
        path.write_bytes(self.as_json())

    def as_json(self) -> bytes:
        """Return every figure as JSON."""
        return orjson.dumps(self.as_record(), option=orjson.OPT_INDENT_2)

    @property
    def network(self) -> str:
        """The name of what is evaluated."""
        return next(iter(self.metrics))

    @property
    def columns(self) -> list[str]:
        """Predictors in the order of tables: baselines, then the network."""
        return [*list(self.metrics)[1:], self.network]

    @property
    def figures(self) -> list[str]:
        """The figures of tables that the network has, in their order."""
        return [key for key in SHOWN if key in self.metrics[self.network]]

    @property
    def notes(self) -> list[str]:
        """Sentences about the table."""
        found = []
        if self.intervals:
            found.append(
                "[low, high]: 95 % interval over samples (bootstrap, groups of near-duplicates "
                "drawn together); it does not cover the spread between seeds"
            )
        found += [f"no {name}: {reason}" for name, reason in self.left_out.items()]
        if POSE_FIGURE not in self.metrics[self.network]:
            found.append("no 3D figures: the samples have no 3D joints")
        elif self.body_chain:
            found.append(f"100 % of body length: {self.body_chain}")
        return found

    def table(self, width: int = ONE_LINE) -> Table:
        """Return a row a figure: baselines, network, and the difference to the mean pose.

        Args:
            width: Characters of the terminal. In narrow ones captions are short, intervals have
                lines of their own, and N is shown where it is not the number of all samples.
        """
        which = "samples, seen in training or not" if self.split == "all" else "held-out samples"
        is_wide = width >= ONE_LINE
        table = Table(
            title=f"{self.n_samples} {which} ({self.split} split)",
            caption=escape("\n".join(self.notes)) or None,
            caption_justify="left",
            box=box.HEAVY_HEAD if is_wide else box.SIMPLE_HEAD,
            padding=(0, 1) if is_wide else (0, 0),
        )
        has_difference = bool(self.differences.get(MEAN_POSE))
        table.add_column("metric", no_wrap=True)
        if is_wide:
            table.add_column("N", justify="right")
        for heading in self.columns:
            table.add_column(heading, justify="right")
        if has_difference:
            table.add_column(f"difference to {MEAN_POSE}", justify="right")
        if is_wide or not has_difference:
            table.add_column(f"against {MEAN_POSE}", justify="right")
        for key in self.figures:
            table.add_row(*self._line(key, is_wide=is_wide, has_difference=has_difference))
        return table

    def _line(self, key: str, *, is_wide: bool, has_difference: bool) -> list[str]:
        count = self.counts.get(key)
        gap = " " if is_wide else "\n"
        cells = [gap.join(self.cell(name, key)) for name in self.columns]
        if has_difference:
            cells.append(gap.join(self.difference(key)))
        if is_wide or not has_difference:
            cells.append(self.gain(key))
        if is_wide:
            return [escape(SHOWN[key]), "" if count is None else str(count), *cells]
        of_some = count is not None and count != self.n_samples
        return [SHORT[key] + (f"\n(N = {count})" if of_some else ""), *cells]

    def group_table(self) -> Table | None:
        """Return the figures by part of the body, network against mean pose; None without any."""
        ours, theirs = self.per_group.get(self.network, {}), self.per_group.get(MEAN_POSE, {})
        shown = [key for key in GROUPED if ours.get(key)]
        if not shown:
            return None
        table = Table(title="By part of the body: network (mean pose)")
        table.add_column("part")
        for key in shown:
            table.add_column(SHORT[key], justify="right")
        for part in ours[shown[0]]:
            cells = []
            for key in shown:
                other = theirs.get(key, {}).get(part)
                more = "" if other is None else f" ({digits(other)})"
                cells.append(digits(ours[key].get(part)) + more)
            table.add_row(part, *cells)
        return table

    def cell(self, name: str, key: str) -> tuple[str, ...]:
        """Return a predictor's figure and, where it is known, its interval."""
        value = self.metrics[name].get(key)
        bounds = self.intervals.get(name, {}).get(key)
        if value is None or bounds is None or (name == MEAN_POSE and key == "pose_score"):
            return (digits(value),)
        return digits(value), f"[{digits(bounds[0])}, {digits(bounds[1])}]"

    def difference(self, key: str, over: str = MEAN_POSE) -> tuple[str, ...]:
        """Return the difference to a baseline and its interval."""
        found = self.differences.get(over, {}).get(key)
        if found is None:
            return ("-",)
        mean, low, high = found
        return ("+" if mean > 0 else "") + digits(mean), f"[{digits(low)}, {digits(high)}]"

    def gain(self, key: str, over: str = MEAN_POSE) -> str:
        """Return how much better the network is than a baseline, e.g. `-35 %` or `+0.21`."""
        ours = self.metrics[self.network].get(key)
        theirs = self.metrics.get(over, {}).get(key)
        if ours is None or theirs is None:
            return "-"
        if is_higher_better(key):
            return f"{ours - theirs:+.3f}"
        if theirs <= 0:
            return "-"
        change = round(100.0 * (ours - theirs) / theirs)
        return f"{change:+d} %" if change else "0 %"

    def is_better(self, key: str, over: str = MEAN_POSE) -> bool:
        """Return whether the network beats a baseline; true if there is none to beat."""
        ours = self.metrics[self.network].get(key)
        theirs = self.metrics.get(over, {}).get(key)
        return ours is None or theirs is None or is_better(key, ours, theirs)

    def verdict(self) -> str:
        """Return in words whether the network beats the mean pose in PA-MPJPE.

        Empty where one of them has no such figure.
        """
        key, name = POSE_FIGURE, f"The {self.network}"
        ours = self.metrics[self.network].get(key)
        theirs = self.metrics.get(MEAN_POSE, {}).get(key)
        if ours is None or theirs is None:
            return ""
        shown = f"{digits(ours)} against {digits(theirs)} % of body length"
        difference = self.differences.get(MEAN_POSE, {}).get(key)
        if difference is not None:
            shown += f", difference {' '.join(self.difference(key))}"
        if ours < theirs and (difference is None or difference[2] < 0.0):
            return f"{name} beats the mean pose in PA-MPJPE: {shown}."
        if ours < theirs:
            return (
                f"{name} cannot be told apart from the mean pose in PA-MPJPE: {shown}. Train "
                "longer, or evaluate on more samples."
            )
        return (
            f"{name} does not beat the mean pose in PA-MPJPE: {shown}. It may place and turn the "
            "animal, but it does not read its joints. Train longer, on more samples, or from "
            "pretrained weights."
        )
