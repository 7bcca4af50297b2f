"""Tidy tables: a row for each frame, animal and joint, and a row for each frame and animal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from pyarrow import csv, parquet

from smil_ray.results.prediction.output.intervals import Intervals
from smil_ray.results.prediction.parts import Results, Rows

CONFIDENT_SHARE = 0.05
"""`confidence` is the probability that a joint lies within this share of the square's side."""


def write_tables(
    results: Results,
    joint_names: Sequence[str],
    out: Path,
    intervals: Intervals | None = None,
) -> list[Path]:
    """Write `predictions.parquet`, the same as `predictions.csv`, and `animals.csv`.

    Args:
        results: In the order of the tables.
        joint_names: Of the body model.
        out: Folder.
        intervals: Of joints; without, these columns are empty.
    """
    paths = [out / name for name in ("predictions.parquet", "predictions.csv", "animals.csv")]
    with (
        _parquet_writer(paths[0]) as to_parquet,
        csv_writer(paths[1]) as to_csv,
        csv_writer(paths[2]) as to_animals,
    ):
        for rows in results.chunks():
            joints = joint_table(rows, joint_names, intervals)
            to_parquet(joints)
            to_csv(joints)
            to_animals(animal_table(rows, intervals))
    return paths


def confidence_of(
    scale_px: Float[np.ndarray, "n n_joints"], side_px: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n n_joints"]:
    """Return the probability that each joint is within CONFIDENT_SHARE of the square's side.

    By the head's own scale: distances r are distributed as r exp(-r / scale) / scale^2.
    """
    ratio = CONFIDENT_SHARE * side_px[:, None] / np.maximum(scale_px, 1e-9)
    return 1.0 - (1.0 + ratio) * np.exp(-ratio)


def joint_table(rows: Rows, joint_names: Sequence[str], intervals: Intervals | None) -> "pa.Table":
    """Return a line for each row and joint, as `predictions.parquet` has it."""
    n, n_joints = len(rows["frame"]), len(joint_names)
    empty = np.full((n, n_joints), np.nan)
    confidence = empty
    if "keypoint_scale_px" in rows:
        side = rows["window"][:, 2].astype(np.float64)
        confidence = confidence_of(rows["keypoint_scale_px"], side)
    radius_px, radius_pct = (empty, empty) if intervals is None else intervals(rows)
    each = {name: rows[name].repeat(n_joints) for name in ("name", "source", "frame", "time_s")}
    return table_of(
        each
        | {
            "animal": rows["animal"].repeat(n_joints),
            "joint": np.tile(np.array(joint_names), n),
            "x_px": rows["joints_2d_px"][..., 0].ravel(),
            "y_px": rows["joints_2d_px"][..., 1].ravel(),
            "x_cam": rows["joints_3d"][..., 0].ravel(),
            "y_cam": rows["joints_3d"][..., 1].ravel(),
            "z_cam": rows["joints_3d"][..., 2].ravel(),
            "confidence": confidence.ravel().astype(np.float32),
            "interval_2d_px": radius_px.ravel().astype(np.float32),
            "interval_3d_pct_bl": radius_pct.ravel().astype(np.float32),
        }
    )


def animal_table(rows: Rows, intervals: Intervals | None) -> "pa.Table":
    """Return a line for each row, as `animals.csv` has it."""
    names = ("name", "source", "frame", "time_s", "animal")
    columns = {name: rows[name] for name in names}
    for number, name in enumerate(("width_px", "height_px")):
        columns[name] = rows["size_px"][:, number]
    for number, name in enumerate(("crop_left_px", "crop_top_px", "crop_side_px")):
        columns[name] = rows["window"][:, number]
    for number, name in enumerate(("fx_px", "fy_px", "cx_px", "cy_px")):
        columns[name] = rows["camera_px"][:, number]
    height, fy = rows["size_px"][:, 1], rows["camera_px"][:, 1]
    columns["vertical_fov_deg"] = np.degrees(2.0 * np.arctan(0.5 * height / fy))
    if intervals is not None:
        radius = intervals(rows)[1]
        known = np.isfinite(radius).any(axis=1)
        columns["mean_interval_3d_pct_bl"] = np.full(len(radius), np.nan)
        columns["mean_interval_3d_pct_bl"][known] = np.nanmean(radius[known], axis=1)
    return table_of(columns | {"notes": rows["notes"]})


def table_of(columns: Mapping[str, np.ndarray]) -> "pa.Table":
    """Return a table of named columns of one length, in which NaN is a missing value."""
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


Write = Callable[["pa.Table"], None]


@contextmanager
def csv_writer(path: Path) -> Iterator[Write]:
    """Give a function that appends tables to a CSV file, which is there when the block ends."""
    with _in_place(path, csv.CSVWriter) as write:
        yield write


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    with _in_place(path, parquet.ParquetWriter) as write:
        yield write


@contextmanager
def _in_place(path: Path, opened: Callable[[str, Any], Any]) -> Iterator[Write]:
    partial = path.with_name(f".{path.name}.partial")
    writer: Any = None

    def write(table: "pa.Table") -> None:
        nonlocal writer
        if writer is None:
            writer = opened(str(partial), table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        path.unlink(missing_ok=True)
    else:
        partial.replace(path)
