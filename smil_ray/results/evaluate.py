"""A checkpoint's figures on held-out samples, beside the mean pose and the nearest neighbour."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import orjson
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch, collate
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.splits import Splits, split_indices
from smil_ray.errors import DataError
from smil_ray.results.baselines import MeanPose, NearestNeighbour
from smil_ray.training.checkpoint.loading import LoadedRegressor
from smil_ray.training.validation.metrics import MetricSums

Predictor = Callable[[Batch], SmilParams]

SHOWN = {
    "mpjpe_ra_pct_bl": "MPJPE, root-aligned [% body length]",
    "pa_mpjpe_pct_bl": "PA-MPJPE [% body length]",
    "mpjpe_pct_bl": "MPJPE [% body length]",
    "pck@0.05_bbox": "PCK@0.05 of the box",
    "pck@0.10_bbox": "PCK@0.10 of the box",
    "pck@5px_input": "PCK@5px at input size",
    "kp2d_px_input": "2D error [px at input size]",
    "rot_deg_global": "root rotation [deg]",
    "rot_deg_joint": "joint rotation [deg]",
}
"""Figures of the printed table and their captions; the JSON holds all."""
BASELINES = {"mean pose": MeanPose, "nearest neighbour": NearestNeighbour}
BASELINE_SAMPLES = 5000
"""Baselines look at no more training images than these: they get no better with more."""
HIGHER_IS_BETTER = ("pck@", "auc", "iou")


@dataclass(frozen=True)
class Evaluation:
    """Figures of a network and of the baselines on the same samples.

    Attributes:
        split: Which part of the data set: `test`, `val` or `all`.
        n_samples: How many samples the figures are over.
        metrics: Predictor -> figure -> value.
        per_joint: Figure -> joint -> value, of the network.
        left_out: Baseline -> why the data do not allow it.
        body_chain: The joints along which 100 % of body length is measured.
    """

    split: str
    n_samples: int
    metrics: dict[str, dict[str, float]]
    per_joint: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    body_chain: str = ""

    def table(self) -> Table:
        """Return the figures as a table: a row a figure, a column a predictor, and the gain."""
        which = "samples, seen in training or not" if self.split == "all" else "held-out samples"
        notes = [f"no {name}: {reason}" for name, reason in self.left_out.items()]
        if self.body_chain:
            notes.append(f"100 % of body length: {self.body_chain}")
        table = Table(
            title=f"{self.n_samples} {which} ({self.split} split)",
            caption="\n".join(notes) or None,
        )
        names = list(self.metrics)
        for heading in ("metric", *names, f"{names[0]} better by"):
            table.add_column(heading, justify="left" if heading == "metric" else "right")
        for key, caption in SHOWN.items():
            values = [self.metrics[name].get(key) for name in names]
            if values[0] is None:
                continue
            cells = ["-" if value is None else f"{value:.3f}" for value in values]
            table.add_row(caption, *cells, self.gain(key))
        return table

    def gain(self, key: str, over: str = "mean pose") -> str:
        """Return how much better the network is than a baseline, e.g. `-35 %` or `+0.21`."""
        ours = next(iter(self.metrics.values())).get(key)
        theirs = self.metrics.get(over, {}).get(key)
        if ours is None or theirs is None:
            return "-"
        if key.startswith(HIGHER_IS_BETTER):
            return f"{ours - theirs:+.3f}"
        return f"{100.0 * (ours - theirs) / theirs:+.0f} %" if theirs > 0 else "-"

    def is_better(self, key: str, over: str = "mean pose") -> bool:
        """Return whether the network beats a baseline; true if there is none to beat."""
        ours = next(iter(self.metrics.values())).get(key)
        theirs = self.metrics.get(over, {}).get(key)
        if ours is None or theirs is None:
            return True
        return ours > theirs if key.startswith(HIGHER_IS_BETTER) else ours < theirs

    def write_json(self, path: Path) -> None:
        """Write every figure to `path`."""
        record = {
            "split": self.split,
            "n_samples": self.n_samples,
            "metrics": self.metrics,
            "per_joint": self.per_joint,
            "left_out": self.left_out,
            "body_chain": self.body_chain,
        }
        path.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))


def evaluate(
    loaded: LoadedRegressor,
    dataset: SmilDataset,
    *,
    split: str = "test",
    batch_size: int = 16,
) -> Evaluation:
    """Return the figures of a checkpoint and of two baselines on one split of a data set.

    The split is made as in training, from the checkpoint's own configuration, so that `test` holds
    samples that the network never saw. Baselines learn from the training split; one that needs
    labels which the data lack is left out and named.

    Raises:
        DataError: The split is unknown or empty.
    """
    indices = held_out_indices(loaded, dataset, split)
    frame = loaded.config.model.reference_frame
    training = batches(dataset, _training_indices(loaded, dataset, split), frame, batch_size)
    predictors: dict[str, Predictor] = {"network": network(loaded)}
    left_out: dict[str, str] = {}
    for name, baseline in BASELINES.items():
        try:
            predictors[name] = baseline.of(training)
        except DataError as error:
            left_out[name] = str(error)
    held_out = batches(dataset, indices, frame, batch_size)
    body = loaded.config.body
    sums = {
        name: measure(predictor, held_out, loaded.model, dataset.input_size, body)
        for name, predictor in predictors.items()
    }
    return Evaluation(
        split=split,
        n_samples=len(indices),
        metrics={name: found.compute() for name, found in sums.items()},
        per_joint=sums["network"].per_joint(),
        left_out=left_out,
        body_chain=loaded.model.skeleton.describe_chain(),
    )


def network(loaded: LoadedRegressor) -> Predictor:
    """Return a checkpoint's network as a function of batches, without gradients."""

    def predict(batch: Batch) -> SmilParams:
        with torch.inference_mode():
            return loaded.regressor(batch.image, intrinsics=batch.intrinsics)

    return predict


