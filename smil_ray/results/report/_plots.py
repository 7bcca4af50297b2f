"""The report's drawings as inline SVG: no script, no file, sharp at every size."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from smil_ray.results.report._axes import Axis

WIDTH = 760
"""Pixels of the drawings; their letters of 12 px stay legible on a page 800 px wide."""
COLUMN = 125
"""Pixels between two axes of the parallel coordinates at least."""
NARROWEST = 0.84
"""A drawing becomes no smaller than this; narrower pages scroll it."""
LETTER = 6.9
"""Pixels that a letter takes."""
COLOURS = ("#c92a2a", "#1971c2", "#2f9e44", "#e8590c", "#7048e8")
"""Colours of the first places; the others are grey."""
OTHERS = "#adb5bd"
INK = "#495057"


@dataclass(frozen=True)
class Curve:
    """One configuration in the drawings.

    Attributes:
        name: What its tooltip says.
        place: Rank, the best is 0.
        points: (epoch, value) of its best repeat.
        metric: Its ranked value.
        seconds: Wall time.
        labels: Searched keys and what tables show of them.
        bounds: Smallest and largest value that the samples allow, where that is known.
        costs: Name of a cost -> its mean over the repeats, its smallest, its largest.
    """

    name: str
    place: int
    metric: float
    seconds: float
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: dict[str, Any] = field(default_factory=dict)
    bounds: tuple[float, float] | None = None
    costs: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def colour(self) -> str:
        """The colour of its place."""
        return colour_of(self.place)


def colour_of(place: int) -> str:
    """Return the colour of a place, the best is 0."""
    return COLOURS[place] if place < len(COLOURS) else OTHERS


class Canvas:
    """An SVG picture with a frame for data; places are fractions of the frame."""

    def __init__(self, width: int, height: int, margins: tuple[int, int, int, int]) -> None:
        self.width, self.height = width, height
        self.top, self.right, self.bottom, self.left = margins
        self._parts: list[str] = []

    @property
    def inner_height(self) -> int:
        """Height of the frame in pixels."""
        return self.height - self.top - self.bottom

    def x(self, place: float) -> float:
        """Return pixels from the left for a place in [0, 1]."""
        return self.left + place * (self.width - self.left - self.right)

    def y(self, place: float) -> float:
        """Return pixels from the top for a place in [0, 1], counted upwards."""
        return self.height - self.bottom - place * (self.height - self.top - self.bottom)

    def line(self, points: Sequence[tuple[float, float]], colour: str, **style: Any) -> None:
        """Draw a line through places in the frame."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        title = _title(style.pop("title", ""))
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}"{_style(style)}>'
            f"{title}</polyline>"
        )

    def dot(
        self, x: float, y: float, colour: str, *, title: str = "", radius: float = 5.0
    ) -> None:
        """Draw a dot at a place in the frame."""
        self._parts.append(
            f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius}" fill="{colour}" '
            f'stroke="white" stroke-width="1.2">{_title(title)}</circle>'
        )

    def text(
        self, x: int | float, y: int | float, text: str, *, anchor: str = "middle", **style: Any
    ) -> None:
        """Write text at pixels."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{_style(style)}>'
            f"{escape(text)}</text>"
        )

    def axes(self, x: Axis, y: Axis, x_title: str, y_title: str) -> None:
        """Draw grid, tick labels and titles of both axes."""
        for place, label in y.ticks():
            self.line([(0.0, place), (1.0, place)], "#e9ecef")
            self.text(self.left - 8, self.y(place) + 4, label, anchor="end")
        for place, _ in x.ticks():
            self.line([(place, 0.0), (place, -0.015)], INK)
        self._below(x, x_title)
        middle = self.y(0.5)
        turn = f"rotate(-90 14 {middle:.1f})"
        self.text(14, middle, y_title, transform=turn, font_weight="600")

    def columns(self, x: Axis, x_title: str) -> None:
        """Draw the lower axis alone, with a grid."""
        for place, _ in x.ticks():
            self.line([(place, 0.0), (place, 1.0)], "#e9ecef")
        self._below(x, x_title)

    def _below(self, x: Axis, x_title: str) -> None:
        ticks = x.ticks()
        room = (self.width - self.left - self.right) / max(len(ticks), 1)
        is_tight = bool(x.categories) and max(len(label) for _, label in ticks) * LETTER > room
        for number, (place, label) in enumerate(ticks):
            # Long names stand in two lines by turns.
            shift = 15 * (number % 2) if is_tight else 0
            self.text(self.x(place), self.height - self.bottom + 19 + shift, label)
        self.line([(0.0, 0.0), (1.0, 0.0)], INK)
        self.text(self.x(0.5), self.height - 8, x_title, font_weight="600")

    def svg(self, label: str) -> str:
        """Return the picture."""
        body = "".join(self._parts)
        least = round(NARROWEST * self.width)
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" style="min-width:{least}px" '
            f'role="img" aria-label="{escape(label)}" font-size="12" fill="{INK}">{body}</svg>'
        )


def learning_curves(curves: Sequence[Curve], metric: str) -> str:
    """Return the metric of every configuration over the epochs, the best drawn last."""
    points = [point for curve in curves for point in curve.points]
    if not points:
        return ""
    epochs = [epoch for epoch, _ in points]
    x = Axis(min(epochs) - 0.05, max(epochs) + 0.05, is_whole=True)
    y = Axis.of([value for _, value in points])
    canvas = Canvas(WIDTH, 360, (14, 16, 46, 66))
    canvas.axes(x, y, "finished epochs", metric)
    for curve in sorted(curves, key=lambda curve: -curve.place):
        places = [(x.at(epoch), y.at(value)) for epoch, value in curve.points]
        width = 2.6 if curve.place == 0 else 1.8 if curve.place < len(COLOURS) else 1.2
        canvas.line(places, curve.colour, stroke_width=width, title=curve.name)
        if places:
            canvas.dot(*places[-1], curve.colour, title=curve.name, radius=3.2)
    return canvas.svg(f"{metric} over epochs")


def parallel_coordinates(
    curves: Sequence[Curve], keys: Sequence[str], names: dict[str, str], metric: str
) -> str:
    """Return one line per configuration through its settings to its metric."""
    if not curves or not keys:
        return ""
    columns = [*keys, metric]
    canvas = Canvas(max(WIDTH, 230 + COLUMN * len(keys)), 350, (34, 80, 20, 150))
    axes = {key: Axis.of([curve.labels.get(key) for curve in curves], pad=0.08) for key in keys}
    axes[metric] = Axis.of([curve.metric for curve in curves], pad=0.08)
    places = {key: number / (len(columns) - 1) for number, key in enumerate(columns)}
    for curve in sorted(curves, key=lambda curve: -curve.place):
        values = {**curve.labels, metric: curve.metric}
        path = [
            (places[key], axes[key].at(values.get(key)))
            for key in columns
            if axes[key].categories or values.get(key) is not None
        ]
        width = 3.2 if curve.place == 0 else 1.8
        opacity = 1.0 if curve.place < len(COLOURS) else 0.7
        canvas.line(path, curve.colour, stroke_width=width, opacity=opacity, title=curve.name)
    for number, key in enumerate(columns):
        canvas.line([(places[key], 0.0), (places[key], 1.0)], INK)
        is_last = number == len(columns) - 1
        title = metric.partition(" [")[0] if is_last else names[key]
        canvas.text(canvas.x(places[key]), 18, title, font_weight="600")
        for place, label in axes[key].ticks():
            shift, anchor = (7, "start") if is_last else (-7, "end")
            if number and not is_last:
                shift, anchor = 7, "start"
            canvas.text(
                canvas.x(places[key]) + shift,
                canvas.y(place) + 4,
                label,
                anchor=anchor,
                paint_order="stroke",
                stroke="white",
                stroke_width=4,
            )
    return canvas.svg("settings and metric of every configuration")


def setting_plot(curves: Sequence[Curve], key: str, name: str, metric: str) -> str:
    """Return the metric over one setting; a bar marks the mean of each category."""
    x = Axis.of([curve.labels.get(key) for curve in curves], pad=0.06)
    shown = [c for c in curves if x.categories or c.labels.get(key) is not None]
    y = Axis.of([curve.metric for curve in curves])
    canvas = Canvas(370, 285, (12, 24, 61, 62))
    canvas.axes(x, y, name, metric)
    groups: dict[float, list[float]] = {}
    for curve in shown:
        groups.setdefault(x.at(curve.labels.get(key)), []).append(curve.metric)
    if x.categories:
        half = 0.3 / len(x.categories)
        for place, values in groups.items():
            mean = y.at(sum(values) / len(values))
            ends = [(place - half, mean), (place + half, mean)]
            canvas.line(ends, "#868e96", stroke_width=2.5, title=f"mean of {len(values)}")
    for curve in sorted(shown, key=lambda curve: -curve.place):
        place = x.at(curve.labels.get(key))
        canvas.dot(place, y.at(curve.metric), curve.colour, title=curve.name)
    return canvas.svg(f"{metric} over {name}")


def cost_plot(
    curves: Sequence[Curve], metric: str, mode: str, *, cost: str = "", title: str = ""
) -> str:
    """Return the metric over a cost, with bars of what is uncertain and the front of both.

    Args:
        curves: Configurations.
        metric: Caption of the metric.
        mode: Whether small or large values of it are good.
        cost: One of the curves' costs; wall time without one.
        title: Caption of the cost.
    """
    costs = {curve.name: _cost(curve, cost) for curve in curves}
    shown = [curve for curve in curves if costs[curve.name] is not None]
    if not shown:
        return ""
    known = {name: value for name, value in costs.items() if value is not None}
    x = Axis.of([v for value in known.values() for v in value], pad=0.08, from_zero=True)
    y = Axis.of([v for c in shown for v in (c.metric, *(c.bounds or ()))], pad=0.08)
    canvas = Canvas(WIDTH, 340, (14, 24, 46, 66))
    canvas.axes(x, y, title or "seconds per trial", metric)
    front = pareto_front([replace(c, seconds=known[c.name][0]) for c in shown], mode)
    places = [(x.at(curve.seconds), y.at(curve.metric)) for curve in front]
    canvas.line(places, "#868e96", stroke_width=1.5, stroke_dasharray="5 4")
    for curve in sorted(shown, key=lambda curve: -curve.place):
        mean, low, high = known[curve.name]
        at = (x.at(mean), y.at(curve.metric))
        bar = {"stroke_width": 1.6, "opacity": 0.6, "title": curve.name}
        if curve.bounds is not None:
            canvas.line([(at[0], y.at(end)) for end in curve.bounds], curve.colour, **bar)
        if high > low:
            canvas.line([(x.at(low), at[1]), (x.at(high), at[1])], curve.colour, **bar)
        canvas.dot(*at, curve.colour, title=curve.name, radius=6.0)
    return canvas.svg(f"{metric} over cost")


def _cost(curve: Curve, cost: str) -> tuple[float, float, float] | None:
    return curve.costs.get(cost) if cost else (curve.seconds, curve.seconds, curve.seconds)


def pareto_front(curves: Sequence[Curve], mode: str) -> list[Curve]:
    """Return the configurations that none beats in both cost and metric, cheapest first."""
    sign = 1 if mode == "min" else -1
    front: list[Curve] = []
    for curve in sorted(curves, key=lambda curve: (curve.seconds, sign * curve.metric)):
        if not front or sign * curve.metric < sign * front[-1].metric:
            front.append(curve)
    return front


def _style(style: dict[str, Any]) -> str:
    return "".join(f' {key.replace("_", "-")}="{value}"' for key, value in style.items())


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""
