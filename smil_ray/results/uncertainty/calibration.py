"""Intervals of a run: found on its validation split, checked on its test split, kept in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch
from smil_ray.core.frames import points_in_camera
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import DataError
from smil_ray.render.camera import Camera
from smil_ray.results.evaluate import batches, held_out_indices, network
from smil_ray.results.uncertainty.conformal import Coverage, JointErrors, JointIntervals, spread_of
from smil_ray.training.checkpoint.files import WEIGHTS
from smil_ray.training.checkpoint.loading import LoadedRegressor

BATCH = 16
MOST_SAMPLES = 2000
"""Radii get hardly better with more."""


@dataclass(frozen=True)
class Calibration:
    """The intervals of a run.

    Attributes:
        intervals: What is kept.
        coverage: On samples that neither training nor the intervals saw; None without such.
    """

    intervals: JointIntervals
    coverage: Coverage | None


def calibrate(
    loaded: LoadedRegressor,
    dataset: SmilDataset,
    *,
    split: str = "val",
    check_split: str | None = "test",
) -> Calibration:
    """Return the intervals of a network, from a split that it was not trained on.

    Args:
        loaded: The network.
        dataset: The data that it was trained on, or others that are like what it will see.
        split: Where radii come from: `val`, `test` or `all`.
        check_split: Where their coverage is measured.

    Raises:
        DataError: The split is empty or too small.
    """
    names = loaded.model.skeleton.joint_names
    found = joint_errors(loaded, dataset, held_out_indices(loaded, dataset, split))
    intervals = JointIntervals.of(found, names, weights=weights_of(loaded), split=split)
    coverage = None
    if check_split is not None:
        try:
            indices = held_out_indices(loaded, dataset, check_split)
        except DataError:
            return Calibration(intervals, None)
        coverage = intervals.coverage(joint_errors(loaded, dataset, indices))
    return Calibration(intervals, coverage)


def calibrate_run(
    loaded: LoadedRegressor, dataset: SmilDataset, *, split: str = "val"
) -> Calibration | str:
    """Find the intervals of a run and keep them in it; why there are none if data are too few.

    Args:
        loaded: The run's best checkpoint.
        dataset: The data that it was trained on, or others that are like what it will see.
        split: Where radii come from.
    """
    try:
        found = calibrate(loaded, dataset, split=split)
    except DataError as error:
        return str(error)
    found.intervals.save(run_of(loaded))
    return found


def run_of(loaded: LoadedRegressor) -> Path:
    """Return the run folder of a checkpoint, which is RUN/checkpoints/NAME."""
    return loaded.path.absolute().parents[1]


def weights_of(loaded: LoadedRegressor) -> str:
    """Return the hash of a checkpoint's weights."""
    return str(loaded.meta.get("sha256", {}).get(WEIGHTS, ""))


def run_intervals(loaded: LoadedRegressor) -> tuple[JointIntervals | None, str]:
    """Return the intervals that the run of a checkpoint keeps, or None and why there are none."""
    run = run_of(loaded)
    remedy = f"`smil-ray calibrate {run}` makes them"
    found = JointIntervals.load(run)
    if found is None:
        return None, f"no intervals: {remedy}"
    if found.weights != weights_of(loaded):
        return None, f"no intervals: those of the run are of another checkpoint; {remedy}"
    return found, ""


def joint_errors(
    loaded: LoadedRegressor, dataset: SmilDataset, indices: Sequence[int]
) -> JointErrors:
    """Return the errors of a network on samples of a data set, at most MOST_SAMPLES of them."""
    spread = np.linspace(0, len(indices) - 1, min(len(indices), MOST_SAMPLES)).astype(int)
    chosen = [indices[place] for place in spread]
    predict = network(loaded)
    frame, body = loaded.config.model.reference_frame, loaded.config.body
    pieces = []
    for batch in batches(dataset, chosen, frame, BATCH):
        pieces.append(errors_of(predict(batch).detach(), batch, loaded.model, body))
    spreads = [piece.spread for piece in pieces if piece.spread is not None]
    return JointErrors(
        np.concatenate([piece.in_2d for piece in pieces]),
        np.concatenate([piece.in_3d for piece in pieces]),
        np.concatenate(spreads) if spreads else None,
    )


@torch.no_grad()
def errors_of(
    params: SmilParams, batch: Batch, model: SmilModel, body: BodyConfig | None = None
) -> JointErrors:
    """Return the errors of predictions for a batch; joints without a label have NaN."""
    body = body or BodyConfig()
    posed = model.pose(params, rest=body.rest_joints, propagate_scaling=body.propagate_scaling)
    predicted = points_in_camera(posed.joints, params).double()
    true = points_in_camera(batch.keypoints_3d, batch.target).double()
    away = (predicted - predicted[:, :1]) - (true - true[:, :1])
    in_3d = away.norm(dim=-1) * 100.0 / batch.body_length.double()[:, None]
    known = batch.keypoint_presence & batch.presence["keypoints_3d"][:, None]
    known = known & known[:, :1]
    xy, _ = Camera.from_params(params, batch.intrinsics.nan_to_num(nan=0.5)).project(posed.joints)
    in_2d = (xy.double() - batch.keypoints_2d.double()).norm(dim=-1)
    seen = batch.keypoint_presence & batch.presence["keypoints_2d"][:, None]
    nan = torch.nan
    places, scale = params.keypoint_xy, params.keypoint_scale
    spread = None
    if places is not None and scale is not None:
        spread = spread_of(*(value.double().cpu().numpy() for value in (scale, places, xy)))
    return JointErrors(
        torch.where(seen, in_2d, nan).cpu().numpy(),
        torch.where(known, in_3d, nan).cpu().numpy(),
        spread,
    )


def coverage_table(calibration: Calibration) -> Table:
    """Return a table of the coverage by group of joints."""
    intervals, coverage = calibration.intervals, calibration.coverage
    title = f"{intervals.level:.0%} intervals from {intervals.n_samples} samples"
    if coverage is None:
        return Table(title=f"{title}; none left to measure their coverage on")
    table = Table(title=f"{title}, measured on {coverage.n_samples} others", title_justify="left")
    for heading in ("joints", "coverage in 2D", "coverage in 3D"):
        table.add_column(heading, justify="left" if heading == "joints" else "right")
    for row in coverage.rows:
        table.add_row(*row)
    table.caption = coverage.width
    return table
