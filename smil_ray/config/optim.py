"""Settings of the optimiser and of one optimiser step."""

from typing import Annotated, Literal

from pydantic import Field

from smil_ray.config.base import Fraction, NonNegative, Positive, Settings, Stage


class LearningRateStage(Stage):
    """From `epoch` on, this learning rate."""

    learning_rate: Positive


class OptimConfig(Settings):
    """AdamW and everything around one optimiser step.

    `precision` is that of the network's products: `auto` is bf16 on a GPU that has it, else fp32;
    fp32 products on a GPU are TF32. Losses, metrics and weights are fp32 or better.
    """

    learning_rate: Positive = 5e-4
    weight_decay: NonNegative = 1e-4
    stages: tuple[LearningRateStage, ...] = ()
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_epochs: NonNegative = 1.0
    final_fraction: Fraction = 0.01
    clip_norm: Positive | None = 1.0
    accumulate: Annotated[int, Field(ge=1)] = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    compile: bool = False
