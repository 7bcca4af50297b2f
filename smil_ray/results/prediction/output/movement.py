"""Videos over time: smoothed rows, and tables and plots of joint angles and gait."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from smil_ray.core import rotations
from smil_ray.data.synthetic.poses.sides import standing_axes
from smil_ray.results.motion import angles as motion
from smil_ray.results.motion.gait import find_stance, find_steps
from smil_ray.results.motion.plots import plot_angles, plot_gait
from smil_ray.results.motion.smoothing import Smoothing, jitter
from smil_ray.results.prediction.output.smoothed import smoothed
from smil_ray.results.prediction.output.tables import Write, csv_writer, table_of
from smil_ray.results.prediction.parts import Results
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.sources import Plan, Source, sources_by_label

MOTION = "motion"
_NEEDED = ("global_rot", "joints_3d", "time_s", "frame")


@dataclass
class Movement:
    """What came of the videos.

    Attributes:
        results: Smoothed where that was wanted.
        facts: Caption -> value.
        figures: Caption -> plot.
    """

    results: Results
    facts: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Path] = field(default_factory=dict)


def write_movement(
    results: Results, plan: Plan, predictor: Predictor, out: Path, strength: Smoothing
) -> Movement:
    """Smooth the videos among the results and write tables and plots of their motion."""
    sources = sources_by_label(plan.sources)
    movement = Movement(results)
    if not any(sources[key[0]].video is not None for key in results.keys):
        return movement
    if strength != "none":
        movement.results = smoothed(results, sources, predictor, out, strength)
        body_length = predictor.model.body_length
        before, after = (
            np.mean(_jitters(each, sources)) * 100.0 / body_length
            for each in (results, movement.results)
        )
        movement.facts["smoothing"] = (
            f"{strength}: jitter {before:.2f} became {after:.2f} % of body length"
        )
    _write_tables(movement, sources, predictor, out)
    return movement


def _jitters(results: Results, sources: dict[str, Source]) -> list[float]:
    """Return the mean jitter of each sequence of three frames or more."""
    found = []
    for (label, _), sequence in results.sequences().items():
        if sources[label].video is not None and len(sequence) > 2:
            found.append(float(jitter(sequence.rows(("joints_3d",))["joints_3d"]).mean()))
    return found or [0.0]


@dataclass(frozen=True)
class _Sequence:
    """An animal of a video over time."""

    source: str
    animal: int
    frames: np.ndarray
    time_s: np.ndarray
    body_joints: np.ndarray

    @property
    def keys(self) -> dict[str, np.ndarray]:
        """What every table of it begins with."""
        n = len(self.frames)
        return {
            "source": np.full(n, self.source),
            "animal": np.full(n, self.animal),
            "frame": self.frames,
            "time_s": self.time_s,
        }


def _write_tables(
    movement: Movement, sources: dict[str, Source], predictor: Predictor, out: Path
) -> None:
    model = predictor.model
    rest = model.source.joints_at_rest()
    standing = standing_axes(model.skeleton, rest)
    legs = motion.find_legs(model.skeleton, rest @ standing.T)
    with (
        csv_writer(out / "joint_angles.csv") as to_angles,
        csv_writer(out / "gait.csv") as to_gait,
        csv_writer(out / "steps.csv") as to_steps,
    ):
        for (label, animal), rows in movement.results.sequences().items():
            source = sources[label]
            if source.video is None:
                continue
            needed = rows.rows(_NEEDED)
            roots = rotations.axis_angle_to_matrix(torch.from_numpy(needed["global_rot"]))
            body = motion.body_coordinates(needed["joints_3d"], roots.numpy(), standing)
            sequence = _Sequence(label, animal, needed["frame"], needed["time_s"], body)
            name = source.name + ("" if animal == 0 else f"_{animal + 1}")
            plots = out / MOTION / name
            plots.parent.mkdir(exist_ok=True)
            _write_angles(sequence, predictor, legs, to_angles, plots, movement)
            if legs:
                writers = (to_gait, to_steps)
                _write_gait(sequence, predictor, legs, writers, plots, movement)


def _write_angles(
    sequence: _Sequence,
    predictor: Predictor,
    legs: list[motion.Limb],
    write: Write,
    plots: Path,
    movement: Movement,
) -> None:
    angles, values = motion.joint_angles(sequence.body_joints, predictor.model.skeleton, legs)
    speeds = motion.angular_velocities(values, sequence.time_s)
    for number, angle in enumerate(angles):
        columns = {
            **sequence.keys,
            "joint": np.full(len(values), angle.joint),
            "angle": np.full(len(values), angle.kind),
            "value_deg": values[:, number],
            "velocity_deg_s": speeds[:, number],
        }
        write(table_of(columns))
    chosen = [n for n, angle in enumerate(angles) if _is_of(angle, legs, predictor)]
    if chosen:
        path = plots.with_name(f"{plots.name}_angles.png")
        picked = [angles[number] for number in chosen]
        time, unit = _time(sequence)
        plot_angles(picked, values[:, chosen], time, unit, path)
        movement.figures[f"Joint angles: {plots.name}"] = path


def _is_of(angle: motion.Angle, legs: list[motion.Limb], predictor: Predictor) -> bool:
    joint = predictor.model.skeleton.index[angle.joint]
    return any(joint in limb.joints for limb in legs) or not legs


def _write_gait(
    sequence: _Sequence,
    predictor: Predictor,
    legs: list[motion.Limb],
    writers: tuple[Write, Write],
    plots: Path,
    movement: Movement,
) -> None:
    names = predictor.model.skeleton.joint_names
    feet = [names[limb.foot] for limb in legs]
    places = sequence.body_joints[:, [limb.foot for limb in legs], 0]
    forward = places.astype(np.float64) / predictor.model.body_length
    stance = find_stance(forward, sequence.frames)
    for number, foot in enumerate(feet):
        phase = np.where(stance[:, number], "stance", "swing")
        columns = {**sequence.keys, "foot": np.full(len(phase), foot), "phase": phase}
        writers[0](table_of({**columns, "forward_bl": forward[:, number]}))
    steps = find_steps(stance, forward)
    if steps:
        frames = sequence.frames
        off, down = ([getattr(s, n) for s in steps] for n in ("lift_off", "touch_down"))
        columns = {
            "source": np.full(len(steps), sequence.source),
            "animal": np.full(len(steps), sequence.animal),
            "foot": np.array([feet[step.foot] for step in steps]),
            "lift_off_frame": frames[off],
            "touch_down_frame": frames[down],
            "swing_s": sequence.time_s[down] - sequence.time_s[off],
            "duty_factor": np.array([s.duty_factor for s in steps], dtype=np.float64),
            "stride_bl": np.array([step.stride for step in steps]),
        }
        writers[1](table_of(columns))
    path = plots.with_name(f"{plots.name}_gait.png")
    time, unit = _time(sequence)
    plot_gait(stance, time, feet, unit, path)
    movement.figures[f"Gait diagram: {plots.name}"] = path


def _time(sequence: _Sequence) -> tuple[np.ndarray, str]:
    known = bool(np.isfinite(sequence.time_s).all())
    return (sequence.time_s, "s") if known else (sequence.frames.astype(np.float64), "frames")
