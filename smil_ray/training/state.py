"""Everything of a run that changes while it trains, and its way into a checkpoint and back."""

from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from smil_ray.config import Config
from smil_ray.errors import CheckpointError
from smil_ray.models.placement import place
from smil_ray.models.regressor import Regressor
from smil_ray.models.unused import unused_parameters
from smil_ray.training.checkpoint.files import Checkpoint
from smil_ray.training.optim import Precision, build_ema, build_optimizer, load_optimizer_state
from smil_ray.training.world import World

BATCH_NORM = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)


@dataclass
class Position:
    """Where a run stands.

    Attributes:
        epoch: Finished epochs.
        batch: Batches of the current epoch that are already trained on.
        step: Finished optimiser steps since the run began.
        best: Best selection metric so far.
        epochs_since_best: For early stopping.
        loss_sums: Sums of the current epoch's step metrics, over `loss_steps` steps.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float | None = None
    epochs_since_best: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_steps: int = 0

    def next_epoch(self) -> None:
        """Move to the beginning of the next epoch."""
        self.epoch += 1
        self.batch = 0
        self.loss_sums, self.loss_steps = {}, 0


class TrainingState:
    """Network, running mean, optimiser, precision and position of one process."""

    def __init__(self, regressor: Regressor, config: Config, world: World) -> None:
        place(regressor, world.device)
        self.regressor = regressor
        self.world = world
        self.ema = build_ema(self.regressor, config.optim.ema_decay)
        self.optimizer = build_optimizer(self.regressor, config.optim)
        self.precision = Precision(config.optim.precision, world.device)
        self.position = Position()
        if config.optim.compile:
            self.regressor.compile()
        self._wrapped: DistributedDataParallel | None = None

    @property
    def network(self) -> torch.nn.Module:
        """The network to call in training: the wrapped one when there are several processes."""
        return self._wrapped or self.regressor

    @property
    def predictor(self) -> Regressor:
        """The network that validates and predicts: the running mean, if it is on."""
        return self.regressor if self.ema is None else cast(Regressor, self.ema.module)

    def start_epoch(self, epoch: int) -> None:
        """Freeze or thaw the backbone as planned; wrap the network anew if that changed it."""
        changed = self.regressor.set_epoch(epoch)
        self.regressor.train()
        if self.world.size > 1 and (changed or self._wrapped is None):
            self._wrapped = self._distributed()

    def _distributed(self) -> DistributedDataParallel:
        """Wrap the network as it is trained now."""
        on_gpu = self.world.device.type == "cuda"
        moving = (isinstance(m, BATCH_NORM) and m.training for m in self.regressor.modules())
        return DistributedDataParallel(
            self.regressor,
            device_ids=[self.world.device] if on_gpu else None,
            # Nothing else in the buffers changes.
            broadcast_buffers=any(moving),
            # Otherwise the search through the graph in every step is for nothing.
            find_unused_parameters=bool(unused_parameters(self.regressor)),
        )

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to predict with."""
        return self.predictor.state_dict()

    def state(self) -> dict[str, Any]:
        """Return what a resume needs besides the weights: tensors, numbers and texts only."""
        trained = {}
        if self.ema is not None:
            trained = {"weights": self.regressor.state_dict(), "n": int(self.ema.n_averaged)}
        return {
            "trained": trained,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
            "position": asdict(self.position),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            CheckpointError: Its weights or optimiser belong to another network.
        """
        state = checkpoint.state
        try:
            trained = state["trained"].get("weights", checkpoint.weights)
            self.regressor.load_state_dict(trained)
            if self.ema is not None:
                self.ema.module.load_state_dict(checkpoint.weights)
                self.ema.n_averaged.fill_(state["trained"]["n"])
            load_optimizer_state(self.optimizer, state["optimizer"])
            self.precision.load_state_dict(state["precision"])
            self.position = Position(**state["position"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"Checkpoint {checkpoint.path} does not fit the configuration: {error}",
                remedy="resume with the configuration of the run, or start a new run",
            ) from error
