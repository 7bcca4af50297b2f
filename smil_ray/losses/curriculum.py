"""Loss weights and learning rate as pure functions of the epoch; no state, no torch."""

import math

from smil_ray.config import LossConfig, OptimConfig

_WARMUP_START = 0.01
"""Share of the learning rate at the very first step of a warm-up."""


def weights_at(config: LossConfig, epoch: float | int) -> dict[str, float]:
    """Return the weight of every term that the configuration names, at a (fractional) epoch.

    A stage replaces the weights it names from its epoch on: at once (`step`), or along a line
    over `ramp_epochs` from whatever the weight is at the stage's beginning (`linear`).
    """
    names = {name for stage in config.stages for name in stage.weights} | set(config.base_weights)
    return {name: _weight_at(config, name, epoch) for name in sorted(names)}


def used_terms(config: LossConfig) -> frozenset[str]:
    """Return the terms that have a positive weight at some epoch."""
    every = (config.base_weights, *(stage.weights for stage in config.stages))
    return frozenset(name for weights in every for name, weight in weights.items() if weight > 0)


def last_stage_epoch(config: LossConfig) -> int:
    """Return the epoch from which the weights stay as they are."""
    if not config.stages:
        return 0
    ramp = config.ramp_epochs if config.transition == "linear" else 0
    return config.stages[-1].epoch + ramp


def learning_rate_at(config: OptimConfig, epoch: float | int, epochs: int) -> float:
    """Return the learning rate at a (fractional) epoch of a training of `epochs` epochs.

    It is that of the last stage begun, times a linear warm-up, times a cosine from 1 at the end
    of the warm-up to `final_fraction` at the end of the training.
    """
    rate = config.learning_rate
    for stage in config.stages:
        if epoch >= stage.epoch:
            rate = stage.learning_rate
    warmup = config.warmup_epochs
    if epoch < warmup:
        return rate * (_WARMUP_START + (1.0 - _WARMUP_START) * epoch / warmup)
    if config.schedule == "cosine":
        progress = min((epoch - warmup) / max(epochs - warmup, 1e-9), 1.0)
        cosine = (1.0 + math.cos(math.pi * progress)) / 2.0
        rate *= config.final_fraction + (1.0 - config.final_fraction) * cosine
    return rate


def _weight_at(config: LossConfig, name: str, epoch: float | int) -> float:
    weight = float(config.base_weights.get(name, 0.0))
    changes = [(s.epoch, s.weights[name]) for s in config.stages if name in s.weights]
    if config.transition == "step":
        return float(next((w for start, w in reversed(changes) if epoch >= start), weight))
    for index, (start, target) in enumerate(changes):
        if epoch < start:
            break
        following = changes[index + 1][0] if index + 1 < len(changes) else math.inf
        progress = min((min(epoch, following) - start) / config.ramp_epochs, 1.0)
        weight += (target - weight) * progress
    return weight