def measure(
    predictor: Predictor,
    found: Iterable[Batch],
    model: SmilModel,
    input_size: int,
    body: BodyConfig | None = None,
) -> MetricSums:
    """Return the summed errors of a predictor over batches; `body` says how bodies are posed."""
    sums = MetricSums(model.skeleton, input_size, body)
    for batch in found:
        sums.add(predictor(batch), batch, model)
    return sums


def batches(
    dataset: SmilDataset, indices: Sequence[int] | np.ndarray, frame: str, batch_size: int
) -> DataLoader[Batch]:
    """Return the samples at `indices`, in order, as batches in a reference frame."""
    return DataLoader(
        dataset.view(indices),
        batch_size=batch_size,
        collate_fn=partial(collate, reference_frame=frame),
    )


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print the table of an evaluation."""
    (console or Console()).print(evaluation.table())


def held_out_indices(loaded: LoadedRegressor, dataset: SmilDataset, split: str) -> list[int]:
    """Return the samples of a split, made as in training; see `evaluate` for the errors."""
    if split == "all":
        return list(range(len(dataset)))
    splits = _splits(loaded, dataset)
    parts = {"val": splits.val, "test": splits.test}
    if split not in parts:
        raise DataError(f"Split {split!r}", expected="test, val or all")
    if not len(parts[split]):
        raise DataError(
            f"The {split} split is empty",
            found=f"{len(dataset)} samples",
            remedy="use --split all, or a larger data.test_fraction when training",
        )
    return [int(index) for index in parts[split]]


def _training_indices(loaded: LoadedRegressor, dataset: SmilDataset, split: str) -> list[int]:
    """Return what the baselines learn from: at most BASELINE_SAMPLES, evenly spread."""
    try:
        train = _splits(loaded, dataset).train
    except DataError:
        if split != "all":
            raise
        train = np.arange(len(dataset))
    spread = np.linspace(0, len(train) - 1, min(len(train), BASELINE_SAMPLES)).astype(int)
    return train[spread].tolist()


def _splits(loaded: LoadedRegressor, dataset: SmilDataset) -> Splits:
    data = loaded.config.data
    return split_indices(
        dataset.names, dataset.groups, data.val_fraction, data.test_fraction, data.split_seed
    )
