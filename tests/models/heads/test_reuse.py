"""Reused matrices: the products and gradients of plain ones."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from smil_ray.models.heads._reuse import Reused, ReusedLinear, reuse


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def layer() -> ReusedLinear:
    torch.manual_seed(1)
    return ReusedLinear(4, 4).double()


def thrice(made: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    for _ in range(3):
        x = made(x).sin()
    return x


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4), (2, 1, 3, 4)])
def test_a_layer_used_three_times_equals_the_plain_one(shape):
    made, x = layer(), values(*shape)
    inputs = (x, *made.parameters())
    expected = thrice(made, x)
    gradients = torch.autograd.grad(expected.square().sum(), inputs)
    with reuse(made, 3):
        found = thrice(made, x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), inputs), gradients)


def test_gradients_are_those_of_finite_differences():
    x, matrix = values(2, 3, 4), values(2, 4, 4, seed=1)

    def chain(x, matrix):
        reused = Reused(matrix, 3)
        return reused(reused(reused(x).sin()).sin())

    assert torch.autograd.gradcheck(chain, (x, matrix))


def test_a_product_that_the_loss_leaves_out_adds_nothing():
    x, matrix = values(3, 4), values(4, 4, seed=1)
    reused = Reused(matrix, 2)
    kept, _ = reused(x), reused(2 * x)
    (gradient,) = torch.autograd.grad(kept.sum(), matrix)
    torch.testing.assert_close(gradient, x.sum(0)[:, None].expand(4, 4))


def test_a_second_backward_pass_gives_the_same_gradient():
    x, matrix = values(3, 4), values(4, 4, seed=1)
    reused = Reused(matrix, 2)
    loss = reused(reused(x).sin()).sum()
    torch.autograd.grad(loss, x, retain_graph=True)  # Without the matrix, whose rows stay.
    found = [torch.autograd.grad(loss, matrix, retain_graph=True) for _ in range(2)]
    expected = torch.autograd.grad(((x @ matrix).sin() @ matrix).sum(), matrix)
    torch.testing.assert_close(found, [expected, expected])


class CountedProducts(TorchDispatchMode):
    """Counts products with a result of one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mm.default and found.shape == self.shape:
            self.count += 1
        return found


@pytest.mark.parametrize(("uses", "expected"), [(1, 3), (3, 1)])
def test_the_gradient_of_all_uses_is_one_product(uses, expected):
    made = layer()
    with reuse(made, uses):
        loss = thrice(made, values(5, 4)).sum()
    with CountedProducts((4, 4)) as products:
        loss.backward()
    assert products.count == expected


def test_a_layer_is_plain_again_outside_and_after_an_error():
    made = layer()
    with reuse(made, 3):
        assert made._reused is not None
    assert made._reused is None
    with pytest.raises(RuntimeError, match="shapes"), reuse(made, 3):
        made(values(5, 3))
    assert made._reused is None


@pytest.mark.parametrize("uses", [1, 3])
def test_without_gradients_nothing_is_kept(uses):
    made = layer()
    with torch.no_grad(), reuse(made, uses):
        assert not thrice(made, values(2, 4)).requires_grad
    frozen = made.requires_grad_(False)
    x = values(2, 4)
    with reuse(frozen, uses):
        thrice(frozen, x).sum().backward()
    assert frozen.weight.grad is None
    assert x.grad is not None


def test_half_precision_products_give_gradients_of_the_weights_type():
    made, x = layer().float(), values(3, 4).detach().float()
    with torch.autocast("cpu", torch.bfloat16), reuse(made, 3):
        found = thrice(made, x)
        expected = thrice(made, x)
    assert found.dtype == torch.bfloat16
    found.float().square().sum().backward()
    gradient, made.weight.grad = made.weight.grad, None
    expected.float().square().sum().backward()
    assert gradient is not None
    assert made.weight.grad is not None
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, made.weight.grad, atol=0.03, rtol=0.03)
