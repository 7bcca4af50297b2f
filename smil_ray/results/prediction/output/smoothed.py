"""Rows of videos smoothed over time, each animal of a video with one shape."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from smil_ray.core import rotations
from smil_ray.results.motion.smoothing import (
    HALF_WIDTHS,
    Smoothing,
    from_view,
    local_weights,
    smooth_rotations,
    smooth_values,
    to_view,
)
from smil_ray.results.prediction.parts import PartStore, Results, Rows
from smil_ray.results.prediction.predictor import Predictor, pixels_of
from smil_ray.results.prediction.rows import params_of
from smil_ray.results.prediction.sources import Source

FOLDER = "parts/smoothed"
SHAPE = ("betas", "log_beta_scales", "betas_trans")
_CHUNK = 512


def smoothed(
    results: Results,
    sources: Mapping[str, Source],
    predictor: Predictor,
    out: Path,
    strength: Smoothing,
) -> Results:
    """Return the same rows, those of videos smoothed, in a store of their own."""
    store = PartStore(out / FOLDER)
    store.clear()
    for (label, _), sequence in results.sequences().items():
        if sources[label].video is None:
            chunks = sequence.chunks()
        else:
            chunks = smoothed_chunks(sequence, predictor, HALF_WIDTHS[strength])
        for rows in chunks:
            store.add(rows)
    stamps = {source.label: source.stamp for source in sources.values()}
    return Results.of(store, stamps).ordered(list(stamps))


def smoothed_chunks(sequence: Results, predictor: Predictor, half: int) -> Iterator[Rows]:
    """Yield the rows of an animal of a video, smoothed and with one shape."""
    shape = _mean_shape(sequence)
    frames = np.array([key[2] for key in sequence.keys])
    places, weights = local_weights(frames, half)
    for start in range(0, len(frames), _CHUNK):
        stop = min(start + _CHUNK, len(frames))
        low, high = max(start - half, 0), min(stop + half, len(frames))
        (rows,) = sequence.chosen(range(low, high)).chunks(high - low)
        inner = np.arange(start, stop)
        yield _smoothed_rows(
            rows, inner - low, places[inner] - low, weights[inner], shape, predictor
        )


def _mean_shape(sequence: Results) -> Rows:
    names = [name for name in SHAPE if name in sequence.quantities()]
    totals: Rows = {}
    for rows in sequence.chunks(names=names):
        for name in names:
            totals[name] = totals.get(name, 0.0) + rows[name].astype(np.float64).sum(axis=0)
    return {name: (total / len(sequence)).astype(np.float32) for name, total in totals.items()}


def _smoothed_rows(
    rows: Rows,
    inner: np.ndarray,
    places: np.ndarray,
    weights: np.ndarray,
    shape: Rows,
    predictor: Predictor,
) -> Rows:
    found = {name: values[inner].copy() for name, values in rows.items()}
    matrices = params_of(rows).rotation_matrices().double()
    smooth = smooth_rotations(matrices, places, weights, inner).float()
    vectors = rotations.matrix_to_axis_angle(smooth).numpy()
    found["global_rot"], found["joint_rot"] = vectors[:, 0], vectors[:, 1:]
    view = to_view(rows["trans"].astype(np.float64), rows["fov"].astype(np.float64))
    trans, fov = from_view(smooth_values(view, places, weights))
    found["trans"], found["fov"] = trans.astype(np.float32), fov.astype(np.float32)
    for name, value in shape.items():
        found[name][:] = value
    return _with_joints(found, predictor)


def _with_joints(rows: Rows, predictor: Predictor) -> Rows:
    """Return rows whose joints and cameras are those of their parameters."""
    camera = rows["camera_px"].copy()
    if not predictor.knows_camera:
        side = rows["size_px"].max(axis=1)
        fov = rows["fov"][:, 0].astype(np.float64)
        camera[:, :2] = (0.5 * side / np.tan(np.radians(fov) / 2.0))[:, None]
    with torch.no_grad():
        joints = predictor.posed(params_of(rows)).joints.cpu().numpy()
    pixels = pixels_of(joints, camera)
    return rows | {
        "camera_px": camera,
        "joints_3d": joints.astype(np.float32),
        "joints_2d_px": pixels.astype(np.float32),
    }
