"""Weights that never change, written once and linked into every checkpoint of a process.

A head on a frozen ViT-B has some megabytes, its backbone 340: with a file of its own, checkpoints
of a search over heads cost what the heads weigh. Each checkpoint stays whole by itself: the file
in it is a hard link (a copy where the file system has none), which outlives the others.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

PREFIX = "backbone."


@dataclass
class FrozenWeights:
    """Where the frozen backbone of these parts was last written.

    Attributes:
        path: The file in the newest checkpoint; None before the first one.
        sha256: Its checksum.
    """

    path: Path | None = None
    sha256: str = ""

    def link_to(self, target: Path) -> bool:
        """Put the file at `target`; false if there is none to be had."""
        if self.path is None or not self.path.is_file():
            return False
        try:
            os.link(self.path, target)
        except OSError:
            # Another file system, or one without links; a full disk is noticed by the copy.
            shutil.copyfile(self.path, target)
        return True


def split(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights of a frozen network's trained part, and of its backbone."""
    frozen = {name: value for name, value in weights.items() if name.startswith(PREFIX)}
    return {name: value for name, value in weights.items() if name not in frozen}, frozen
