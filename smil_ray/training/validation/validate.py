"""Validation: metrics that no curriculum changes, unweighted losses, and pictures' contents."""

from collections.abc import Generator
from dataclasses import replace

import torch
from torch import Tensor

from smil_ray.config import Config
from smil_ray.core.batch import collate
from smil_ray.training.batches.stream import BatchReply, BatchRequest
from smil_ray.training.parts import Parts
from smil_ray.training.reports import Predictions
from smil_ray.training.state import TrainingState
from smil_ray.training.step import forward
from smil_ray.training.validation.mean_pose import relative_figures
from smil_ray.training.validation.metrics import MetricSums


def validation(
    state: TrainingState, parts: Parts, config: Config, n_batches: int
) -> Generator[BatchRequest, BatchReply, dict[str, float]]:
    """Ask for the validation batches; end with metrics and unweighted loss terms.

    These are `val/...` and `val/loss/...` over all processes. Loss terms are means over samples
    of batch means; metrics are exact sums.
    """
    device, epoch = state.world.device, float(state.position.epoch + 1)
    network = state.predictor.eval()
    sums = MetricSums(parts.model.skeleton, parts.data.input_size, config.body)
    losses: dict[str, Tensor] = {}
    count = torch.zeros((), dtype=torch.float64, device=device)
    for number in range(n_batches):
        reply = yield BatchRequest(state.position.epoch, "1_val", number)
        batch = reply.batch.to(device)
        with torch.no_grad():
            params = forward(state, network, batch)
            sums.add(params, batch, parts.model)
            terms = parts.objective(params, batch, epoch).terms
        for name, value in terms.items():
            losses[name] = losses.get(name, 0.0) + value.double() * batch.size
        count += batch.size
    sums.reduce(state.world.all_reduce)
    for value in (count, *(losses[name] for name in sorted(losses))):
        state.world.all_reduce(value)
    figures = sums.compute()
    figures |= relative_figures(figures, parts.mean_pose)
    metrics = {f"val/{name}": value for name, value in figures.items()}
    metrics |= {f"val/loss/{name}": float(value / count) for name, value in losses.items()}
    state.regressor.train()
    return metrics


@torch.no_grad()
def fixed_predictions(
    state: TrainingState, parts: Parts, config: Config, epoch: int
) -> Predictions | None:
    """Return the first validation samples with their predictions, None if none are wanted."""
    indices = parts.splits.val[: config.train.overlay_samples]
    if not len(indices):
        return None
    samples = parts.data.samples(indices.tolist())
    batch = collate(samples, config.model.reference_frame)
    if parts.features is not None:
        batch = replace(batch, tokens=parts.features.held_out.tokens(indices.tolist()))
    batch = batch.to(state.world.device)
    params = forward(state, state.predictor.eval(), batch)
    _, xy = parts.objective.posed(params, batch)
    state.regressor.train()
    return Predictions(epoch, batch.to("cpu"), params.detach(), xy.detach().cpu())
