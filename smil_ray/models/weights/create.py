"""Create a timm model with random, pretrained or own weights; never hang, never unpickle code."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import timm.models
import torch
from torch import nn

from smil_ray.errors import ConfigError
from smil_ray.models.weights.architecture import expected_shapes
from smil_ray.models.weights.files import SETTING, read_weights
from smil_ray.models.weights.matching import differences, part_that_fits
from smil_ray.models.weights.shipped import read_shipped
from smil_ray.models.weights.sources import find_pretrained

log = logging.getLogger(__name__)


def create_model(name: str, *, weights: str = "none", img_size: int | None = None) -> nn.Module:
    """Return the timm model `name` without classifier.

    Args:
        name: timm name, known to exist.
        weights: `none` (random), `pretrained` (a package's, or timm's own), a .safetensors or
            .pth file, or the folder of a run or checkpoint of this package. What trainers put
            around a network in a file is taken off, and a warning says what that was.
        img_size: Built-in image size of models that have one.

    Raises:
        ConfigError: Pretrained weights cannot be had within seconds, or the file does not fit.
    """
    options: dict[str, Any] = {"num_classes": 0}
    if img_size is not None:
        options["img_size"] = img_size
    if weights == "none":
        return timm.create_model(name, pretrained=False, **options)
    if weights == "pretrained":
        return _create_pretrained(name, options)
    return _from_file(name, Path(weights), options)


def create_from_file(name: str, path: Path) -> tuple[nn.Module, str]:
    """Return the timm model `name` with the weights of a file or run, and what was taken off.

    Raises:
        ConfigError: The weights cannot be read or do not fit.
    """
    return _create_from_file(name, path, {"num_classes": 0})


def _create_pretrained(name: str, options: dict[str, Any]) -> nn.Module:
    source = find_pretrained(name)
    if source.package is not None and source.path is not None:
        return _create_from(read_shipped(name, source.package, source.path), name, options)
    if source.path is not None:
        return _from_file(name, source.path, options)
    if source.remedy is not None:
        raise ConfigError(f"{SETTING} pretrained: {source.state}", remedy=source.remedy)
    try:
        return timm.create_model(name, pretrained=True, **options)
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"{SETTING} pretrained: timm's weights of {name} cannot be had",
            found=" ".join(str(error).split())[:300],
            remedy=f"set {SETTING} to none or to a file",
        ) from error


def _from_file(name: str, path: Path, options: dict[str, Any]) -> nn.Module:
    model, taken_off = _create_from_file(name, path, options)
    if taken_off:
        log.warning("%s %s: took off %s to find %s", SETTING, path, taken_off, name)
    return model


def _create_from_file(name: str, path: Path, options: dict[str, Any]) -> tuple[nn.Module, str]:
    shapes = expected_shapes(name, **options)
    part = part_that_fits(read_weights(path), shapes)
    try:
        model = _create_from(part.state, name, options)
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"{SETTING} {path}: not usable for {name}",
            found=(differences(part.state, shapes) or " ".join(str(error).split())[:300])
            + (f" (after taking off {part.describe()})" if part.taken_off else ""),
            remedy="give weights of this architecture, or the file's architecture as "
            "model.backbone.name",
        ) from error
    return model, part.describe()


def _create_from(
    state: Mapping[str, torch.Tensor], name: str, options: dict[str, Any]
) -> nn.Module:
    """Return the model with weights from `state`: none may be missing, more there may be.

    timm forgives missing weights of a model without classifier, and what it leaves random would
    go unnoticed; it is strict where the checkpoint claims to have no classifier either.
    """
    settings = timm.models.get_pretrained_cfg(name)
    classifier = getattr(settings, "classifier", None) or ()
    classifiers = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    parts = {f"{layer}.{kind}" for layer in classifiers for kind in ("weight", "bias")}
    kept = {key: value for key, value in state.items() if key not in parts}
    overlay: dict[str, Any] = {"state_dict": dict(kept), "num_classes": 0, "label_offset": 0}
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except RuntimeError as error:
        text = str(error)
        if "Unexpected key" not in text or "Missing key" in text or "size mismatch" in text:
            raise
    return timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"state_dict": kept}, **options
    )
