"""Matrices that several products of one forward pass share: their gradient is one product.

A head that refines its estimate applies the same layers in every round. Left to autograd, each
round makes a gradient as large as the matrix from a handful of rows, and adds it to that of the
others: with small batches such a backward pass does little but move memory. Here the rows of all
rounds are kept until the last, and multiplied once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_Rows = dict[int, tuple[Tensor, Tensor]]
"""What each product multiplied, and the gradient of what it gave, by number."""


class Reused:
    """A matrix for one forward pass: called with x it gives `x @ matrix`.

    Gradients are those of plain products up to rounding. There is no second derivative.

    Args:
        matrix: Leading dimensions, if any, are those of what it is multiplied with.
        uses: How many products are to come; one alone is a plain product.
    """

    def __init__(self, matrix: Float[Tensor, "*b k m"], uses: int) -> None:
        self._matrix = matrix
        self._count = 0
        self._handle: Tensor | None = None
        compiled = torch.compiler.is_compiling()  # A compiler sees to memory itself.
        if uses > 1 and torch.is_grad_enabled() and matrix.requires_grad and not compiled:
            self._rows: _Rows = {}
            self._handle = _Matrix.apply(matrix, self._rows)
            self._matrix = matrix.detach()

    def __call__(self, x: Float[Tensor, "*b n k"]) -> Float[Tensor, "*b n m"]:
        """Return `x @ matrix`."""
        if self._handle is None:
            return x @ self._matrix
        self._count += 1
        return _Product.apply(x, self._handle, self._matrix, self._rows, self._count)


class ReusedLinear(nn.Linear):
    """A linear layer whose weight, within `reuse`, is `Reused`."""

    _reused: Reused | None = None

    def forward(self, input: Float[Tensor, "*b n k"]) -> Float[Tensor, "*b n m"]:
        """Return what `torch.nn.Linear` returns."""
        if self._reused is None:
            return super().forward(input)
        found = self._reused(input.flatten(0, -2)).unflatten(0, input.shape[:-1])
        return found if self.bias is None else found + self.bias.to(found.dtype)


@contextmanager
def reuse(module: nn.Module, uses: int) -> Iterator[None]:
    """Let every `ReusedLinear` of a module have one gradient for its uses within this block."""
    layers = [layer for layer in module.modules() if isinstance(layer, ReusedLinear)]
    try:
        for layer in layers:
            layer._reused = Reused(layer.weight.T, uses)
        yield
    finally:
        for layer in layers:
            layer._reused = None


class _Matrix(torch.autograd.Function):
    """From a matrix to an empty handle; backwards, from the rows of all products to a gradient."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, rows: _Rows) -> Tensor:
        ctx.rows = rows
        ctx.dtype = matrix.dtype
        ctx.by_columns = matrix.stride(-1) != 1
        return matrix.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, _: Tensor
    ) -> tuple[Tensor, None]:
        left, right = (torch.cat(rows, dim=-2) for rows in zip(*ctx.rows.values(), strict=True))
        ctx.rows.clear()
        # In the memory layout of the matrix, or autograd would copy it.
        found = (right.mT @ left).mT if ctx.by_columns else left.mT @ right
        return found.to(ctx.dtype), None


class _Product(torch.autograd.Function):
    """A product that leaves its rows for `_Matrix`, which autograd calls after all products."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, handle: Tensor, matrix: Tensor, rows: _Rows, number: int
    ) -> Tensor:
        ctx.save_for_backward(x, handle, matrix)
        ctx.rows, ctx.number = rows, number
        return x @ matrix

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor | None, Tensor, None, None, None]:
        x, handle, matrix = ctx.saved_tensors
        ctx.rows[ctx.number] = x.to(gradient.dtype), gradient
        back = None
        if ctx.needs_input_grad[0]:
            back = gradient @ matrix.to(gradient.dtype).mT
        return back, torch.zeros_like(handle), None, None, None
