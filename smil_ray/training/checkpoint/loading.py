"""From a checkpoint back to a network that predicts."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config, CropConfig
from smil_ray.config.reading import load_config
from smil_ray.core.device import find_device
from smil_ray.errors import CheckpointError, ConfigError
from smil_ray.models.decoder import ScaleBasis, TargetStatistics
from smil_ray.models.kinematics import Kinematics
from smil_ray.models.placement import place
from smil_ray.models.regressor import Regressor, build_regressor
from smil_ray.storage.mirror import local_run
from smil_ray.training.checkpoint.files import (
    CONFIG,
    META,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from smil_ray.training.checkpoint.folder import best_entry, last_entry
from smil_ray.training.checkpoint.inputs import open_body_model

__all__ = [
    "Checkpoint",
    "LoadedRegressor",
    "find_checkpoint",
    "load_checkpoint",
    "load_regressor",
    "save_checkpoint",
]


@dataclass(frozen=True)
class LoadedRegressor:
    """A trained network in evaluation mode with what it was trained as.

    `meta` is the checkpoint's meta.json: step, epoch, metrics, joint_names, input_size, hashes.
    `model` is the body model that the parameters refer to.
    """

    path: Path
    regressor: Regressor
    config: Config
    meta: dict[str, Any]
    model: SmilModel

    @classmethod
    def open(
        cls, run: "LoadedRegressor | str | Path", device: torch.device | str = "auto"
    ) -> "LoadedRegressor":
        """Return what `load_regressor` does of a folder, or what is loaded already itself."""
        return run if isinstance(run, LoadedRegressor) else load_regressor(run, device=device)

    @property
    def device(self) -> torch.device:
        """Where the network computes; the body model stays on the CPU."""
        return next(self.regressor.parameters()).device

    @property
    def input_size(self) -> int:
        """Side of the network's square input in pixels."""
        return self.regressor.backbone.spec.input_size

    def on_source(self, name: str | None = None) -> "LoadedRegressor":
        """Return the network as if it had been trained on one of its sources alone.

        Splits and crops are then that source's. A network of one data set stays as it is.

        Args:
            name: The source; None takes the one that checkpoints were selected by, or the first.

        Raises:
            ConfigError: It has no such source.
        """
        each = self.config.data.each()
        name = name or self.config.data.main_source(self.config.train.select_metric)
        if name is None:
            return self
        if name not in each:
            raise ConfigError(
                f"source {name}",
                expected=f"one of {', '.join(each)}" if each else "a run of several sources",
                remedy="leave --source out",
            )
        config = self.config.model_copy(update={"data": each[name]})
        meta = self.meta
        if Path(str(each[name].path)).is_dir():
            meta = {**meta, "crop": each[name].crop.model_dump(mode="json")}
        return replace(self, config=config, meta=meta)

    @property
    def crop(self) -> CropConfig:
        """How the pictures that it was trained on were cut; `mode: none` if it is not recorded."""
        return CropConfig.model_validate(self.meta.get("crop", "none"))


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint meant by a checkpoint folder or a run folder (its best one).

    Raises:
        CheckpointError: There is none.
        StorageError: The folder is in an object store, which does not answer.
    """
    path = local_run(path)
    if (path / META).is_file():
        return path
    folder = path / "checkpoints"
    if not folder.is_dir():
        raise CheckpointError(
            f"{path} is neither a checkpoint nor a run folder",
            remedy="give RUN or RUN/checkpoints/epoch_0007",
        )
    mode = load_config(path / CONFIG).train.select_mode
    entry = best_entry(folder, mode) or last_entry(folder)
    if entry is None:
        raise CheckpointError(f"{path} has no checkpoint yet", remedy="train longer")
    return entry.path


def load_regressor(
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    model: SmilModel | str | Path | None = None,
) -> LoadedRegressor:
    """Return the network of a checkpoint folder or of a run folder (its best checkpoint).

    Args:
        path: Checkpoint or run folder.
        device: Where the network goes, see `core.device.find_device`.
        model: The body model it was trained with, or its file; None opens the one that the run
            folder keeps, or else the one that its configuration names.

    Raises:
        CheckpointError: It is missing or damaged, or the body model has changed since.
        ConfigError: There is no such device.
    """
    device = find_device(device)
    checkpoint = load_checkpoint(find_checkpoint(path), with_state=False)
    config, meta = load_config(checkpoint.path / CONFIG), checkpoint.meta
    # The weights are in the checkpoint: nothing must be downloaded or found again.
    backbone = config.model.backbone.model_copy(update={"weights": "none"})
    settings = config.model.model_copy(update={"backbone": backbone})
    try:
        body = None if model is None else SmilModel.open(model)
        # A checkpoint is RUN/checkpoints/NAME.
        body = body or open_body_model(config, checkpoint.path.absolute().parents[1])
        model = _checked(body, config, meta)
        regressor = build_regressor(
            settings,
            n_joints=meta["n_joints"],
            n_betas=meta["n_betas"],
            statistics=TargetStatistics(**meta["statistics"]),
            basis=ScaleBasis(model.scaledirs, model.transdirs),
            kinematics=Kinematics(model, config.body),
        )
        regressor.load_state_dict(checkpoint.weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"Checkpoint {checkpoint.path} does not fit this version: {error}"
        ) from error
    place(regressor.eval().requires_grad_(False), device)
    return LoadedRegressor(checkpoint.path, regressor, config, meta, model)


def _checked(model: SmilModel, config: Config, meta: dict[str, Any]) -> SmilModel:
    """Return the body model of a checkpoint after making sure that it is still the same."""
    if not model.matches(meta["model_hash"]):
        raise CheckpointError(
            f"body.model {config.body.model}",
            expected=f"the model {meta['model_name']} that the network was trained with",
            found="another one",
        )
    return model
