"""How much cheaper is a search over heads on cached features than on a frozen backbone?

Command:   python benchmarks/search.py [--only epochs|sweep] [--samples 144] [--epochs 5]
Takes:     about 25 minutes on 2 cores, nearly all of it the frozen backbone
Expected:  an epoch from the cache at least 20 times as fast as one through vit_base_patch16_224,
           whichever the head. A sweep of 16 trials with cache and packing at least 10 times as
           fast as the same trials one by one without; beyond training less than 5 s a trial.
Writes:    the sections "Cached epochs" and "Search" of benchmarks/RESULTS.md, with machine and
           commit
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
from smil_ray.config.reading import config_from_dict, sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.core.batch import Batch
from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.preprocess.job import preprocess
from smil_ray.orchestration.preprocess.plan import PreprocessOptions
from smil_ray.orchestration.synth import synthesize
from smil_ray.orchestration.tune.job import run_sweep
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.sync.metrics import read_metrics
from smil_ray.training.assemble import assemble, open_data
from smil_ray.training.batches.features import with_cached_features
from smil_ray.training.batches.loaders import train_loader
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
ROUNDS = 3
"""How often the two ways to train take turns, so that a busy spell of the machine hits both."""
LIVE_S, CACHED_S = 12.0, 6.0
"""Seconds of a turn, at least."""


class Timed:
    """A training whose steps are timed."""

    def __init__(self, parts: Parts, config: Config) -> None:
        self._device = parts.model.device
        world = World(device=self._device)
        state = TrainingState(parts.regressor, config, world)
        state.start_epoch(0)
        self._stepper = Stepper(state, parts.objective, config)
        self._loader, self._sampler = train_loader(parts, config, world)
        self._batches = self._epochs()
        self._wall = self._cpu = 0.0
        self._samples = 0
        self._step()  # Warm-up.

    def per_sample(self) -> tuple[float, float]:
        """Return the seconds for a sample by the clock, and summed over cores."""
        return self._wall / self._samples, self._cpu / self._samples

    def go_on(self, seconds: float) -> None:
        """Train for this long, at least one step."""
        wall, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - wall < seconds:
            self._samples += self._step()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self._wall += time.perf_counter() - wall
        self._cpu += time.process_time() - cpu

    def _step(self) -> int:
        batch = next(self._batches).to(self._device)
        self._stepper.take([batch], 0.0, 1e-4)
        return len(batch.names)

    def _epochs(self) -> Iterator[Batch]:
        for epoch in itertools.count():
            self._sampler.set_position(epoch)
            yield from self._loader


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
    parser.add_argument("--only", choices=["epochs", "sweep"], help="one of the two sections")
    parser.add_argument("--samples", type=int, default=144, help="of the timed epochs")
    parser.add_argument("--swept", type=int, default=64, help="samples of the sweep")
    parser.add_argument("--epochs", type=int, default=5, help="of the trials of the sweep")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only != "sweep":
            data = make_data(folder / "epochs", arguments.samples)
            write("Cached epochs", measure(data, folder / "cache"))
        if arguments.only != "epochs":
            data = make_data(folder / "sweep", arguments.swept)
            write("Search", sweeps(data, folder, arguments))


def write(title: str, lines: list[str]) -> None:
    """Print a section and write it into the results."""
    start = f"`python benchmarks/search.py`, {machine()}."
    text = "\n".join([f"## {title}", "", start, *lines]) + "\n"
    print(text, flush=True)
    write_section(title, text)


def make_data(folder: Path, samples: int) -> Path:
    """Return an HDF5 file of synthetic insects at the backbone's size."""
    synthesize(folder / "replicant", SynthOptions(samples=samples, image_size=224), num_workers=1)
    output = folder / "data.h5"
    preprocess([folder / "replicant"], output, PreprocessOptions(size=224, num_workers=1))
    return output


def measure(data: Path, cache: Path) -> list[str]:
    """Return the section's lines."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for head, size in itertools.product(HEADS, BATCH_SIZES):
        start = time.perf_counter()
        cached = Timed(*parts_of(settings(data, cache, head, "fp16", size), device))
        build = time.perf_counter() - start
        live = Timed(*parts_of(settings(data, cache, head, "off", size), device))
        for _ in range(ROUNDS):
            live.go_on(LIVE_S)
            cached.go_on(CACHED_S)
        (wall, cpu), (cached_wall, cached_cpu) = live.per_sample(), cached.per_sample()
        rows.append(
            f"| {head} | {size} | {1 / wall:.2f} | {1 / cached_wall:.1f} "
            f"| {wall / cached_wall:.1f} | {cpu / cached_cpu:.1f} | {build:.1f} |"
        )
        print(rows[-1], flush=True)
    return [
        f"{BACKBONE}, frozen, random weights, device {device}; training steps without validation; "
        f"fp16 features. The two ways take turns {ROUNDS} times; means of all steps. The cpu "
        "ratio is of time summed over cores, which other load changes little.",
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
