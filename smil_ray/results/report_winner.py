"""A sweep's best network on held-out samples: figures, errors per sample, pictures."""

import math
from pathlib import Path
from typing import Any

from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import ConfigError
from smil_ray.results.evaluate import batches, evaluate, held_out_indices, network
from smil_ray.results.prediction_sheet import write_prediction_sheet
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
    write_prediction_sheet(loaded, dataset, run / PICTURE_FILE, split=split, each=1)
    return {
        "split": split,
        "n_samples": evaluation.n_samples,
        "figures": evaluation.metrics,
        "per_joint": evaluation.per_joint,
        "picture": PICTURE_FILE,
    }


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
        sums = MetricSums(loaded.model.skeleton, loaded.input_size, loaded.config.body)
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
