"""Do heads of equal shape train faster as one stacked network (torch.func) than in turn?

Command:   python benchmarks/stacking.py [--heads 8] [--threads 1]
Takes:     about a minute on a CPU
Expected:  on a CPU no: every head has its own weights, so that stacking saves no arithmetic, and
           batched products of small matrices are slower than single ones. On a GPU, where small
           kernels wait for each other, it may (docs/decisions/0007-packed-trials.md).
Writes:    the section "Stacking" of benchmarks/RESULTS.md, with machine and commit
"""

import argparse
import copy
import time
from collections.abc import Callable

import torch
from geometry import machine, write_section
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from smil_ray.config import HeadConfig
from smil_ray.core.params import HeadLayout
from smil_ray.models.features import BackboneSpec, Features
from smil_ray.models.heads.build import build_head

MEAN = (0.5, 0.5, 0.5)
SPEC = BackboneSpec("vit_base_patch16_224", 224, MEAN, MEAN, (14, 14), 768, 768, False)
LAYOUT = HeadLayout(n_joints=55, n_betas=20, representation="6d")
HEADS = {
    "mlp": HeadConfig(type="mlp", dropout=0.0),
    # Matrices that several rounds share (models/heads/_reuse.py) cannot be stacked.
    "transformer_decoder, 256 wide, one round": HeadConfig(
        hidden_dim=256, dropout=0.0, iterations=1
    ),
}
ROUNDS = 5


def main() -> None:
    """Measure both ways and write the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1, help="one is what a pack has")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for name, config in HEADS.items():
        heads = [build_head(config, SPEC, LAYOUT).to(device) for _ in range(arguments.heads)]
        features = make_features(arguments.batch_size, device)
        ways = in_turn(heads, features), stacked(heads, features)
        found = alternately(ways, device)
        single, together = (1000 * seconds / len(heads) for seconds in found)
        rows.append(f"| {name} | {single:.1f} | {together:.1f} | {single / together:.2f} |")
    lines = [
        "## Stacking",
        "",
        f"`python benchmarks/stacking.py`, {machine()}, device {device}, "
        f"{arguments.threads} thread(s).",
        f"{arguments.heads} heads of equal shape on tokens of {SPEC.name}, batch "
        f"{arguments.batch_size}: forward, backward and AdamW, ms per head, shortest of {ROUNDS}.",
        "",
        "| head | one after the other | stacked with torch.func | ratio |",
        "|---|---|---|---|",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    write_section("Stacking", text)


def make_features(batch: int, device: torch.device) -> Features:
    """Return random features of a batch of pictures."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(batch, SPEC.n_tokens, SPEC.token_width, generator=generator)
    pooled = torch.randn(batch, SPEC.num_features, generator=generator)
    return Features(tokens.to(device), pooled.to(device))


def in_turn(heads: list[nn.Module], features: Features) -> Callable[[], None]:
    """Return a step of every head, as packs take them."""
    optimizers = [torch.optim.AdamW(head.parameters()) for head in heads]
    initial = torch.zeros(LAYOUT.total, device=features.pooled.device)

    def step() -> None:
        for head, optimizer in zip(heads, optimizers, strict=True):
            optimizer.zero_grad()
            head(features, initial).raw.square().sum().backward()
            optimizer.step()

    return step


def stacked(heads: list[nn.Module], features: Features) -> Callable[[], None]:
    """Return a step of one network whose weights are those of all heads, stacked."""
    weights, _ = stack_module_state(heads)
    buffers = dict(heads[0].named_buffers())  # The same in all heads.
    weights = {name: value.detach().requires_grad_() for name, value in weights.items()}
    plan = copy.deepcopy(heads[0]).to("meta")
    optimizer = torch.optim.AdamW(list(weights.values()))
    initial = torch.zeros(LAYOUT.total, device=features.pooled.device)

    def forward(own: dict[str, Tensor], fixed: dict[str, Tensor]) -> Tensor:
        return functional_call(plan, (own, fixed), (features, initial)).raw

    forward_all = vmap(forward, in_dims=(0, None))

    def step() -> None:
        optimizer.zero_grad()
        forward_all(weights, buffers).square().sum().backward()
        optimizer.step()

    return step


def alternately(ways: tuple[Callable[[], None], ...], device: torch.device) -> tuple[float, ...]:
    """Return each way's shortest time, measured in turn after one round that is not counted."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(1 + ROUNDS):
        for way, found in zip(ways, times, strict=True):
            begin = time.perf_counter()
            way()
            if device.type == "cuda":
                torch.cuda.synchronize()
            found.append(time.perf_counter() - begin)
    return tuple(min(found[1:]) for found in times)


if __name__ == "__main__":
    main()
