"""How much cheaper is a search over heads on cached features than on a frozen backbone?

Command:   python benchmarks/search.py [--samples 48]
Takes:     about three minutes on 2 cores, most of it the frozen backbone
Expected:  an epoch from the cache at least 20 times as fast as one through vit_base_patch16_224,
           where the head itself is not most of the work: a decoder as wide as the backbone
           takes a fifth of the backbone's time
Writes:    the section "Search" of benchmarks/RESULTS.md, with machine and commit
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from geometry import machine, write_section

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config_io import config_from_dict
from smil_ray.data.synthetic import SynthOptions
from smil_ray.orchestration.preprocess_job import preprocess
from smil_ray.orchestration.preprocess_plan import PreprocessOptions
from smil_ray.orchestration.synth_job import synthesize
from smil_ray.training.assemble import assemble, open_data
from smil_ray.training.features import with_cached_features
from smil_ray.training.loaders import train_loader
from smil_ray.training.parts import Parts
from smil_ray.training.state import TrainingState
from smil_ray.training.step import Stepper
from smil_ray.training.world import World

BACKBONE = "vit_base_patch16_224"
HEADS: dict[str, dict] = {
    "mlp": {"type": "mlp"},
    "transformer_decoder, 256 wide": {"type": "transformer_decoder", "hidden_dim": 256},
    "transformer_decoder, 768 wide": {"type": "transformer_decoder"},
}
MEASURED_S = 60.0
"""No further epoch is begun after this time."""


class Times(NamedTuple):
    """Seconds by the clock, and summed over cores."""

    wall: float
    cpu: float


def main() -> None:
    """Measure everything and write the section."""
    parser = argparse.ArgumentParser(description="Time epochs from the feature cache.")
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), arguments.samples)
        lines = measure(data, Path(folder) / "cache", arguments)
    text = "\n".join(lines) + "\n"
    print(text)
    write_section("Search", text)


def make_data(folder: Path, samples: int) -> Path:
    """Return an HDF5 file of synthetic insects at the backbone's size."""
    synthesize(folder / "replicant", SynthOptions(samples=samples, image_size=224), num_workers=1)
    output = folder / "data.h5"
    preprocess([folder / "replicant"], output, PreprocessOptions(size=224, num_workers=1))
    return output


def measure(data: Path, cache: Path, arguments: argparse.Namespace) -> list[str]:
    """Return the section's lines."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    load = os.getloadavg()[0]
    rows = []
    for head in HEADS:
        live = epoch_seconds(parts_of(settings(data, cache, head, "off", arguments), device))
        config = settings(data, cache, head, "fp16", arguments)
        start = time.perf_counter()
        parts = parts_of(config, device)
        build = time.perf_counter() - start
        cached = epoch_seconds(parts)
        count = len(parts[0].splits.train)
        rows.append(
            f"| {head} | {count / live.wall:.2f} | {count / cached.wall:.1f} "
            f"| {live.wall / cached.wall:.1f} | {live.cpu / cached.cpu:.1f} | {build:.1f} |"
        )
        print(rows[-1], flush=True)
    return [
        "## Search",
        "",
        f"`python benchmarks/search.py`, {machine()}, device {device}, load average {load:.1f}.",
        f"{BACKBONE}, frozen, random weights; batches of {arguments.batch_size}, training steps "
        "without validation; fp16 features. The cpu ratio is of time summed over cores, which "
        "other load changes little;",
        "with a load average over 1 at the start, clock times mean little.",
        "",
        "| head | samples/s, live backbone | samples/s, cache | ratio | cpu ratio "
        "| open or build cache s |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def settings(
    data: Path, cache: Path, head: str, mode: str, arguments: argparse.Namespace
) -> Config:
    """Return the configuration of one measurement."""
    return config_from_dict(
        {
            "data": {
                "path": str(data),
                "batch_size": arguments.batch_size,
                "feature_cache": mode,
                "feature_cache_dir": str(cache),
            },
            "model": {"backbone": {"name": BACKBONE, "freeze": True}, "head": HEADS[head]},
        }
    )


def parts_of(config: Config, device: torch.device) -> tuple[Parts, Config]:
    """Return the parts of a run, its cache built."""
    model = SmilModel.builtin()
    parts = assemble(config, open_data(config, model), model, device)
    return with_cached_features(parts, config, device), config


def epoch_seconds(run: tuple[Parts, Config], epochs: int = 3) -> Times:
    """Return the shortest times of a training epoch, by the clock and by the cores."""
    parts, config = run
    device = parts.model.device
    world = World(device=device)
    state = TrainingState(parts.regressor, config, world)
    state.start_epoch(0)
    stepper = Stepper(state, parts.objective, config)
    loader, sampler = train_loader(parts, config, world)
    times: list[Times] = []
    for epoch in range(epochs):
        sampler.set_position(epoch)
        batches: Iterator = iter(loader)
        stepper.take([next(batches).to(device)], 0.0, 1e-4)  # Warm-up.
        wall, cpu = time.perf_counter(), time.process_time()
        count = 0
        for batch in batches:
            stepper.take([batch.to(device)], 0.0, 1e-4)
            count += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        whole = (count + 1) / count  # The batch left out costs as much as the others.
        seconds = time.perf_counter() - wall
        times.append(Times(whole * seconds, whole * (time.process_time() - cpu)))
        if sum(found.wall for found in times) > MEASURED_S:
            break
    return Times(min(found.wall for found in times), min(found.cpu for found in times))


if __name__ == "__main__":
    main()
