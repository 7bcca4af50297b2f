"""The configuration of one run: all groups of settings, its folder and its tracking."""

from typing import Annotated, Any, Literal

from pydantic import Field

from smil_ray.config.addresses import absolute_place
from smil_ray.config.base import Positive, Settings, booleans_as_words
from smil_ray.config.data import DataConfig
from smil_ray.config.loss import LossConfig
from smil_ray.config.model import NO_FILES, SHAPE_FAMILY, BodyConfig, ModelConfig
from smil_ray.config.optim import OptimConfig
from smil_ray.config.train import TrainConfig


class RunConfig(Settings):
    """Where a run lives and what it may use."""

    name: str | None = None
    output_dir: str = "runs"
    num_workers: Annotated[int, Field(ge=1)] = 1
    cpus_per_worker: Positive = 1.0
    use_gpu: Annotated[
        Literal["auto", "yes", "no"], booleans_as_words({True: "yes", False: "no"})
    ] = "auto"
    max_failures: Annotated[int, Field(ge=0)] = 2


class TrackingConfig(Settings):
    """MLflow: `uri` null means MLFLOW_TRACKING_URI, or sqlite `mlflow.db` in this folder.

    `log_model`: at the end of a run that is no trial, its network is logged as a model.
    """

    enabled: bool = True
    uri: str | None = None
    experiment: str = "smil_ray"
    log_model: bool = True


class Config(Settings):
    """One run: data, body model, network, loss, optimiser, training, run folder, tracking."""

    data: DataConfig = DataConfig()
    body: BodyConfig = BodyConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    run: RunConfig = RunConfig()
    tracking: TrackingConfig = TrackingConfig()

    def with_absolute_paths(self) -> "Config":
        """Return the same configuration for processes that have another working directory."""
        changes: dict[str, Any] = {"data": self.data.with_absolute_paths()}
        if self.body.model != SHAPE_FAMILY:
            place = absolute_place(self.body.model)
            changes["body"] = self.body.model_copy(update={"model": place})
        backbone = self.model.backbone
        if backbone.weights not in NO_FILES:
            place = absolute_place(backbone.weights)
            backbone = backbone.model_copy(update={"weights": place})
            changes["model"] = self.model.model_copy(update={"backbone": backbone})
        if self.train.init_from is not None:
            place = absolute_place(self.train.init_from)
            changes["train"] = self.train.model_copy(update={"init_from": place})
        return self.model_copy(update=changes)
