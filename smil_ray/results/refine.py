"""Results of `predict`, fitted to labelled joints or to what the head's own heat maps saw."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.params import SmilParams
from smil_ray.data.replicant.coordinates import Window
from smil_ray.errors import DataError
from smil_ray.fitting.fit import Fit, refine
from smil_ray.fitting.terms import Target
from smil_ray.results.keypoints import Keypoints
from smil_ray.results.prediction.output.parameters import write_parameters
from smil_ray.results.prediction.output.tables import csv_writer, write_tables
from smil_ray.results.prediction.parts import PartStore, Results, Rows
from smil_ray.results.prediction.predictor import pixels_of
from smil_ray.results.prediction.rows import params_of
from smil_ray.training.checkpoint.loading import LoadedRegressor

BATCH = 64
REFINED = "parts/refined"
Key = tuple[str, int, int]


@dataclass(frozen=True)
class RefineReport:
    """What a refinement did.

    Attributes:
        n_fitted: How many animals had something to be fitted to.
        n_accepted: How many of them got better.
        error_px: Mean 2D distance to what they were fitted to, before and after.
    """

    n_fitted: int
    n_accepted: int
    error_px: tuple[float, float]


def refine_results(
    loaded: LoadedRegressor | str | Path,
    results: Path,
    out: Path,
    *,
    keypoints: Keypoints | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RefineReport:
    """Fit what `predict` left in a folder and write tables, parameters and `refinement.csv`.

    Args:
        loaded: The network of the results, for its body model, or its run folder.
        results: Folder that `predict` wrote.
        out: Folder for the refined results.
        keypoints: Labelled joints; without, the head's own heat maps.
        progress: Called with (animals done, animals in all).

    Raises:
        DataError: The folder holds no results, or there is nothing to fit them to.
    """
    loaded = LoadedRegressor.open(loaded)
    model, body = loaded.model, loaded.config.body
    store = PartStore(results / "parts")
    keys = {key[0]: key[1] for key, _ in store.entries()}  # The newest stamp of each file.
    found = Results.of(store, keys).ordered(list(keys))
    if not len(found):
        raise DataError(f"{results}: no results", expected="a folder that predict wrote")
    labels = None if keypoints is None else _by_key(keypoints, found)
    out.mkdir(parents=True, exist_ok=True)
    target = PartStore(out / REFINED)
    target.clear()
    before, after, accepted, done = [], [], 0, 0
    with csv_writer(out / "refinement.csv") as write:
        for rows in found.chunks(BATCH):
            aim = _target(rows, labels, model)
            new, fit, errors = _refined(rows, aim, model, body)
            target.add(new)
            fitted = aim.known.any(dim=1).numpy()
            before.append(errors[0][fitted])
            after.append(errors[1][fitted])
            accepted += int((fit.accepted.numpy() & fitted).sum())
            write(_table(rows, fit, errors, fitted))
            done += len(fitted)
            if progress is not None:
                progress(done, len(found))
    refined = Results.of(target, keys).ordered(list(keys))
    names = model.skeleton.joint_names
    write_tables(refined, names, out)
    write_parameters(refined, out / "parameters.npz", {"joint_names": np.array(names)})
    olds, news = np.concatenate(before), np.concatenate(after)
    if not len(olds):
        raise DataError(f"{results}: nothing to fit to", expected="labelled joints of some frame")
    return RefineReport(len(olds), accepted, (float(olds.mean()), float(news.mean())))


def _by_key(keypoints: Keypoints, found: Results) -> dict[Key, np.ndarray]:
    """Return the labelled joints (J, 2), NaN where there are none, of each row that has some."""
    sources = list(dict.fromkeys(key[0] for key in found.keys))
    known = keypoints.of_images([Path(source) for source in sources])
    return {
        (str(path), *which): xy for path, places in known.items() for which, xy in places.items()
    }


def _windows(rows: Rows) -> Iterator[Window]:
    return (Window(*window) for window in rows["window"].tolist())


def _target(rows: Rows, labels: dict[Key, np.ndarray] | None, model: SmilModel) -> Target:
    """Return what the animals of rows are fitted to, as fractions of the squares seen."""
    scale = None
    if labels is None:
        if "keypoints_px" not in rows:
            raise DataError(
                "Refinement without labels",
                expected="a head with heat maps (model.head.type: joint_tokens)",
                found="one without",
                remedy="give labelled joints with --keypoints FILE.csv",
            )
        pixels = rows["keypoints_px"].astype(np.float64)
        scale = torch.from_numpy(rows["keypoint_scale_px"] / rows["window"][:, 2:]).float()
    else:
        columns = [rows[name].tolist() for name in ("source", "frame", "animal")]
        keys = [(str(s), int(f), int(a)) for s, f, a in zip(*columns, strict=True)]
        empty = np.full((model.n_joints, 2), np.nan)
        pixels = np.stack([labels.get(key, empty) for key in keys])
    windows = list(_windows(rows))
    xy = np.stack([w.points(places) for w, places in zip(windows, pixels, strict=True)])
    cameras = zip(windows, rows["camera_px"], strict=True)
    intrinsics = np.stack([window.intrinsics_of_px(camera) for window, camera in cameras])
    known = torch.from_numpy(np.isfinite(xy).all(axis=2))
    return Target(
        torch.from_numpy(np.nan_to_num(xy)).float(),
        known,
        scale,
        torch.from_numpy(intrinsics).float(),
    )


def _refined(
    rows: Rows, target: Target, model: SmilModel, body: BodyConfig
) -> tuple[Rows, Fit, tuple[np.ndarray, np.ndarray]]:
    params = params_of(rows)
    assert target.intrinsics is not None
    # The square that was seen has a field of view of its own; places are the same in both.
    of_square = torch.rad2deg(2.0 * torch.atan(0.5 / target.intrinsics[:, 1:2]))
    fit = refine(replace(params, fov=of_square), target, model, body=body)
    new = replace(fit.params, fov=params.fov)
    values = {name: v.numpy() for name, v in new.as_dict().items() if name in rows}
    with torch.no_grad():
        joints = _joints(new, model, body)
    pixels = pixels_of(joints, rows["camera_px"]).astype(np.float32)
    aim = np.stack([w.pixels(xy) for w, xy in zip(_windows(rows), target.xy.numpy(), strict=True)])
    known = np.where(target.known.numpy(), 1.0, np.nan)
    old, away = (found - aim for found in (rows["joints_2d_px"], pixels))
    errors = (_mean_distance(old, known), _mean_distance(away, known))
    return rows | values | {"joints_3d": joints, "joints_2d_px": pixels}, fit, errors


def _joints(params: SmilParams, model: SmilModel, body: BodyConfig) -> np.ndarray:
    posed = model.pose(params, rest=body.rest_joints, propagate_scaling=body.propagate_scaling)
    return posed.joints.numpy().astype(np.float32)


def _mean_distance(away: np.ndarray, known: np.ndarray) -> np.ndarray:
    values = np.linalg.norm(away, axis=2) * known
    counts = np.isfinite(values).sum(axis=1)
    return np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)


def _table(
    rows: Rows, fit: Fit, errors: tuple[np.ndarray, np.ndarray], fitted: np.ndarray
) -> "pa.Table":
    columns = {name: rows[name] for name in ("name", "source", "frame", "animal")}
    columns |= {
        "fitted": fitted,
        "accepted": fit.accepted.numpy() & fitted,
        "objective_before": fit.before.numpy(),
        "objective_after": fit.after.numpy(),
        "error_2d_px_before": errors[0],
        "error_2d_px_after": errors[1],
    }
    return pa.table({name: pa.array(value, from_pandas=True) for name, value in columns.items()})
