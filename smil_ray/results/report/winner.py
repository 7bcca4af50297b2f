"""A trained run on held-out samples: figures, errors of single samples, pictures."""

import math
import statistics
from pathlib import Path
from typing import Any

from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import ConfigError
from smil_ray.results.evaluate import batches, evaluate, held_out_indices, network
from smil_ray.results.prediction_sheet import write_prediction_sheet
from smil_ray.results.ranking.sample_errors import SampleErrors
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from smil_ray.training.validation.metrics import MetricSums

PICTURE_FILE = "plots/best_median_worst.png"
MOST_SAMPLES = 500


def evaluate_winner(run: Path, *, split: str = "test") -> dict[str, Any]:
    """Return the figures of a run's best checkpoint on a split, beside the baselines.

    `evaluation.json` and a picture of the best, median and worst predictions stay in the run
    folder.

    Raises:
        CheckpointError: The run has no checkpoint.
        ConfigError: The run does not name its data.
        DataError: The split is empty.
    """
    loaded, dataset = open_run(run)
    evaluation = evaluate(loaded, dataset, split=split)
    evaluation.write_json(run / "evaluation.json")
    write_prediction_sheet(loaded, dataset, run / PICTURE_FILE, split=split, each=1)
    return {
        "split": split,
        "n_samples": evaluation.n_samples,
        "figures": evaluation.metrics,
        "per_joint": evaluation.per_joint,
        "body_chain": evaluation.body_chain,
        "picture": PICTURE_FILE,
    }


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
    metrics: dict[str, dict[str, float]] = {}
    joints: dict[str, dict[str, list[float]]] = {}
    for batch in batches(dataset, indices, loaded.config.model.reference_frame, 1):
        sums = MetricSums(loaded.model.skeleton, loaded.input_size, loaded.config.body)
        sums.add(predict(batch), batch, loaded.model)
        for name, value in sums.compute().items():
            if math.isfinite(value) and not name.startswith("n_"):
                metrics.setdefault(f"val/{name}", {})[batch.names[0]] = value
        for name, values in sums.per_joint().items():
            for joint, value in values.items():
                joints.setdefault(name, {}).setdefault(joint, []).append(value)
    names, groups = dataset.names, dataset.groups
    return SampleErrors(
        metrics,
        {names[i]: groups[i] for i in indices if groups[i] != names[i]},
        {
            name: {joint: statistics.fmean(values) for joint, values in found.items()}
            for name, found in joints.items()
        },
    )


def open_run(run: Path) -> tuple[LoadedRegressor, SmilDataset]:
    """Return the best checkpoint of a run and the data that it was trained on.

    Raises:
        CheckpointError: The run has no checkpoint.
        ConfigError: The run does not name its data.
        DataError: Its data are gone.
    """
    loaded = load_regressor(run)
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
