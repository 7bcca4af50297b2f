"""When and with what a run's checkpoints are written."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from smil_ray.config import Config
from smil_ray.training.checkpoint.files import save_checkpoint
from smil_ray.training.checkpoint.folder import prune
from smil_ray.training.parts import Parts
from smil_ray.training.state import TrainingState


class Saver:
    """Writes checkpoints of one run from its first process and keeps the best and the last."""

    def __init__(self, state: TrainingState, parts: Parts, config: Config, folder: Path) -> None:
        self._state = state
        self._config = config
        self._folder = folder
        self._frozen = parts.frozen
        self._about = {
            "n_joints": parts.model.n_joints,
            "n_betas": parts.model.n_betas,
            "joint_names": list(parts.model.skeleton.joint_names),
            "model_name": parts.model.name,
            "model_hash": parts.model.content_hash,
            "data_hash": parts.data.content_hash,
            "input_size": parts.data.input_size,
            "crop": parts.data.crop.model_dump(mode="json"),
            "statistics": asdict(parts.statistics),
        }
        self._saved = time.monotonic()

    def is_overdue(self) -> bool:
        """Return true when the last checkpoint is `checkpoint_every_minutes` ago."""
        minutes = self._config.train.checkpoint_every_minutes
        return minutes is not None and time.monotonic() - self._saved >= 60.0 * minutes

    def save(self, select_value: float | None, metrics: Mapping[str, float] | None = None) -> Path:
        """Write a checkpoint of the present position and delete what need not be kept.

        Args:
            select_value: Selection metric of these weights; None where they were not validated.
            metrics: The epoch's metrics.

        Raises:
            CheckpointError: It cannot be written.
        """
        position, train = self._state.position, self._config.train
        whole = position.batch == 0
        name = f"epoch_{position.epoch:04d}" if whole else f"step_{position.step:08d}"
        path = self._folder / name
        self._saved = time.monotonic()
        if self._state.world.is_first:
            save_checkpoint(
                path,
                weights=self._state.weights(),
                state=self._state.state(),
                config=self._config,
                frozen=self._frozen,
                meta={
                    "step": position.step,
                    "epoch": position.epoch,
                    "batch": position.batch,
                    "select_metric": train.select_metric,
                    "select_value": select_value,
                    "metrics": dict(metrics or {}),
                    **self._about,
                },
            )
            prune(self._folder, train.select_mode, train.keep_best)
        return path
