"""Settings of the optimiser and of one optimiser step."""

from typing import Annotated, Literal

from pydantic import Field

from smil_ray.config.base import Fraction, NonNegative, Positive, Settings, Stage


class LearningRateStage(Stage):
    """From `epoch` on, this learning rate."""

    learning_rate: Positive


class OptimConfig(Settings):
    """AdamW and everything around one optimiser step."""

    learning_rate: Positive = 5e-4
    weight_decay: NonNegative = 1e-4
    stages: tuple[LearningRateStage, ...] = ()
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: NonNegative = 1.0
    final_fraction: Fraction = 0.01
    clip_norm: Positive | None = 1.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    compile: bool = False
