"""Attention of a few queries to many tokens, in the cheaper of two equal ways.

*Spread*: keys and values of every token are computed, once for all rounds: 2 T d^2 products for T
tokens of width d, and twice that again backwards. *Absorbed*: the scores q . (W k) are
(W^T q) . k, so the key's matrix can be applied to the few queries instead of the many tokens, and
the value's to the few sums instead of the tokens (DeepSeek-AI 2024, "DeepSeek-V2", section 2.1.2):
2 T d products for each query, head and round, and no keys or values in memory.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

Memory = Tensor | tuple[Tensor, Tensor]
"""What queries look at: tokens (batch, t, d) themselves, absorbed; or their keys and values,
each (batch, heads, t, d / heads)."""


class Attention(nn.Module):
    """Multi-head attention, Vaswani et al. 2017.

    Args:
        width: Width of queries and tokens.
        num_heads: A divisor of it.
        looks: How many queries look at the same tokens, counted over all rounds; None says that
            tokens are seen once by as many queries.
    """

    def __init__(self, width: int, num_heads: int, looks: int | None = None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.is_absorbed = looks is not None and 2 * looks * num_heads <= width
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def memory(self, seen: Float[Tensor, "batch t d"]) -> Memory:
        """Return what `forward` needs of the tokens; it is the same in every round."""
        if self.is_absorbed:
            return seen
        key, value = self.key_value(seen).chunk(2, dim=-1)
        return self._heads(key), self._heads(value)

    def forward(
        self, queries: Float[Tensor, "batch q d"], memory: Memory
    ) -> Float[Tensor, "batch q d"]:
        """Return what each query finds in `memory`."""
        asked = self._heads(self.query(queries))
        if isinstance(memory, Tensor):
            found = self._absorbed(asked, memory)
        else:
            found = nn.functional.scaled_dot_product_attention(asked, *memory)
        return self.output(found.transpose(1, 2).flatten(2))

    def _absorbed(
        self, asked: Float[Tensor, "batch h q e"], seen: Float[Tensor, "batch t d"]
    ) -> Float[Tensor, "batch h q e"]:
        """Return the weighted sums of values; nothing of the size of keys or values is made.

        A bias of the keys adds the same to a query's scores of all tokens, which softmax ignores.
        """
        key, value = self.key_value.weight.unflatten(0, (2, self.num_heads, -1))
        bias = self.key_value.bias.unflatten(0, (2, self.num_heads, 1, -1))[1]
        asked = torch.einsum("bhqe,hed->bhqd", asked * asked.shape[-1] ** -0.5, key)
        scores = asked.flatten(1, 2) @ seen.transpose(1, 2)
        found = scores.softmax(dim=-1) @ seen
        found = found.unflatten(1, (self.num_heads, -1))
        return torch.einsum("bhqd,hed->bhqe", found, value) + bias

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def normed_linear(x: Tensor, norm: nn.LayerNorm, linear: nn.Linear) -> Tensor:
    """Return `linear(norm(x))` without a gradient of the size of `x` if `x` needs none.

    Gain and offset of the norm go into the matrix: a third less work for tokens of a frozen
    backbone.
    """
    normed = nn.functional.layer_norm(x, norm.normalized_shape, eps=norm.eps)
    bias = torch.addmv(linear.bias, linear.weight, norm.bias)
    return nn.functional.linear(normed, linear.weight * norm.weight, bias)
