"""Networks on the device where they compute, their weights in the layout that it likes."""

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def place(network: nn.Module, device: torch.device) -> None:
    """Move a network; on a GPU the weights of its convolutions lie channels last.

    Pictures do so on every device (`Backbone.forward`). With weights to match, tensor cores need
    no copies in between; a CPU gains nothing from them. Values, shapes and names stay the same.
    """
    network.to(device)
    if device.type == "cuda":
        with_channels_last(network)


def with_channels_last(network: nn.Module) -> None:
    """Lay the weights of convolutions out channels last, in place."""
    for module in network.modules():
        if isinstance(module, _CONVOLUTIONS):
            module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
