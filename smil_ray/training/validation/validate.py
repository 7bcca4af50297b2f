"""Validation: metrics that no curriculum changes, unweighted losses, and pictures' contents."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from itertools import zip_longest

import torch
from torch import Tensor

from smil_ray.config import Config
from smil_ray.core.batch import Batch, collate
from smil_ray.core.params import SmilParams
from smil_ray.training.batches.loaders import val_sources
from smil_ray.training.batches.packed_batch import to_device
from smil_ray.training.batches.stream import BatchReply, BatchRequest
from smil_ray.training.parts import Parts
from smil_ray.training.reports import Predictions
from smil_ray.training.state import TrainingState
from smil_ray.training.step import forward
from smil_ray.training.validation.mean_pose import relative_figures
from smil_ray.training.validation.metrics import MetricSums
from smil_ray.training.world import World


class _Figures:
    """Sums over the samples of one data set."""

    def __init__(self, parts: Parts, config: Config, device: torch.device) -> None:
        self.sums = MetricSums(parts.model.skeleton, parts.data.input_size, config.body)
        self.losses: dict[str, Tensor] = {}
        self.count = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, params: SmilParams, batch: Batch, parts: Parts, epoch: float) -> None:
        """Add the errors and unweighted losses of a batch."""
        self.sums.add(params, batch, parts.model)
        for name, value in parts.objective(params, batch, epoch).terms.items():
            self.losses[name] = self.losses.get(name, 0.0) + value.double() * batch.size
        self.count += batch.size

    def include(self, other: "_Figures") -> None:
        """Add what another data set has."""
        self.sums.include(other.sums)
        for name, value in other.losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value
        self.count = self.count + other.count

    def reduce(self, world: World) -> None:
        """Add up the sums of all processes."""
        self.sums.reduce(world.all_reduce)
        for value in (self.count, *(self.losses[name] for name in sorted(self.losses))):
            world.all_reduce(value)

    def compute(self, prefix: str, mean_pose: Mapping[str, float]) -> dict[str, float]:
        """Return every figure by its name behind `prefix`."""
        figures = self.sums.compute()
        figures |= relative_figures(figures, mean_pose)
        figures |= {f"loss/{name}": float(v / self.count) for name, v in self.losses.items()}
        return {prefix + name: value for name, value in figures.items()}


def validation(
    state: TrainingState, parts: Parts, config: Config, n_batches: int
) -> Generator[BatchRequest, BatchReply, dict[str, float]]:
    """Ask for the validation batches; end with metrics and unweighted loss terms.

    These are `val/...` and `val/loss/...` over all processes, and `val/SOURCE/...` where there are
    several data sets. Loss terms are means over samples of batch means; metrics are exact sums.
    """
    device, epoch = state.world.device, float(state.position.epoch + 1)
    network = state.predictor.eval()
    sources = val_sources(parts, config, state.world)
    found = {name: _Figures(parts, config, device) for name in dict.fromkeys(sources)}
    for number in range(n_batches):
        batch, _ = yield BatchRequest(state.position.epoch, "1_val", number)
        with torch.no_grad():
            (params,) = forward(state, network, batch)
            found[sources[number]].add(params, batch, parts, epoch)
    state.regressor.train()
    return _metrics(found, parts, state.world)


def _metrics(found: Mapping[str | None, _Figures], parts: Parts, world: World) -> dict[str, float]:
    for figures in found.values():
        figures.reduce(world)
    mean_poses = {source.name: source.mean_pose for source in parts.sources}
    metrics: dict[str, float] = {}
    first, *others = found
    for name, figures in found.items():
        if name is not None:
            metrics |= figures.compute(f"val/{name}/", mean_poses[name])
    for name in others:
        found[first].include(found[name])
    return found[first].compute("val/", parts.mean_pose) | metrics


@torch.no_grad()
def fixed_predictions(
    state: TrainingState, parts: Parts, config: Config, epoch: int
) -> Predictions | None:
    """Return the first validation samples with their predictions, None if none are wanted."""
    indices = _shown(parts, config.train.overlay_samples)
    if not indices:
        return None
    samples = parts.data.samples(indices)
    batch = collate(samples, config.model.reference_frame)
    if parts.features is not None:
        batch = replace(batch, tokens=parts.features.held_out.tokens(indices))
    there = to_device(batch, state.world.device)
    (params,) = forward(state, state.predictor.eval(), there)
    _, xy = parts.objective.posed(params, there)
    state.regressor.train()
    return Predictions(epoch, batch, params.detach(), xy.detach().cpu())


def _shown(parts: Parts, most: int) -> list[int]:
    """Return the first validation samples, of each source in turn."""
    every = [s.splits.val.tolist() for s in parts.sources] or [parts.splits.val.tolist()]
    in_turn = [index for row in zip_longest(*every) for index in row if index is not None]
    return in_turn[:most]
