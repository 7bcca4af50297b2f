"""The configuration of one run: all groups of settings, its folder and its tracking."""

from typing import Annotated, Literal

from pydantic import Field

from smil_ray.config.base import Positive, Settings, booleans_as_words
from smil_ray.config.data import DataConfig
from smil_ray.config.loss import LossConfig
from smil_ray.config.model import BodyConfig, ModelConfig
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
