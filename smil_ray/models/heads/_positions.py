"""Where tokens lie in the image: coordinates and their sine/cosine encoding."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_LONGEST_PERIOD = 100.0


def grid_coordinates(grid: tuple[int, int]) -> Float[Tensor, "tokens 2"]:
    """Return (x, y) in [-1, 1] of the cell centres of a grid, row by row from the top left."""
    rows, columns = grid
    y = (torch.arange(rows) + 0.5) / rows * 2.0 - 1.0
    x = (torch.arange(columns) + 0.5) / columns * 2.0 - 1.0
    return torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=-1)


def sinusoidal_encoding(grid: tuple[int, int], width: int) -> Float[Tensor, "tokens width"]:
    """Return the 2D sine/cosine encoding of a grid's cells.

    Half of the channels encode x, half y, in pixels of the grid (Vaswani et al. 2017 in two
    dimensions).
    """
    cells = torch.tensor([grid[1], grid[0]], dtype=torch.float32)
    place = (grid_coordinates(grid) + 1.0) / 2.0 * cells
    count = math.ceil(width / 4)
    rates = _LONGEST_PERIOD ** -(torch.arange(count) / count)
    phase = place[:, :, None] * rates
    return torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(1)[:, :width]
