"""A checkpoint's figures on held-out samples, beside the mean pose and the nearest neighbour."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch.utils.data import DataLoader

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch, Sample, collate
from smil_ray.core.device import full_precision
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.splits import Splits, split_indices
from smil_ray.errors import DataError
from smil_ray.results.baselines import MeanPose, NearestNeighbour
from smil_ray.results.evaluation.mesh import MeshSums
from smil_ray.results.evaluation.record import MEAN_POSE, Evaluation
from smil_ray.results.evaluation.uncertainty import differences, intervals, with_pose_score
from smil_ray.training.batches.packed_batch import to_device
from smil_ray.training.checkpoint.loading import LoadedRegressor
from smil_ray.training.means import evenly
from smil_ray.training.validation.mean_pose import relative_figures
from smil_ray.training.validation.metrics import MetricSums
from smil_ray.training.validation.tally import SampleValues

Predictor = Callable[[Batch], SmilParams]

NETWORK = "network"
BASELINES = {MEAN_POSE: MeanPose, "nearest neighbour": NearestNeighbour}
BASELINE_SAMPLES = 5000
"""Baselines look at no more training images than these: they get no better with more."""


def evaluate(
    loaded: LoadedRegressor | str | Path,
    dataset: SmilDataset,
    *,
    split: str = "test",
    batch_size: int = 16,
) -> Evaluation:
    """Return the figures of a checkpoint and of two baselines on one split of a data set.

    `loaded` may be a run or checkpoint folder, which is opened on a GPU where there is one.
    Everything is computed on the network's device, in full precision.

    The split is made as in training, from the checkpoint's own configuration, so that `test` holds
    samples that the network never saw. Baselines learn from the training split; one that needs
    labels which the data lack is left out and named.

    Raises:
        DataError: The split is unknown or empty.
    """
    loaded = LoadedRegressor.open(loaded)
    indices = held_out_indices(loaded, dataset, split)
    frame = loaded.config.model.reference_frame
    learnt = _training_indices(loaded, dataset, split)
    training = batches(dataset, learnt, frame, batch_size, loaded.device)
    predictors: dict[str, Predictor] = {NETWORK: network(loaded)}
    left_out: dict[str, str] = {}
    for name, baseline in BASELINES.items():
        try:
            predictors[name] = baseline.of(training)
        except DataError as error:
            left_out[name] = str(error)
    held_out = batches(dataset, indices, frame, batch_size, loaded.device)
    sums = _measure_all(loaded, predictors, held_out, dataset)
    metrics = {name: found.figures() for name, found in sums.items()}
    mean_pose = dict(metrics.get(MEAN_POSE, {}))
    for figures in metrics.values():
        figures |= relative_figures(figures, mean_pose)
    samples = {name: with_pose_score(s.per_sample(), mean_pose) for name, s in sums.items()}
    groups = [dataset.groups[index] for index in indices]
    ours = samples.pop(NETWORK)
    return Evaluation(
        split=split,
        n_samples=len(indices),
        metrics=metrics,
        per_joint=sums[NETWORK].joints.per_joint(),
        left_out=left_out,
        body_chain=loaded.model.skeleton.describe_chain(),
        counts={name: int((found.counts > 0).sum()) for name, found in ours.items()},
        intervals={
            name: {key: (found.low, found.high) for key, found in intervals(each, groups).items()}
            for name, each in {NETWORK: ours, **samples}.items()
        },
        differences={
            name: {
                key: (found.mean, found.low, found.high)
                for key, found in differences(ours, each, groups).items()
            }
            for name, each in samples.items()
        },
        per_group={name: found.per_group() for name, found in sums.items()},
    )


@dataclass(frozen=True)
class _Sums:
    """What is added up of one predictor."""

    joints: MetricSums
    mesh: MeshSums

    def figures(self) -> dict[str, float]:
        return self.joints.compute() | self.mesh.compute()

    def per_sample(self) -> dict[str, SampleValues]:
        return self.joints.per_sample() | self.mesh.per_sample()

    def per_group(self) -> dict[str, dict[str, float]]:
        return {
            figure: {group: value for group, (value, _) in found.items()}
            for figure, found in self.joints.per_group().items()
        }


def _measure_all(
    loaded: LoadedRegressor,
    predictors: Mapping[str, Predictor],
    found: Iterable[Batch],
    dataset: SmilDataset,
) -> dict[str, _Sums]:
    """Return the summed errors of every predictor; each batch is read once."""
    model, body = loaded.model.to(loaded.device), loaded.config.body
    sums = {
        name: _Sums(
            MetricSums(model.skeleton, dataset.input_size, body, keeps_samples=True),
            MeshSums(model, body),
        )
        for name in predictors
    }
    for batch in found:
        for name, predictor in predictors.items():
            params = predictor(batch)
            sums[name].joints.add(params, batch, model)
            sums[name].mesh.add(params, batch)
    return sums


def network(loaded: LoadedRegressor) -> Predictor:
    """Return a checkpoint's network as a function of batches, without gradients.

    Its predictions are on the network's device, wherever the batch is.
    """
    device = loaded.device

    def predict(batch: Batch) -> SmilParams:
        image = None if batch.image is None else batch.image.to(device)
        with torch.inference_mode(), full_precision(device):
            return loaded.regressor(image, intrinsics=batch.intrinsics.to(device))

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
    dataset: SmilDataset,
    indices: Sequence[int] | np.ndarray,
    frame: str,
    batch_size: int,
    device: torch.device | str = "cpu",
) -> DataLoader[Batch]:
    """Return the samples at `indices`, in order, as batches in a reference frame on a device."""

    def collated(samples: Sequence[Sample]) -> Batch:
        return to_device(collate(samples, frame), device)

    return DataLoader(dataset.view(indices), batch_size=batch_size, collate_fn=collated)


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print the tables of an evaluation and whether the network beats the mean pose."""
    console = console or Console()
    console.print(evaluation.table(console.width))
    groups = evaluation.group_table()
    if groups is not None:
        console.print(groups)
    if evaluation.verdict():
        console.print(evaluation.verdict(), style="bold", highlight=False)


def held_out_indices(loaded: LoadedRegressor, dataset: SmilDataset, split: str) -> list[int]:
    """Return the samples of a split, made as in training; see `evaluate` for the errors."""
    if split == "all":
        return list(range(len(dataset)))
    splits = splits_of(loaded, dataset)
    parts = {"val": splits.val, "test": splits.test}
    if split not in parts:
        raise DataError(f"Split {split!r}", expected="test, val or all")
    if not len(parts[split]):
        raise DataError(
            f"The {split} split is empty",
            found=f"{len(dataset)} samples",
            remedy="use --split val or all, or a larger data.test_fraction when training",
        )
    return [int(index) for index in parts[split]]


def _training_indices(loaded: LoadedRegressor, dataset: SmilDataset, split: str) -> list[int]:
    """Return what the baselines learn from: at most BASELINE_SAMPLES, evenly spread."""
    try:
        train = splits_of(loaded, dataset).train
    except DataError:
        if split != "all":
            raise
        train = np.arange(len(dataset))
    return evenly(train, BASELINE_SAMPLES).tolist()


def splits_of(loaded: LoadedRegressor, dataset: SmilDataset) -> Splits:
    """Return the splits that a network was trained with, the training split not limited."""
    data = loaded.config.data
    return split_indices(
        dataset.names, dataset.groups, data.val_fraction, data.test_fraction, data.split_seed
    )
