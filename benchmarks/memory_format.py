"""Are convolutions faster on a CPU when pictures lie channels last in memory?

Command:   python benchmarks/memory_format.py [--backbone tf_efficientnet_lite0] [--size 128]
Takes:     two minutes on one core
Expected:  yes, by a fifth to a half; weights that lie so as well add nothing on a CPU
Writes:    the section "Memory format" of benchmarks/RESULTS.md, with machine and commit
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from geometry import machine, write_section
from torch import Tensor, nn

LAYOUTS = ("contiguous", "pictures channels last", "pictures and weights channels last")
BATCHES = (8, 16, 32)
ROUNDS = 6


def main() -> None:
    """Measure the three layouts in turn and write the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows, error = [], 0.0
    for batch in BATCHES:
        pictures = torch.randint(0, 256, (batch, 3, *[arguments.size] * 2), dtype=torch.uint8)
        networks = {layout: Network(arguments.backbone, layout) for layout in LAYOUTS}
        features = [frozen_pass(networks[layout], pictures, layout) for layout in LAYOUTS]
        error = max(error, *(float((f - features[0]).abs().max()) for f in features[1:]))
        for what, work in WORK.items():
            ways = [partial(work, networks[layout], pictures, layout) for layout in LAYOUTS]
            found = alternately(ways)
            ratios = " | ".join(f"{ms:.0f} | {found[0] / ms:.2f}" for ms in found[1:])
            rows.append(f"| {what} | {batch} | {found[0]:.0f} | {ratios} |")
    lines = [
        "## Memory format",
        "",
        f"`python benchmarks/memory_format.py`, {machine()}, device cpu, "
        f"{arguments.threads} thread(s).",
        f"{arguments.backbone}, {arguments.size} px, random weights; fine-tuning: forward, "
        f"backward and AdamW. Medians of {ROUNDS} in turn; features differ by up to {error:.0e}.",
        "",
        "| what | batch | contiguous ms | pictures channels last ms | ratio "
        "| weights as well ms | ratio |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    write_section("Memory format", text)


class Network(nn.Module):
    """A backbone with its weights in a layout, and its optimiser."""

    def __init__(self, name: str, layout: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model: Any = timm.create_model(name, num_classes=0)
        if "weights" in layout:
            self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=1e-4, fused=True)


def pixels(pictures: Tensor, layout: str) -> Tensor:
    """Return normalised pixels in the layout."""
    last = torch.contiguous_format if layout == "contiguous" else torch.channels_last
    return (pictures.to(torch.float32, memory_format=last) - 120.0) / 60.0


def frozen_pass(network: Network, pictures: Tensor, layout: str) -> Tensor:
    """Return the features, without gradients."""
    with torch.no_grad():
        return network.eval().model.forward_features(pixels(pictures, layout))


def fine_tuning_step(network: Network, pictures: Tensor, layout: str) -> None:
    """Train the whole network for a step."""
    features = network.train().model.forward_features(pixels(pictures, layout))
    features.square().mean().backward()
    network.optimizer.step()
    network.optimizer.zero_grad(set_to_none=True)


WORK: dict[str, Callable[..., object]] = {
    "frozen pass": frozen_pass,
    "fine-tuning step": fine_tuning_step,
}


def alternately(ways: list[Callable[[], object]]) -> list[float]:
    """Return the median milliseconds of each way, the first round not counted."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(1 + ROUNDS):
        for way, own in zip(ways, times, strict=True):
            began = time.perf_counter()
            way()
            own.append(1000.0 * (time.perf_counter() - began))
    return [statistics.median(own[1:]) for own in times]


if __name__ == "__main__":
    main()
