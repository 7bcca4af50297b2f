"""Weights on timm's servers: what of them lies on this machine, and whether a server answers."""

import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
import timm.models
import torch
from timm.models import PretrainedCfg

CONNECT_SECONDS = 2.5
"""How long a weight server may take to answer; the hub's own client retries for 47 s."""
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def published(name: str) -> PretrainedCfg | None:
    """Return where timm publishes weights of the model `name`, None if nowhere."""
    settings = timm.models.get_pretrained_cfg(name)
    return settings if settings is not None and settings.has_weights else None


def cached_file(settings: PretrainedCfg) -> Path | None:
    """Return the weights in the hub's or torch's cache on this machine, None without any."""
    url = settings.url if isinstance(settings.url, str) else ""
    return _cached(settings.hf_hub_id, settings.hf_hub_filename, url)


def is_offline(settings: PretrainedCfg) -> bool:
    """Whether the person has forbidden the hub that these weights are on (HF_HUB_OFFLINE)."""
    return settings.hf_hub_id is not None and huggingface_hub.constants.HF_HUB_OFFLINE


def server(settings: PretrainedCfg) -> str:
    """Return the address of the server that has these weights."""
    if settings.hf_hub_id is not None:
        return huggingface_hub.constants.ENDPOINT
    url = urlsplit(settings.url if isinstance(settings.url, str) else "")
    return f"{url.scheme}://{url.netloc}"


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


def is_reachable(address: str) -> bool:
    """Whether a connection to the server (or the proxy in front of it) opens within seconds."""
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    target = urlsplit(proxy or address)
    answers: list[bool] = []

    def connect() -> None:
        try:
            port = target.port or (80 if target.scheme == "http" else 443)
            with socket.create_connection((target.hostname or "", port), CONNECT_SECONDS):
                answers.append(True)
        except (OSError, ValueError):
            answers.append(False)

    # Name resolution has no time limit of its own, hence the thread.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 0.5)
    return bool(answers and answers[0])
