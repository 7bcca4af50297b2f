"""The table of the learning benchmark, from what is done of its rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geometry import machine

from _learning.rows import FIRST, HELD_OUT, PROMPTS, SIZE, Data, Row

COLUMNS = {
    "pa_mpjpe_pct_bl": "PA-MPJPE %",
    "mpjpe_ra_pct_bl": "root-aligned %",
    "pck@0.10_bbox": "PCK@0.1",
    "rot_deg_joint": "joint rotation deg",
    "rot_deg_global": "root rotation deg",
    "mpjpe_pct_bl": "MPJPE %",
}
MEAN_POSE, NEAREST = "mean pose", "nearest neighbour"


@dataclass(frozen=True)
class Found:
    """Figures of one predictor on one data set's held-out samples, and the seconds it took."""

    figures: dict[str, float]
    seconds: float = 0.0


def baselines_file(folder: Path, kind: Data) -> Path:
    """Return where the baselines' figures on a data set are kept."""
    return folder / f"{kind.name}_baselines.json"


def known_baselines(folder: Path, kind: Data) -> dict[str, Found]:
    """Return the figures of the mean pose and of the nearest neighbour, by name."""
    found = json.loads(baselines_file(folder, kind).read_text())
    return {name: Found(figures) for name, figures in found.items()}


def brief(figures: Mapping[str, float]) -> str:
    """Return the headline figures in one line."""
    return " ".join(f"{name} {figures[name]:.3g}" for name in COLUMNS if name in figures)


def slug(name: str) -> str:
    """Return a row's name as part of a file name."""
    return "".join(c if c.isalnum() else "_" for c in name)


def section(folder: Path, known: Mapping[str, Row], seconds: float, wanted: list[str]) -> str:
    """Return the section of the results: every training that is done in `folder`."""
    lines = [
        "## Learning",
        "",
        f"`python benchmarks/learning.py`, {machine()}; {seconds / 60:.0f} minutes for "
        f"{', '.join(wanted)} (what had been done before is in the table as well).",
        f"Built-in insects in wide poses, {HELD_OUT} held out, {SIZE} px, batches of 8; last "
        "checkpoint, running mean. One thread for each training.",
        *verdict(folder, known),
        "",
        f"| predictor | images | epochs | seed | {' | '.join(COLUMNS.values())} | seconds |",
        f"|{'---|' * (len(COLUMNS) + 5)}",
    ]
    for kind in dict.fromkeys(row.data for row in known.values()):
        if baselines_file(folder, kind).exists():
            for name, found in known_baselines(folder, kind).items():
                what = f"{name}, {kind.crop} crop, poses x {kind.pose_range:g}"
                lines.append(line([what, "-", "-", "-"], found))
    for name, row in known.items():
        for seed, found in trained(folder, name, row).items():
            lines.append(line([name, str(row.samples), str(row.epochs), str(seed)], found))
            told = {
                key.removeprefix("told/"): value
                for key, value in found.figures.items()
                if key.startswith("told/")
            }
            if told:
                what = f"... and told {PROMPTS} at prediction"
                lines.append(line([what, "-", "-", str(seed)], Found(told)))
    return "\n".join(lines) + "\n"


def table(rows: Mapping[str, Found]) -> list[str]:
    """Return a table of predictors by name."""
    return [
        f"| predictor | {' | '.join(COLUMNS.values())} | seconds |",
        f"|{'---|' * (len(COLUMNS) + 2)}",
        *(line([name], found) for name, found in rows.items()),
    ]


def line(head: list[str], found: Found) -> str:
    """Return one line of the table."""
    cells = [f"{found.figures[name]:.3g}" for name in COLUMNS]
    taken = f"{found.seconds:.0f}" if found.seconds else "-"
    return f"| {' | '.join([*head, *cells, taken])} |"


def trained(folder: Path, name: str, row: Row) -> dict[int, Found]:
    """Return what is done of a row, by seed."""
    files = {seed: folder / f"{slug(name)}_{seed}.json" for seed in row.seeds}
    return {s: Found(**json.loads(f.read_text())) for s, f in files.items() if f.exists()}


def verdict(folder: Path, known: Mapping[str, Row]) -> list[str]:
    """Return whether the first row meets its bars, and how the camera's knowledge counts."""
    lines = []
    done = list(trained(folder, FIRST, known[FIRST]).values())
    if done:
        mean = known_baselines(folder, known[FIRST].data)[MEAN_POSE].figures

        def averaged(name: str) -> float:
            return sum(found.figures[name] for found in done) / len(done)

        ratio = averaged("pa_mpjpe_pct_bl") / mean["pa_mpjpe_pct_bl"]
        turn = averaged("rot_deg_joint") / mean["rot_deg_joint"]
        pck = averaged("pck@0.10_bbox")
        lines += [
            f"First row, mean of {len(done)} seeds: PA-MPJPE {ratio:.3f} of the mean pose's (bar "
            f"0.72: {met(ratio <= 0.72)}), joint rotations {turn:.3f} (bar 0.92: "
            f"{met(turn <= 0.92)}), PCK@0.1 {pck:.3f} (bar 0.85: {met(pck >= 0.85)}).",
        ]
    return lines


def met(holds: bool) -> str:
    """Return the word for a bar."""
    return "met" if holds else "missed"
