"""Trainable parameters that no output of a network depends on."""

from typing import Any

import torch
from torch import Tensor

from smil_ray.core.params import SmilParams
from smil_ray.models.regressor import Regressor


def unused_parameters(regressor: Regressor) -> tuple[str, ...]:
    """Return the names of trainable parameters that no output of the network depends on.

    Some of timm's backbones have some: what only their classifier would look at. One picture (or
    its features, where the backbone is not trained) is passed through in evaluation mode, and the
    graph of the outputs is searched; weights, statistics and random generators stay as they are.
    """
    spec = regressor.backbone.spec
    device = regressor.decoder.initial.device
    was_training = regressor.training
    regressor.eval()
    intrinsics = torch.tensor([[2.0, 2.0, 0.5, 0.5]], device=device)
    with torch.enable_grad():
        # Not the compiled network: it would be compiled for a batch of one.
        if regressor.backbone.frozen:
            tokens = torch.zeros(1, sum(spec.widths), device=device)
            params = regressor.forward(tokens=tokens, intrinsics=intrinsics)
        else:
            shape = (1, 3, spec.input_size, spec.input_size)
            image = torch.zeros(shape, dtype=torch.uint8, device=device)
            params = regressor.forward(image, intrinsics=intrinsics)
    regressor.train(was_training)
    assert isinstance(params, SmilParams)  # One without places to lift.
    used = _leaves(list(params.as_dict().values()))
    return tuple(
        name
        for name, parameter in regressor.named_parameters()
        if parameter.requires_grad and id(parameter) not in used
    )


def _leaves(outputs: list[Tensor]) -> set[int]:
    """Return the identities of the leaf tensors that outputs depend on."""
    waiting: list[Any] = [output.grad_fn for output in outputs if output.grad_fn is not None]
    seen, found = set(waiting), set()
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return found
