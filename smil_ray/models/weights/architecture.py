"""What a timm architecture expects of weights, without allocating any."""

from typing import Any

import timm
import torch


def expected_shapes(name: str, **options: Any) -> dict[str, torch.Size]:
    """Return the shape of every tensor in the state dict of a timm model, in its order.

    No random number is drawn, so that asking changes no training.

    Args:
        name: timm name, known to exist.
        options: Of `timm.create_model`.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = timm.create_model(name, pretrained=False, **options)
    return {key: value.shape for key, value in model.state_dict().items()}
