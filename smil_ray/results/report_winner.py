"""A sweep's best network on held-out samples: figures, errors per sample, pictures."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import ConfigError
from smil_ray.results.evaluate import batches, evaluate, held_out_indices, network
from smil_ray.results.pictures import (
    best_median_worst,
    draw_predictions,
    write_prediction_pictures,
)
from smil_ray.training.checkpoint import LoadedRegressor, load_regressor
from smil_ray.training.metrics import MetricSums

PICTURE_FILE = "plots/best_median_worst.png"


def evaluate_winner(run: Path, *, split: str = "test") -> dict[str, Any]:
    """Return the figures of a run's best checkpoint on a split, beside the baselines.

    `evaluation.json` and a picture of the best, median and worst predictions stay in the run
    folder.

    Raises:
        CheckpointError: The run has no checkpoint.
        ConfigError: The run does not name its data.
        DataError: The split is empty.
    """
    loaded, dataset = _open(run)
    evaluation = evaluate(loaded, dataset, split=split)
    evaluation.write_json(run / "evaluation.json")
    _draw_examples(loaded, dataset, split, run / PICTURE_FILE)
    return {
        "split": split,
        "n_samples": evaluation.n_samples,
        "figures": evaluation.metrics,
        "per_joint": evaluation.per_joint,
        "picture": PICTURE_FILE,
    }


def _draw_examples(loaded: LoadedRegressor, dataset: SmilDataset, split: str, path: Path) -> None:
    """Draw the samples with the smallest, middle and largest 2D error."""
    indices = held_out_indices(loaded, dataset, split)
    frame = loaded.config.model.reference_frame
    predict = network(loaded)
    errors: list[float] = []
    for batch in batches(dataset, indices, frame, 16):
        errors += [one.error_px for one in draw_predictions(predict(batch), batch, loaded.model)]
    chosen = [indices[place] for place in best_median_worst(errors, each=1)]
    pictures = []
    for batch in batches(dataset, np.asarray(chosen, dtype=np.int64), frame, 16):
        pictures += draw_predictions(predict(batch), batch, loaded.model)
    if pictures:
        write_prediction_pictures(pictures, path)


def sample_errors(run: Path, metric: str, *, limit: int = 500) -> dict[str, float]:
    """Return an error of each validation sample with a run's best checkpoint.

    Args:
        run: The run folder.
        metric: A validation metric such as `val/pa_mpjpe_pct_bl`.
        limit: Most samples that are looked at, the first ones of the split.

    Raises:
        CheckpointError: The run has no checkpoint.
    """
    loaded, dataset = _open(run)
    indices = held_out_indices(loaded, dataset, "val")[:limit]
    predict = network(loaded)
    name = metric.rpartition("/")[2]
    errors = {}
    for batch in batches(dataset, indices, loaded.config.model.reference_frame, 1):
        sums = MetricSums(loaded.model.skeleton, loaded.input_size)
        sums.add(predict(batch), batch, loaded.model)
        value = sums.compute().get(name, float("nan"))
        if math.isfinite(value):
            errors[batch.names[0]] = value
    return errors


def _open(run: Path) -> tuple[LoadedRegressor, SmilDataset]:
    loaded = load_regressor(run)
    if loaded.config.data.path is None:
        raise ConfigError(f"Run {run} does not name its data", remedy="give it as data.path")
    dataset = SmilDataset.from_path(
        Path(loaded.config.data.path),
        model=loaded.model,
        backbone_name=loaded.config.model.backbone.name,
        input_size=loaded.input_size,
    )
    return loaded, dataset
