"""Results of `predict`, fitted to labelled joints, masks, and what the head's heat maps saw."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.core.params import SmilParams
from smil_ray.errors import DataError
from smil_ray.fitting.fit import Body, Fit, refine
from smil_ray.fitting.scratch import fit_from_scratch
from smil_ray.fitting.stages import REFINE, Stage, without
from smil_ray.fitting.state import Target
from smil_ray.results.keypoints import Keypoints
from smil_ray.results.prediction.output.parameters import write_parameters
from smil_ray.results.prediction.output.tables import csv_writer, write_tables
from smil_ray.results.prediction.parts import PartStore, Results, Rows
from smil_ray.results.prediction.predictor import pixels_of
from smil_ray.results.prediction.rows import PARAMETERS, params_of
from smil_ray.results.refinement.masks import Masks
from smil_ray.results.refinement.priors import prior_of
from smil_ray.results.refinement.targets import Labels, target_of, windows_of
from smil_ray.training.checkpoint.loading import LoadedRegressor

BATCH = 64
"""Animals, or frames of animals, at once."""
SHAPE_FRAMES = 48
"""Of so many frames of a video, spread evenly, an animal's shape is fitted."""
REFINED = "parts/refined"


@dataclass(frozen=True)
class RefineOptions:
    """What results are fitted to, and from where.

    Attributes:
        keypoints: Labelled joints; without, the head's own heat maps alone.
        masks: Folder of silhouettes, NAME.png for the result NAME.
        from_scratch: Whether the prediction is forgotten: only its square and camera are used.
    """

    keypoints: Keypoints | None = None
    masks: Path | None = None
    from_scratch: bool = False


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
    options: RefineOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> RefineReport:
    """Fit what `predict` left in a folder and write tables, parameters and `refinement.csv`.

    Frames of one animal of a video are fitted together, with one shape and smooth movements.

    Args:
        loaded: The network of the results, for its body model and prior, or its run folder.
        results: Folder that `predict` wrote.
        out: Folder for the refined results.
        options: What they are fitted to.
        progress: Called with (animals done, animals in all).

    Raises:
        DataError: The folder holds no results, or there is nothing to fit them to.
    """
    loaded = LoadedRegressor.open(loaded)
    store = PartStore(results / "parts")
    keys = {key[0]: key[1] for key, _ in store.entries()}  # The newest stamp of each file.
    found = Results.of(store, keys).ordered(list(keys))
    if not len(found):
        raise DataError(f"{results}: no results", expected="a folder that predict wrote")
    job = _Job.of(loaded, found, options or RefineOptions())
    out.mkdir(parents=True, exist_ok=True)
    target = PartStore(out / REFINED)
    target.clear()
    before, after, accepted, done = [], [], 0, 0
    with csv_writer(out / "refinement.csv") as write:
        for rows in job.batches(found):
            new = job.refined(rows)
            target.add(new.rows)
            before.append(new.errors[0][new.fitted])
            after.append(new.errors[1][new.fitted])
            accepted += int((new.fit.accepted.numpy() & new.fitted).sum())
            write(_table(new))
            done += len(new.fitted)
            if progress is not None:
                progress(done, len(found))
    refined = Results.of(target, keys).ordered(list(keys))
    names = loaded.model.skeleton.joint_names
    write_tables(refined, names, out)
    write_parameters(refined, out / "parameters.npz", {"joint_names": np.array(names)})
    olds, news = np.concatenate(before), np.concatenate(after)
    if not len(olds):
        raise DataError(f"{results}: nothing to fit to", expected="labelled joints of some frame")
    return RefineReport(len(olds), accepted, (float(olds.mean()), float(news.mean())))


