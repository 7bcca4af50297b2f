"""How much cheaper is a search over heads on cached features than on a frozen backbone?

Command:   python benchmarks/search.py [--samples 144] [--epochs 5]
Takes:     about 25 minutes on 2 cores, nearly all of it the frozen backbone
Expected:  an epoch from the cache at least 20 times as fast as one through vit_base_patch16_224,
           whichever the head. A sweep of 16 trials with cache and packing at least 10 times as
           fast as the same trials one by one without; beyond training less than 5 s a trial.
Writes:    the section "Search" of benchmarks/RESULTS.md, with machine and commit
"""

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from geometry import machine, write_section

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config_io import config_from_dict, sweep_from_dict
from smil_ray.data.synthetic import SynthOptions
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.preprocess_job import preprocess
from smil_ray.orchestration.preprocess_plan import PreprocessOptions
from smil_ray.orchestration.synth_job import synthesize
from smil_ray.orchestration.tune_job import run_sweep
from smil_ray.results.ranking import TrialRecord
from smil_ray.sweep_config import SweepConfig
from smil_ray.tracking.sync_metrics import read_metrics
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
HEADS_SWEPT = [HEADS["mlp"], HEADS["transformer_decoder, 256 wide"]]
BATCH_SIZES = (8, 32)
MEASURED_S = 40.0
"""No further epoch is begun after this time."""


class Times(NamedTuple):
    """Seconds for a sample, by the clock and summed over cores."""

    wall: float
    cpu: float


class SweepTimes(NamedTuple):
    """Seconds of a sweep and its best metric.

    Attributes:
        wall: From start to end by the clock.
        training: Within epochs and validation, summed over trials.
        overhead: What the books of a trial have beyond that, per trial.
        all_else: The same by the clock: what processes that could have trained did otherwise.
    """

    wall: float
    training: float
    overhead: float
    all_else: float
    best: float


def main() -> None:
    """Measure everything and write the section."""
    parser = argparse.ArgumentParser(description="Time epochs from the feature cache.")
    parser.add_argument("--samples", type=int, default=144, help="of the timed epochs")
    parser.add_argument("--swept", type=int, default=64, help="samples of the sweep")
    parser.add_argument("--epochs", type=int, default=5, help="of the trials of the sweep")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder) / "epochs", arguments.samples)
        lines = measure(data, Path(folder) / "cache")
        data = make_data(Path(folder) / "sweep", arguments.swept)
        lines += ["", *sweeps(data, Path(folder), arguments)]
    text = "\n".join(lines) + "\n"
    print(text)
    write_section("Search", text)


def make_data(folder: Path, samples: int) -> Path:
    """Return an HDF5 file of synthetic insects at the backbone's size."""
    synthesize(folder / "replicant", SynthOptions(samples=samples, image_size=224), num_workers=1)
    output = folder / "data.h5"
    preprocess([folder / "replicant"], output, PreprocessOptions(size=224, num_workers=1))
    return output


