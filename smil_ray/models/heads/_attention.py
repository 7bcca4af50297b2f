"""Attention of a few queries to many tokens, in the cheaper of two equal ways.

*ProjectedTokens*: keys and values of every token are computed, once for all rounds: 2 T c d
products for T tokens of width c and queries of width d, and that or twice that again backwards.
*AbsorbedProjection*: the scores q . (W k) are (W^T q) . k, so the key's matrix can be applied to
the few queries instead of the many tokens, and the value's to the few sums instead of the tokens
(DeepSeek-AI 2024, "DeepSeek-V2", section 2.1.2): 2 T c products for each query, head and round,
and no keys or values in memory.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from smil_ray.models.heads._reuse import Reused, ReusedLinear

HEAD_WIDTH = 64
"""A head has no more channels than this, as in HMR 2.0 (Goel et al. 2023)."""


class ProjectedTokens(NamedTuple):
    """Keys and values of tokens, by head."""

    key: Float[Tensor, "batch h t e"]
    value: Float[Tensor, "batch h t e"]


class AbsorbedProjection(NamedTuple):
    """Tokens themselves, and what takes queries (h, n, e) to them and sums (h, n, c) back."""

    seen: Float[Tensor, "batch t c"]
    key: Reused
    value: Reused


Memory = ProjectedTokens | AbsorbedProjection
"""What queries look at."""


class Attention(nn.Module):
    """Multi-head attention, Vaswani et al. 2017, its heads at most 64 channels wide.

    Args:
        width: Width of queries.
        seen_width: Width of the tokens that they look at.
        num_heads: A divisor of `width`.
        queries: How many look at the same tokens in a round; None says as many as the tokens.
        rounds: How often they look.
    """

    def __init__(
        self,
        width: int,
        seen_width: int,
        num_heads: int,
        queries: int | None = None,
        rounds: int = 1,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.rounds = rounds
        self.is_absorbed = queries is not None and 2 * queries * rounds * num_heads <= width
        inner = num_heads * min(HEAD_WIDTH, width // num_heads)
        self.query = ReusedLinear(width, inner)
        # A bias would add the same to a query's scores of all tokens, which softmax ignores.
        self.key = nn.Linear(seen_width, inner, bias=False)
        self.value = nn.Linear(seen_width, inner)
        self.output = ReusedLinear(inner, width)

    def memory(self, seen: Float[Tensor, "batch t c"]) -> Memory:
        """Return what `forward` needs of the tokens; it is the same in every round."""
        if self.is_absorbed:
            key = self.key.weight.unflatten(0, (self.num_heads, -1))
            value = self.value.weight.unflatten(0, (self.num_heads, -1)).mT
            return AbsorbedProjection(seen, Reused(key, self.rounds), Reused(value, self.rounds))
        return ProjectedTokens(self._heads(self.key(seen)), self._heads(self.value(seen)))

    def forward(
        self, queries: Float[Tensor, "batch q d"], memory: Memory
    ) -> Float[Tensor, "batch q d"]:
        """Return what each query finds in `memory`."""
        asked = self._heads(self.query(queries))
        if isinstance(memory, AbsorbedProjection):
            found = self._absorbed(asked, memory)
        else:
            found = nn.functional.scaled_dot_product_attention(asked, *memory)
        return self.output(found.transpose(1, 2).flatten(2))

    def _absorbed(
        self, asked: Float[Tensor, "batch h q e"], memory: AbsorbedProjection
    ) -> Float[Tensor, "batch h q e"]:
        """Return the weighted sums of values; nothing of the size of keys or values is made."""
        asked = _by_head(asked * asked.shape[-1] ** -0.5, memory.key)
        scores = asked.flatten(1, 2) @ memory.seen.transpose(1, 2)
        found = scores.softmax(dim=-1) @ memory.seen
        found = _by_head(found.unflatten(1, (self.num_heads, -1)), memory.value)
        return found + self.value.bias.unflatten(0, (self.num_heads, 1, -1))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _by_head(x: Float[Tensor, "batch h q k"], matrix: Reused) -> Float[Tensor, "batch h q m"]:
    """Return the products of all pictures' queries with each head's matrix."""
    rows = x.transpose(0, 1).flatten(1, 2)
    return matrix(rows).unflatten(1, (x.shape[0], -1)).transpose(0, 1)
