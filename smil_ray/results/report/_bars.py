"""The report's drawings with a line per name: importance of settings, seeds, joints."""

from collections.abc import Mapping, Sequence
from typing import Literal

from smil_ray.results.ranking.importance import Importance
from smil_ray.results.ranking.leaderboard import RankedConfig, format_value
from smil_ray.results.report._axes import Axis
from smil_ray.results.report._plots import INK, LETTER, WIDTH, Canvas, colour_of

LINE = 26
"""Pixels from line to line; `DENSE` where there are many."""
DENSE = 16
MOST_LINES = 20
BAR = "#4dabf7"


def importance_plot(found: Sequence[Importance], names: Mapping[str, str]) -> str:
    """Return bars of the variance that each setting explains alone, with their quartiles."""
    if not found:
        return ""
    labels = [names.get(entry.key, entry.key) for entry in found]
    canvas = _lined_canvas(labels, LINE)
    top = max(max(entry.share, entry.high) for entry in found)
    x = Axis(0.0, max(100.0 * top, 1.0) * 1.08)
    canvas.columns(x, "variance explained by this setting alone [%]")
    for number, (entry, label) in enumerate(zip(found, labels, strict=True)):
        y = _line_place(number, len(found))
        end = x.at(100.0 * entry.share)
        title = (
            f"{label}: {100 * entry.share:.0f} % "
            f"({100 * entry.low:.0f} to {100 * entry.high:.0f} %)"
        )
        canvas.line([(0.0, y), (end, y)], BAR, stroke_width=13, title=title)
        spread = [(x.at(100.0 * value), y) for value in (entry.low, entry.high)]
        canvas.line(spread, INK, stroke_width=2, title=title)
    return canvas.svg("importance of settings")


def seeds_plot(ranked: Sequence[RankedConfig], metric: str) -> str:
    """Return a line per configuration with a dot per seed and a bar at their mean.

    Nothing where no configuration was repeated.
    """
    shown = [(place, c) for place, c in enumerate(ranked) if len(c.records) > 1][:MOST_LINES]
    if not shown:
        return ""
    labels = [f"{place + 1}. {config.records[0].name}" for place, config in shown]
    canvas = _lined_canvas(labels, LINE)
    values = [r.metric for _, config in shown for r in config.records if r.metric is not None]
    x = Axis.of(values, pad=0.06)
    canvas.columns(x, metric)
    for number, (place, config) in enumerate(shown):
        y, colour = _line_place(number, len(shown)), colour_of(place)
        spread = config.spread or 0.0
        ends = [(x.at(config.metric + sign * spread), y) for sign in (-1, 1)]
        title = f"{labels[number]}: {config.metric:.4g} ± {spread:.2g}"
        canvas.line(ends, colour, stroke_width=3, opacity=0.45, title=title)
        for record in config.records:
            if record.metric is not None:
                at = (x.at(record.metric), y)
                canvas.dot(
                    *at, colour, title=f"{record.name}: {format_value(record.metric)}", radius=4.0
                )
        half = 8.0 / canvas.inner_height
        mean = x.at(config.metric)
        canvas.line([(mean, y - half), (mean, y + half)], colour, stroke_width=2.5, title=title)
    return canvas.svg("spread between seeds")


def joints_plot(
    joints: Mapping[str, Mapping[str, float]],
    figure: str,
    mode: Literal["min", "max"] = "min",
) -> str:
    """Return a line per joint with a dot per configuration, the first one's worst joint on top.

    Args:
        joints: Configuration, in its ranked order -> joint -> error.
        figure: Caption of the error.
        mode: Whether small or large values are good.
    """
    if not joints:
        return ""
    first = next(iter(joints.values()))
    sign = -1 if mode == "min" else 1
    names = sorted(first, key=lambda joint: (sign * first[joint], joint))
    values = [value for found in joints.values() for value in found.values()]
    canvas = _lined_canvas(names, DENSE)
    x = Axis.of(values, pad=0.04, from_zero=True)
    canvas.columns(x, figure)
    for place, (name, found) in reversed(list(enumerate(joints.items()))):
        for number, joint in enumerate(names):
            if joint in found:
                at = (x.at(found[joint]), _line_place(number, len(names)))
                title = f"{name}, {joint}: {format_value(found[joint])}"
                canvas.dot(*at, colour_of(place), title=title, radius=4.0)
    return canvas.svg(f"{figure} of every joint")


def _lined_canvas(labels: Sequence[str], line: int) -> Canvas:
    """Return a canvas with a named grid line for each label, the first one on top."""
    left = round(min(260, 24 + LETTER * max(len(label) for label in labels)))
    canvas = Canvas(WIDTH, line * len(labels) + 64, (8, 18, 56, left))
    most = int((left - 20) / LETTER)
    for number, label in enumerate(labels):
        y = _line_place(number, len(labels))
        canvas.line([(0.0, y), (1.0, y)], "#e9ecef")
        text = label if len(label) <= most else label[: most - 1] + "…"
        canvas.text(left - 10, canvas.y(y) + 4, text, anchor="end")
    return canvas


def _line_place(number: int, count: int) -> float:
    return 1.0 - (number + 0.5) / count