def measure(data: Path, cache: Path) -> list[str]:
    """Return the section's lines."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    load = os.getloadavg()[0]
    rows = []
    for head, size in itertools.product(HEADS, BATCH_SIZES):
        live = epoch_times(parts_of(settings(data, cache, head, "off", size), device))
        config = settings(data, cache, head, "fp16", size)
        start = time.perf_counter()
        parts = parts_of(config, device)
        build = time.perf_counter() - start
        cached = epoch_times(parts)
        rows.append(
            f"| {head} | {size} | {1 / live.wall:.2f} | {1 / cached.wall:.1f} "
            f"| {live.wall / cached.wall:.1f} | {live.cpu / cached.cpu:.1f} | {build:.1f} |"
        )
        print(rows[-1], flush=True)
    return [
        "## Search",
        "",
        f"`python benchmarks/search.py`, {machine()}, device {device}, load average {load:.1f}.",
        f"{BACKBONE}, frozen, random weights; training steps without validation; fp16 features. "
        "The cpu ratio is of time summed over cores, which other load changes little;",
        "with a load average over 1 at the start, clock times mean little.",
        "",
        "| head | batch | samples/s, live backbone | samples/s, cache | ratio | cpu ratio "
        "| open or build cache s |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def settings(data: Path, cache: Path, head: str, mode: str, batch_size: int) -> Config:
    """Return the configuration of one measurement."""
    return config_from_dict(
        {
            "data": {
                "path": str(data),
                "batch_size": batch_size,
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


def epoch_times(run: tuple[Parts, Config], epochs: int = 5) -> Times:
    """Return the shortest times of a training epoch, by the clock and by the cores."""
    parts, config = run
    device = parts.model.device
    world = World(device=device)
    state = TrainingState(parts.regressor, config, world)
    state.start_epoch(0)
    stepper = Stepper(state, parts.objective, config)
    loader, sampler = train_loader(parts, config, world)
    times: list[Times] = []
    began = time.perf_counter()
    for epoch in range(epochs):
        sampler.set_position(epoch)
        batches: Iterator = iter(loader)
        stepper.take([next(batches).to(device)], 0.0, 1e-4)  # Warm-up.
        wall, cpu = time.perf_counter(), time.process_time()
        samples = 0
        for batch in batches:
            stepper.take([batch.to(device)], 0.0, 1e-4)
            samples += len(batch.names)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - wall
        times.append(Times(seconds / samples, (time.process_time() - cpu) / samples))
        if time.perf_counter() - began > MEASURED_S:
            break
    return Times(min(found.wall for found in times), min(found.cpu for found in times))


def sweeps(data: Path, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Time a sweep of 16 trials three ways, each on a Ray that runs already."""
    cores = float(arguments.threads)
    ways = {
        "cache, packed": {"mode": "fp16", "pack": "auto", "concurrent": None, "cpus": 1.0},
        "cache, one process each": {"mode": "fp16", "pack": 1, "concurrent": None, "cpus": 1.0},
        "no cache, one by one": {"mode": "off", "pack": 1, "concurrent": 1, "cpus": cores},
    }
    found: dict[str, SweepTimes] = {}
    with start_ray("local", num_cpus=arguments.threads):
        for number, (name, way) in enumerate(ways.items()):
            sweep = sweep_of(data, folder / f"cache_{number}", way, arguments)
            began = time.perf_counter()
            outcome = run_sweep(sweep, output_dir=folder / "sweeps")
            wall = time.perf_counter() - began
            processes = int(cores / way["cpus"])
            found[name] = sweep_times(wall, processes, outcome.trials, outcome.folder)
            print(name, found[name], flush=True)
    base = found["no cache, one by one"]
    rows = [
        f"| {name} | {times.wall:.0f} | {base.wall / times.wall:.1f} | {times.training:.0f} "
        f"| {times.overhead:.1f} | {times.all_else:.1f} | {times.best:.3f} |"
        for name, times in found.items()
    ]
    return [
        f"A sweep of {len(HEADS_SWEPT) * 8} trials (2 heads, 4 learning rates, 2 curricula) of "
        f"{arguments.epochs} epochs, {arguments.swept} samples, features computed within the "
        "time; *training* is the sum of the seconds within epochs and validation, *overhead* "
        "what the books of a trial have beyond that (opening data, its share of the features, "
        "checkpoints), *all else* the same by the clock, with the starts of processes and of the "
        "search:",
        "",
        "| way | wall s | times as fast | training s | overhead s per trial "
        "| all else s per trial | best metric |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


def sweep_of(data: Path, cache: Path, way: dict, arguments: argparse.Namespace) -> SweepConfig:
    """Return the sweep for one way to run it."""
    base = {
        "data": {
            "path": str(data),
            "batch_size": BATCH_SIZES[0],
            "feature_cache": way["mode"],
            "feature_cache_dir": str(cache),
        },
        "model": {"backbone": {"name": BACKBONE, "freeze": True}},
        "train": {
            "epochs": arguments.epochs,
            "select_metric": "val/mpjpe_ra_pct_bl",
            "checkpoint_every_epochs": arguments.epochs,
        },
        "tracking": {"enabled": False},
    }
    late = [{"epoch": 2, "weights": {"keypoint_2d": 60.0}}]
    space = {
        "model.head": {"choice": HEADS_SWEPT, "labels": ["mlp", "decoder"]},
        "optim.learning_rate": {"choice": [1e-4, 3e-4, 1e-3, 3e-3]},
        "loss.stages": {"choice": [[], late], "labels": ["none", "late 2D"]},
    }
    return sweep_from_dict(
        {
            "name": "search",
            "base": base,
            "space": space,
            "search": "grid",
            "execution": "inline",
            "pack": way["pack"],
            "max_concurrent_trials": way["concurrent"],
            "cpus_per_trial": way["cpus"],
        },
        source="benchmarks/search.py",
    )


def sweep_times(
    wall: float, processes: int, trials: Sequence[TrialRecord], folder: Path
) -> SweepTimes:
    """Return what a sweep cost, from the clock and from the books of its trials."""
    training = sum(
        row.metrics.get("train/epoch/seconds", 0.0)
        for trial in trials
        for row in read_metrics(folder / trial.folder)
    )
    spent = sum(trial.seconds or 0.0 for trial in trials)
    best = min(trial.metric for trial in trials if trial.metric is not None)
    overhead = (spent - training) / len(trials)
    all_else = (processes * wall - training) / len(trials)
    return SweepTimes(wall, training, overhead, all_else, best)


if __name__ == "__main__":
    main()