@dataclass
class _Job:
    """What all batches of a refinement have in common.

    Attributes:
        shapes: Shape of each animal of a video of several frames, by source and animal.
    """

    body: Body
    labels: Labels | None
    masks: Masks | None
    from_scratch: bool
    shapes: dict[tuple[str, int], Tensor]

    @classmethod
    def of(cls, loaded: LoadedRegressor, found: Results, options: RefineOptions) -> "_Job":
        labels = None
        if options.keypoints is not None:
            labels = Labels.of(options.keypoints, found, loaded.model.n_joints)
        masks = None if options.masks is None else Masks.find(options.masks, found.names)
        body = Body(loaded.model, loaded.config.body, prior_of(loaded))
        return cls(body, labels, masks, options.from_scratch, {})

    def batches(self, found: Results) -> Iterator[Rows]:
        """Yield the rows, frames of one animal one after the other, and learn its shape first."""
        single: list[int] = []
        places = {key: row for row, key in enumerate(found.keys)}
        for which, sequence in found.sequences().items():
            if len(sequence) == 1:
                single.append(places[sequence.keys[0]])
                continue
            some = np.unique(np.linspace(0, len(sequence) - 1, SHAPE_FRAMES).round().astype(int))
            self._learn_shape(which, next(sequence.chosen(some.tolist()).chunks(SHAPE_FRAMES)))
            yield from sequence.chunks(BATCH)
        yield from found.chosen(single).chunks(BATCH)

    def refined(self, rows: Rows) -> "_Refined":
        """Return the rows fitted to what they are to fit."""
        target = target_of(rows, self.labels, self.masks)
        params = _of_squares(rows, target)
        shape = self.shapes.get((str(rows["source"][0]), int(rows["animal"][0])))
        if shape is None:
            fit = self._fit(params, target, REFINE)
        else:
            params = replace(params, betas=shape.expand_as(params.betas))
            fit = self._fit(params, target, without("betas", REFINE), shape)
        return _refined(rows, replace(fit.params, fov=params_of(rows).fov), fit, target, self.body)

    def _fit(
        self,
        params: SmilParams,
        target: Target,
        stages: Sequence[Stage],
        shape: Float[Tensor, " n_betas"] | None = None,
    ) -> Fit:
        if not self.from_scratch:
            return refine(params, target, self.body, stages=stages)
        found = fit_from_scratch(target, self.body, fov_deg=params.fov[:, 0])
        if shape is None:
            return found
        # Frames of one animal find smooth ways with its shape and bones in a second fit.
        one = replace(_with_mean_bones(found.params), betas=shape.expand_as(params.betas))
        again = refine(one, target, self.body, stages=(stages[-1],))
        return replace(again, accepted=found.accepted)

    def _learn_shape(self, which: tuple[str, int], rows: Rows) -> None:
        """Fit one shape to some frames of an animal, which do not follow one another."""
        target = target_of(rows, self.labels, self.masks)
        some = target.known.any(dim=1)
        if not bool(some.any()):
            return
        stages = tuple(
            replace(s, weights={n: w for n, w in s.weights.items() if n != "smoothness"})
            for s in REFINE
        )
        index = some.nonzero()[:, 0]
        start = _of_squares(rows, target).map(lambda value: value[index])
        fit = self._fit(start, target.rows(index), stages)
        if bool(fit.accepted.any()):
            self.shapes[which] = fit.params.betas[fit.accepted].mean(dim=0)


@dataclass(frozen=True)
class _Refined:
    """Rows that were fitted.

    Attributes:
        rows: The refined results.
        fit: How they were fitted.
        errors: Mean 2D distance of each animal before and after, pixels.
        fitted: Which animals had something to be fitted to.
    """

    rows: Rows
    fit: Fit
    errors: tuple[np.ndarray, np.ndarray]
    fitted: np.ndarray


def _with_mean_bones(params: SmilParams) -> SmilParams:
    """Return frames of one animal with the mean of their bones' scales and offsets."""
    names = [name for name in ("log_beta_scales", "betas_trans") if name in params.as_dict()]
    means = {name: params.as_dict()[name].mean(dim=0, keepdim=True) for name in names}
    each = {name: value.expand(params.batch_size, -1, -1) for name, value in means.items()}
    return SmilParams(**{**params.as_dict(), **each})


def _of_squares(rows: Rows, target: Target) -> SmilParams:
    """Return the parameters of rows, with the field of view of the square that was seen.

    Places are the same in a square and in the whole picture.
    """
    assert target.intrinsics is not None
    fov = torch.rad2deg(2.0 * torch.atan(0.5 / target.intrinsics[:, 1:2]))
    return replace(params_of(rows), fov=fov)


def _refined(rows: Rows, new: SmilParams, fit: Fit, target: Target, body: Body) -> _Refined:
    values = {n: v.numpy() for n, v in new.as_dict().items() if n in PARAMETERS}
    with torch.no_grad():
        joints = body.pose(new).joints.numpy().astype(np.float32)
    pixels = pixels_of(joints, rows["camera_px"]).astype(np.float32)
    aim = np.stack(
        [w.pixels(xy) for w, xy in zip(windows_of(rows), target.xy.numpy(), strict=True)]
    )
    known = np.where(target.known.numpy(), 1.0, np.nan)
    old, away = (found - aim for found in (rows["joints_2d_px"], pixels))
    errors = (_mean_distance(old, known), _mean_distance(away, known))
    fitted = target.known.any(dim=1).numpy()
    return _Refined(
        rows | values | {"joints_3d": joints, "joints_2d_px": pixels}, fit, errors, fitted
    )


def _mean_distance(away: np.ndarray, known: np.ndarray) -> np.ndarray:
    values = np.linalg.norm(away, axis=2) * known
    counts = np.isfinite(values).sum(axis=1)
    return np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)


def _table(new: _Refined) -> "pa.Table":
    columns = {name: new.rows[name] for name in ("name", "source", "frame", "animal")}
    columns |= {
        "fitted": new.fitted,
        "accepted": new.fit.accepted.numpy() & new.fitted,
        "objective_before": new.fit.before.numpy(),
        "objective_after": new.fit.after.numpy(),
        "error_2d_px_before": new.errors[0],
        "error_2d_px_after": new.errors[1],
    }
    columns |= {
        f"{name}_{when}": value.numpy()
        for name, values in new.fit.parts.items()
        for when, value in zip(("before", "after"), values, strict=True)
    }
    return pa.table({name: pa.array(value, from_pandas=True) for name, value in columns.items()})
