"""The doctor's report: findings and figures of a data set, as a table for people and as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson

from smil_ray.core.batch import LABELS
from smil_ray.data.doctor.findings import EntryReport, Finding, Kind

COVERAGE_EDGES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_BAR = 30
_EXAMPLES = 3


@dataclass(frozen=True)
class DoctorReport:
    """What is in a data set and what is wrong with it.

    Attributes:
        folder: The data set.
        n_entries: Annotated pictures.
        n_samples: Usable subjects in them.
        findings: Everything found, in the order of names within each kind.
        kinds: Severity and sentence of every kind that was found.
        good_names: Entries without an error, sorted.
        label_counts: Label to number of samples that have it.
        picture_sides: Side of the (padded) square picture to number of entries.
        keypoints: Counts over all samples: present, in_frame, visible.
        fov_range: Smallest and largest vertical field of view in degrees; None without samples.
        coverage_histogram: Samples per interval of COVERAGE_EDGES, their masks being not empty.
        n_without_mask, n_empty_mask: Samples that are not in the histogram.
    """

    folder: str
    n_entries: int
    n_samples: int
    findings: tuple[Finding, ...]
    kinds: dict[str, Kind]
    good_names: tuple[str, ...]
    label_counts: dict[str, int]
    picture_sides: dict[int, int]
    keypoints: dict[str, int]
    fov_range: tuple[float, float] | None
    coverage_histogram: tuple[int, ...]
    n_without_mask: int
    n_empty_mask: int

    @classmethod
    def build(
        cls,
        folder: Path,
        kinds: Mapping[str, Kind],
        reports: Sequence[EntryReport],
        findings: Sequence[Finding],
    ) -> "DoctorReport":
        """Return the sum of the entries' reports."""
        found = {finding.kind for finding in findings}
        used = {name: kind for name, kind in kinds.items() if name in found}
        bad = {f.name for f in findings if kinds[f.kind].severity == "error"}
        labels = Counter(label for r in reports for sample in r.labels for label in sample)
        coverage = [value for report in reports for value in report.coverage]
        shown = [value for value in coverage if value]
        counts = np.array([report.keypoints for report in reports]).sum(axis=0)
        fov = [value for report in reports for value in report.fov]
        order = list(kinds)
        return cls(
            folder=str(folder),
            n_entries=len(reports),
            n_samples=len(coverage),
            findings=tuple(sorted(findings, key=lambda f: (order.index(f.kind), f.name))),
            kinds=used,
            good_names=tuple(r.name for r in reports if r.name not in bad),
            label_counts={label: labels[label] for label in LABELS},
            picture_sides=dict(
                sorted(Counter(r.picture_side for r in reports if r.picture_side).items())
            ),
            keypoints=dict(zip(("present", "in_frame", "visible"), map(int, counts), strict=True)),
            fov_range=(min(fov), max(fov)) if fov else None,
            coverage_histogram=tuple(map(int, np.histogram(shown, bins=COVERAGE_EDGES)[0])),
            n_without_mask=sum(value is None for value in coverage),
            n_empty_mask=sum(value == 0.0 for value in coverage),
        )

    @property
    def exit_code(self) -> int:
        """0 when every entry is usable, else 1."""
        return int(len(self.good_names) < self.n_entries)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the entries that have findings of a kind."""
        return tuple(dict.fromkeys(f.name for f in self.findings if f.kind == kind))

    def to_json(self) -> str:
        """Return the whole report as indented JSON."""
        content = {**asdict(self), "coverage_edges": COVERAGE_EDGES, "exit_code": self.exit_code}
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        return orjson.dumps(content, option=options).decode()

    def table(self) -> str:
        """Return the report as text of at most 100 columns."""
        lines = [
            f"{self.folder}: {self.n_entries} entries, {self.n_samples} usable samples, "
            f"{len(self.good_names)} entries without an error",
            *self._figures(),
            "",
            *self._coverage(),
            "",
            *self._findings(),
        ]
        return "\n".join(lines)

    def _figures(self) -> list[str]:
        sides = ", ".join(f"{side} px ({n})" for side, n in self.picture_sides.items())
        labels = ", ".join(
            f"{label} {'all' if n == self.n_samples else n}"
            for label, n in self.label_counts.items()
            if n
        )
        absent = ", ".join(label for label, n in self.label_counts.items() if not n)
        points = self.keypoints
        lines = [
            f"  pictures    {sides or 'none'}",
            f"  labels      {labels or 'none'}",
            f"  absent      {absent or 'none'}",
            f"  keypoints   {points['present']} present, "
            f"{points['present'] - points['in_frame']} out of frame, {points['visible']} visible",
        ]
        if self.fov_range:
            low, high = self.fov_range
            lines.append(f"  camera      vertical field of view {low:.1f} to {high:.1f} degrees")
        return lines

    def _coverage(self) -> list[str]:
        lines = [
            f"silhouette coverage ({self.n_without_mask} samples without a mask, "
            f"{self.n_empty_mask} with an empty one)"
        ]
        if not any(self.coverage_histogram):
            return lines
        most = max(self.coverage_histogram)
        for low, high, count in zip(
            COVERAGE_EDGES, COVERAGE_EDGES[1:], self.coverage_histogram, strict=False
        ):
            bar = "#" * -(-count * _BAR // most)
            lines.append(f"  {low:6.1%} to {high:6.1%}  {count:6d}  {bar}")
        return lines

    def _findings(self) -> list[str]:
        if not self.findings:
            return ["nothing is wrong"]
        lines = []
        for name, kind in self.kinds.items():
            found = [finding for finding in self.findings if finding.kind == name]
            lines.append(f"{kind.severity:8}{len(found):6d}  {name}: {kind.sentence}")
            lines += [f"                  {finding.message}" for finding in found[:_EXAMPLES]]
            if len(found) > _EXAMPLES:
                lines.append(f"                  and {len(found) - _EXAMPLES} more")
        return lines
