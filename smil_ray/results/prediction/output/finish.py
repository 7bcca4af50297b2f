"""All files of a prediction but its rows: tables, parameters, motion, overlays, the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from smil_ray.results.prediction.options import PredictOptions, Progress
from smil_ray.results.prediction.output.intervals import (
    Intervals,
    intervals_of_rows,
    uncertainty_of_rows,
)
from smil_ray.results.prediction.output.movement import write_movement
from smil_ray.results.prediction.output.overlays import OverlayWriter
from smil_ray.results.prediction.output.parameters import write_parameters
from smil_ray.results.prediction.output.summary import Summary, write_summary
from smil_ray.results.prediction.output.tables import csv_writer, write_tables
from smil_ray.results.prediction.parts import Results
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.sources import Plan, frames_of_all, sources_by_label
from smil_ray.results.uncertainty.conformal import JointIntervals
from smil_ray.results.uncertainty.ranking import most_uncertain

OVERLAYS = "overlays"
RANKING = "to_label.csv"
NO_CONFIDENCE = (
    "no frames are ranked: the network's head says nothing of its error (model.head.type: "
    "joint_tokens does)"
)
FILES = {
    "predictions.parquet": "a row for each frame, animal and joint: pixels, camera coordinates, "
    "confidence, intervals",
    "predictions.csv": "the same as text",
    "animals.csv": "a row for each frame and animal: square, camera, notes",
    "parameters.npz": "SMIL parameters, joints, cameras; a row for each frame and animal",
    "joint_angles.csv": "of videos, a row for each frame, animal and angle: degrees, degrees/s",
    "gait.csv": "of videos, a row for each frame, animal and foot: stance or swing",
    "steps.csv": "of videos, a row for each step",
    "motion/": "plots of joint angles and gait diagrams",
    RANKING: "frames most worth labelling, the most uncertain first",
    "overlays/": "mesh and joints over the pictures; a video for each video",
}


@dataclass
class Finished:
    """What was written, and what the page says.

    Attributes:
        out: Folder.
        summary: The page, without what failed.
        notes: What a person should know.
    """

    out: Path
    summary: Summary
    notes: list[str] = field(default_factory=list)

    def write_summary(
        self, done: Sequence[str], failed: Mapping[str, str], notes: Sequence[str]
    ) -> None:
        """Write the page."""
        summary = self.summary
        summary.facts = {"results": str(len(done)), "failed": str(len(failed)), **summary.facts}
        summary.failed, summary.notes = failed, notes
        write_summary(summary, self.out / "summary.html")


def finish(
    results: Results,
    plan: Plan,
    predictor: Predictor,
    out: Path,
    options: PredictOptions,
    found: JointIntervals | None,
    progress: Progress,
) -> Finished:
    """Write everything about the results, which come by source, frame and animal."""
    model = predictor.model
    finished = Finished(out, Summary(f"Predictions in {out.name}"))
    intervals = None if found is None else intervals_of_rows(found)
    ranking = _rank(results, options.rank_uncertain, out, finished.notes)
    movement = write_movement(results, plan, predictor, out, options.smooth)
    results = movement.results
    write_tables(results, model.skeleton.joint_names, out, intervals)
    names = {"joint_names": np.array(model.skeleton.joint_names)}
    write_parameters(results, out / "parameters.npz", names)
    drawn: list[Path] = []
    if options.overlays:
        _draw(results, plan, predictor, out, options, intervals, progress)
        drawn = [out / OVERLAYS / f"{source.name}.png" for source in plan.sources]
        drawn = [path for path in drawn if path.exists()]
    page = finished.summary
    page.facts = {
        "pictures and videos": str(len(plan.sources)),
        "body model": model.name,
        "100 % of body length": model.skeleton.describe_chain(),
        **movement.facts,
    }
    if found is not None:
        page.facts["intervals"] = f"{found.level:.0%}, from {found.n_samples} held-out samples"
    page.ranking, page.overlays, page.figures = ranking, drawn, movement.figures
    page.files = [f"{name}: {text}" for name, text in FILES.items() if (out / name).exists()]
    return finished


def _rank(results: Results, count: int, out: Path, notes: list[str]) -> list[list[str]]:
    """Write the frames most worth labelling; return their rows for the page, headings first."""
    path = out / RANKING
    path.unlink(missing_ok=True)
    if count == 0 or len(results) == 0:
        return []
    pieces = [uncertainty_of_rows(rows) for rows in results.chunks()]
    if any(piece is None for piece in pieces):
        notes.append(NO_CONFIDENCE)
        return []
    uncertainty = np.concatenate([piece for piece in pieces if piece is not None])
    sources = [key[0] for key in results.keys]
    frames = np.array([key[2] for key in results.keys])
    chosen = most_uncertain(uncertainty, sources, frames, count)
    table = {
        "rank": list(range(1, len(chosen) + 1)),
        "name": [results.names[row] for row in chosen],
        "source": [sources[row] for row in chosen],
        "frame": [int(frames[row]) for row in chosen],
        "animal": [results.keys[row][3] for row in chosen],
        "uncertainty_pct_of_square": (100.0 * uncertainty[chosen]).tolist(),
    }
    with csv_writer(path) as write:
        write(pa.table(table))
    rows = zip(*table.values(), strict=True)
    return [list(table), *([_cell(value) for value in row] for row in rows)]


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _draw(
    results: Results,
    plan: Plan,
    predictor: Predictor,
    out: Path,
    options: PredictOptions,
    intervals: Intervals | None,
    progress: Progress,
) -> None:
    total, done = frames_of_all(plan.sources, options.frames), 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress("drawing", done, max(total, done))

    writer = OverlayWriter(predictor, intervals, options.threads)
    sources = sources_by_label(plan.sources)
    writer.write(results, sources, options.frames, out / OVERLAYS, count)
