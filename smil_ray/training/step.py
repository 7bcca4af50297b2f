"""One optimiser step: forward, loss, backward over the accumulated batches, update."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from smil_ray.config import Config
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.data.augment_batch import with_changed_pictures
from smil_ray.errors import SmilRayError
from smil_ray.losses.objective import Objective
from smil_ray.models.features import JointPlaces
from smil_ray.training.batches.lifting import LabelledPoses
from smil_ray.training.batches.prompts import draw_prompts
from smil_ray.training.batches.sampler import step_seed
from smil_ray.training.optim import set_learning_rate
from smil_ray.training.state import TrainingState


class NonFiniteLossError(SmilRayError):
    """A loss or gradient became NaN or infinite; the batch is saved."""


@dataclass(frozen=True)
class StepRecord:
    """Figures of one step, still on the device, and the batches that led to them."""

    step: int
    names: tuple[str, ...]
    values: Tensor
    learning_rate: float
    batches: tuple[Batch, ...]


class Stepper:
    """Takes optimiser steps and hands out their figures one step later.

    The delay lets a GPU run ahead: reading a figure waits for the device. On the CPU there is no
    delay.
    """

    def __init__(
        self,
        state: TrainingState,
        objective: Objective,
        config: Config,
        poses: LabelledPoses | None = None,
    ) -> None:
        self._state = state
        self._objective = objective
        self._poses = None if poses is None else poses.to(state.world.device)
        self._config = config
        self._lag = 1 if state.world.device.type == "cuda" else 0
        self._open: list[StepRecord] = []

    def take(
        self, batches: Sequence[Batch], epoch: float, learning_rate: float
    ) -> list[tuple[int, dict[str, float]]]:
        """Do one step with the mean gradient of `batches`; return figures of earlier steps.

        Raises:
            NonFiniteLossError: A loss or gradient is NaN or infinite.
        """
        state = self._state
        step = state.position.step + 1
        _seed(step_seed(self._config.train.seed, step, state.world.rank), state.world.device)
        set_learning_rate(state.optimizer, learning_rate)
        batches = [with_changed_pictures(batch) for batch in batches]
        summed: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            losses = self._backward(batch, epoch, len(batches), last=number == len(batches) - 1)
            for name, value in losses.items():
                summed[name] = summed[name] + value if name in summed else value
        summed["grad_norm"] = state.precision.step(state.optimizer, self._config.optim.clip_norm)
        if state.ema is not None:
            state.ema.update_parameters(state.regressor)
        state.position.step = step
        values = torch.stack([value.float() for value in summed.values()])
        self._open.append(StepRecord(step, tuple(summed), values, learning_rate, tuple(batches)))
        return self._collect(self._lag)

    def drain(self) -> list[tuple[int, dict[str, float]]]:
        """Return the figures that are still out; see `take` for the error."""
        return self._collect(0)

    def _backward(
        self, batch: Batch, epoch: float, parts: int, *, last: bool
    ) -> dict[str, Tensor]:
        """Add the gradients of one batch; return its losses over `parts`, detached."""
        network = self._state.network
        wait = isinstance(network, DistributedDataParallel) and not last
        with network.no_sync() if wait else nullcontext():  # pyright: ignore[reportCallIssue]
            lifted = self._draw_poses(batch.size)
            prompts = self._prompts(batch)
            params = forward(self._state, network, batch, prompts, lifted and lifted[1])
            result = self._objective(params[0], batch, epoch)
            terms = {"total": result.total, **result.terms}
            loss = result.total
            if lifted is not None:
                terms["lifting"] = self._objective(params[1], lifted[0], epoch).total
                loss = loss + terms["lifting"]
            loss = loss / parts
            if self._state.world.size > 1:
                # Outputs without a loss need a gradient as well, or the processes wait for it.
                loss = loss + 0.0 * _sum_of_outputs(params[0])
            self._state.precision.backward(loss)
        return {f"loss/{name}": value.detach() / parts for name, value in terms.items()}

    def _draw_poses(self, pictures: int) -> tuple[Batch, JointPlaces] | None:
        """Return poses to lift beside so many pictures, if the head can and labels have any."""
        count = round(self._config.train.lifted_poses * pictures)
        if self._poses is None or not count or not self._state.regressor.looks_at_joints:
            return None
        return self._poses.draw(count, self._objective)

    def _prompts(self, batch: Batch) -> Tensor | None:
        """Return the joints that the network is told, if it learns to be told."""
        if not self._state.regressor.takes_prompts:
            return None
        return draw_prompts(batch, self._config.model.head.prompt_share)

    def _collect(self, leave: int) -> list[tuple[int, dict[str, float]]]:
        found = []
        while len(self._open) > leave:
            record = self._open.pop(0)
            figures = dict(zip(record.names, record.values.tolist(), strict=True))
            self._check(record, figures)
            found.append((record.step, {**figures, "lr": record.learning_rate}))
        return found

    def _check(self, record: StepRecord, figures: dict[str, float]) -> None:
        scaled = self._state.precision.name == "fp16"
        bad = [
            name
            for name, value in figures.items()
            # A scaler meets infinite gradients as a matter of course and skips the step.
            if not -float("inf") < value < float("inf") and not (scaled and name == "grad_norm")
        ]
        if bad:
            raise NonFiniteStepError(record, bad[0], figures[bad[0]])


class NonFiniteStepError(Exception):
    """A step whose figures are not finite; `loop` saves its batches and raises a clear error."""

    def __init__(self, record: StepRecord, figure: str, value: float) -> None:
        super().__init__(figure)
        self.record = record
        self.figure = figure
        self.value = value


def forward(
    state: TrainingState,
    network: Any,
    batch: Batch,
    prompts: Tensor | None = None,
    lifted: JointPlaces | None = None,
) -> tuple[SmilParams, ...]:
    """Return a network's outputs in float32, computed in the run's precision.

    Where a batch has cached features, the backbone does not run. A second entry is for `lifted`.
    """
    image = batch.image if batch.tokens is None else None
    with state.precision.autocast():
        found = network(
            image,
            tokens=batch.tokens,
            intrinsics=batch.intrinsics,
            prompts=prompts,
            lifted=lifted,
        )
    found = (found,) if isinstance(found, SmilParams) else found
    return tuple(params.map(lambda value: value.float()) for params in found)


def non_finite_error(problem: NonFiniteStepError, folder: Path) -> NonFiniteLossError:
    """Save the batches of a failed step in `folder` and return the error that says so."""
    record = problem.record
    file = folder / f"non_finite_step_{record.step}.pt"
    saved = [_plain(batch) for batch in record.batches]
    figures = dict(zip(record.names, record.values.tolist(), strict=True))
    torch.save({"step": record.step, "figures": figures, "batches": saved}, file)
    names = ", ".join(name for batch in record.batches for name in batch.names[:4])
    return NonFiniteLossError(
        f"{problem.figure} is {problem.value} at step {record.step} (samples {names}, ...)",
        remedy=f"the batch is in {file}; lower optim.learning_rate, set optim.clip_norm, or look "
        "at these samples with `smil-ray doctor`",
    )


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generators that layers draw from.

    `torch.manual_seed` would also record a stack trace for each kind of device that is not in use,
    which takes longer than some training steps.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _plain(batch: Batch) -> dict[str, Any]:
    """Return a batch as tensors, numbers and texts, readable with weights_only."""
    here = batch.to("cpu")
    fields = {k: v for k, v in vars(here).items() if isinstance(v, Tensor)}
    target = here.target.as_dict()
    return {"names": list(batch.names), "presence": here.presence, "target": target, **fields}


def _sum_of_outputs(params: SmilParams) -> Tensor:
    outputs = [value.sum() for value in params.as_dict().values() if value.requires_grad]
    return torch.stack(outputs).sum()
