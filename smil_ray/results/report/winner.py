"""A trained run on held-out samples: figures, errors of single samples, pictures."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.config import source_of_metric
from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import ConfigError
from smil_ray.results.evaluate import (
    batches,
    evaluate,
    held_out_indices,
    network,
    splits_of,
)
from smil_ray.results.evaluation.uncertainty import with_pose_score
from smil_ray.results.prediction_sheet import write_prediction_sheet
from smil_ray.results.ranking.sample_errors import SampleErrors
from smil_ray.results.uncertainty.calibration import calibrate_run
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from smil_ray.training.validation.mean_pose import mean_pose_figures, training_labels
from smil_ray.training.validation.metrics import MetricSums

PICTURE_FILE = "plots/best_median_worst.png"
MOST_SAMPLES = 500
BATCH = 16


def evaluate_winner(run: Path, *, split: str = "test") -> dict[str, Any]:
    """Return the figures of a run's best checkpoint on a split, beside the baselines.

    `evaluation.json`, `intervals.json` and a picture of the best, median and worst predictions
    stay in the run folder.

    Raises:
        CheckpointError: The run has no checkpoint.
        ConfigError: The run does not name its data.
        DataError: The split is empty.
    """
    loaded, dataset = open_run(run)
    evaluation = evaluate(loaded, dataset, split=split)
    evaluation.write_json(run / "evaluation.json")
    write_prediction_sheet(loaded, dataset, run / PICTURE_FILE, split=split, each=1)
    calibrate_run(loaded, dataset)
    record = evaluation.as_record()
    return {**record, "figures": record.pop("metrics"), "picture": PICTURE_FILE}


def measure_samples(run: Path, *, limit: int = MOST_SAMPLES) -> SampleErrors:
    """Return the errors of a run's best checkpoint on its validation samples.

    Args:
        run: The run folder.
        limit: Most samples that are looked at, the first ones of the split.

    Raises:
        CheckpointError: The run has no checkpoint.
        DataError: Its data are gone.
    """
    loaded, dataset = open_run(run)
    indices = held_out_indices(loaded, dataset, "val")[:limit]
    predict = network(loaded)
    sums = MetricSums(
        loaded.model.skeleton, loaded.input_size, loaded.config.body, keeps_samples=True
    )
    model = loaded.model.to(loaded.device)
    frame = loaded.config.model.reference_frame
    for batch in batches(dataset, indices, frame, BATCH, loaded.device):
        sums.add(predict(batch), batch, model)
    figures = with_pose_score(sums.per_sample(), _mean_pose(run, loaded, dataset))
    names, groups = dataset.names, dataset.groups
    source = source_of_metric(loaded.config.train.select_metric)
    place = "val/" if source is None else f"val/{source}/"
    return SampleErrors(
        {f"{place}{key}": _by_name(each.values, indices, names) for key, each in figures.items()},
        {names[i]: groups[i] for i in indices if groups[i] != names[i]},
        sums.per_joint(),
    )


def _by_name(values: np.ndarray, indices: Sequence[int], names: Sequence[str]) -> dict[str, float]:
    """Return the values that are numbers by the name of their sample."""
    pairs = zip(indices, values.tolist(), strict=True)
    return {names[index]: value for index, value in pairs if math.isfinite(value)}


def _mean_pose(run: Path, loaded: LoadedRegressor, dataset: SmilDataset) -> dict[str, float]:
    """Return what the run's scores were relative to; measured anew for runs that do not say."""
    facts, source = RunDir.open(run).facts(), source_of_metric(loaded.config.train.select_metric)
    known = facts if source is None else facts["sources"][source]
    known = known.get("mean_pose")
    if known is not None:
        return known
    splits = splits_of(loaded, dataset)
    train = training_labels(dataset, splits.train)
    return mean_pose_figures(train, dataset, splits.val, loaded.model, loaded.config.body)


def open_run(run: Path) -> tuple[LoadedRegressor, SmilDataset]:
    """Return the best checkpoint of a run and the data that it was trained on.

    Of several sources that is the one that checkpoints were selected by, or the first.

    Raises:
        CheckpointError: The run has no checkpoint.
        ConfigError: The run does not name its data.
        DataError: Its data are gone.
    """
    loaded = load_regressor(run, device="auto").on_source()
    if loaded.config.data.path is None:
        raise ConfigError(f"Run {run} does not name its data", remedy="give it as data.path")
    dataset = SmilDataset.from_path(
        Path(loaded.config.data.path),
        model=loaded.model,
        backbone_name=loaded.config.model.backbone.name,
        input_size=loaded.input_size,
        crop=loaded.crop,
    )
    return loaded, dataset
