"""How much of a training step is training? Waiting for data, overhead of the loop, peak memory.

Command:   python benchmarks/training.py [--data FILE.h5]
Takes:     about four minutes on 2 cores
Expected:  with a loader process, below 5 % of a step waiting for data; the loop takes less than
           10 % on top of forward and backward of the same network on the same batch
Writes:    the section "Training" of benchmarks/RESULTS.md

Each row is a process of its own, so that peak memory is its own. Bare steps and steps of the loop
are taken in turn, in the same process, because other load on the machine changes both.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from geometry import machine, write_section

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict
from smil_ray.training.assemble import assemble, open_data
from smil_ray.training.batches.loaders import train_loader
from smil_ray.training.loop import fit, reproducible
from smil_ray.training.parts import Parts
from smil_ray.training.reports import Hooks
from smil_ray.training.state import TrainingState
from smil_ray.training.step import Stepper, forward
from smil_ray.training.world import World

SAMPLES, SIZE, BATCH = 400, 96, 8
PAIRS, WARM_UP = 60, 5
CASES = [
    ("test_resnet", "mlp", "cpu"),
    ("test_resnet", "transformer_decoder", "cpu"),
    ("mobilenetv3_small_050", "mlp", "cpu"),
    ("resnet50", "transformer_decoder", "cuda"),
    ("vit_base_patch16_224", "transformer_decoder", "cuda"),
]


def main() -> None:
    """Measure every case and write the section."""
    parser = argparse.ArgumentParser(description="Share of a training step that is training.")
    parser.add_argument("--data", type=Path, help="HDF5 file; default: synthetic samples")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(measure(arguments.data, *arguments.case.split())))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or make_data(Path(folder))
        rows = [row(data, *case) for case in CASES]
    lines = [
        "## Training",
        "",
        f"`python benchmarks/training.py`, {machine()}; 1 thread, batch {BATCH}, {SIZE} px",
        "(on a GPU: the backbone's own size, and data enlarged to it).",
        "Overhead: a step of the loop (seed, loss figures, clipping, AdamW) over forward and",
        "backward alone, median of pairs taken in turn. Wait: share of an epoch without a batch.",
        "",
        "| backbone | head | device | bare ms | step ms | overhead | bar 10 % "
        "| wait, no loader process | wait, 1 loader process | bar 5 % | samples/s | peak GiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    write_section("Training", text)


def make_data(folder: Path) -> Path:
    """Return an HDF5 file of synthetic samples."""
    from smil_ray.data.synthetic.samples import SynthOptions
    from smil_ray.orchestration.preprocess.job import preprocess
    from smil_ray.orchestration.preprocess.plan import PreprocessOptions
    from smil_ray.orchestration.synth import synthesize

    options = SynthOptions(samples=SAMPLES, image_size=192, name="bench")
    synthesize(folder / "replicant", options)
    preprocess([folder / "replicant"], folder / "data.h5", PreprocessOptions(size=SIZE))
    return folder / "data.h5"


def row(data: Path, backbone: str, head: str, device: str) -> str:
    """Return one line of the table."""
    if device == "cuda" and not torch.cuda.is_available():
        return f"| {backbone} | {head} | {device} |" + " not measured |" * 9
    command = [sys.executable, __file__, "--data", str(data)]
    done = subprocess.run(
        [*command, "--case", f"{backbone} {head} {device}"], check=True, capture_output=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return (
        f"| {backbone} | {head} | {device} | {found['bare_ms']:.1f} | {found['step_ms']:.1f} "
        f"| {found['overhead']:.1%} | {verdict(found['overhead'], 0.10)} | {found['wait_0']:.1%} "
        f"| {found['wait_1']:.1%} | {verdict(found['wait_1'], 0.05)} "
        f"| {found['samples_per_s']:.0f} | {found['peak_gib']:.2f} |"
    )


def verdict(value: float, bar: float) -> str:
    """Return whether a share is below its bar."""
    return "met" if value < bar else "missed"


def measure(data: Path, backbone: str, head: str, device: str) -> dict[str, float]:
    """Return the figures of one network."""
    torch.set_num_threads(1)
    model = SmilModel.builtin()
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (0, 1):
            config = configuration(data, backbone, head, device, workers)
            parts = assemble(config, open_data(config, model), model, device)
            if workers == 0:
                found |= overhead(parts, config, device)
            epochs: list[dict[str, float]] = []
            run = Path(folder) / str(workers)
            run.mkdir()
            hooks = Hooks(report=lambda report, epochs=epochs: epochs.append(report.metrics))
            fit(parts, config, folder=run, hooks=hooks, world=World(device=torch.device(device)))
            # The first epoch has start-up in it.
            found[f"wait_{workers}"] = epochs[-1]["train/epoch/data_wait_share"]
            found["samples_per_s"] = epochs[-1]["train/epoch/samples_per_s"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
    return found | {"peak_gib": peak}


def configuration(data: Path, backbone: str, head: str, device: str, workers: int) -> Config:
    """Return the configuration of one network."""
    values: dict[str, Any] = {
        "data": {"path": str(data), "batch_size": BATCH, "loader_workers": workers},
        "model": {"backbone": {"name": backbone}, "head": {"type": head}},
        "train": {"epochs": 2, "overlay_samples": 0, "deterministic": device == "cpu"},
        "loss": {"base_weights": {"global_rot": 1.0, "keypoint_2d": 30.0, "keypoint_3d": 30.0}},
    }
    if device == "cpu":
        values["model"]["backbone"]["input_size"] = SIZE
    return config_from_dict(values)


def overhead(
    parts: Parts, config: Config, device: str, pairs_timed: int = PAIRS
) -> dict[str, float]:
    """Return milliseconds of bare steps and of the loop's, and the median of their ratios."""
    world = World(device=torch.device(device))
    state = TrainingState(parts.regressor, config, world)
    stepper = Stepper(state, parts.objective, config)
    loader, sampler = train_loader(parts, config, world)
    sampler.set_position(0)
    batch = next(iter(loader)).to(world.device)
    state.start_epoch(0)
    pairs = []
    with reproducible(config.train.deterministic, world.device):
        for number in range(WARM_UP + pairs_timed):
            times = {}
            for kind in ("bare", "step") if number % 2 else ("step", "bare"):
                start = time.perf_counter()
                if kind == "step":
                    stepper.take([batch], 0.0, 1e-6)
                else:
                    (params,) = forward(state, state.network, batch)
                    parts.objective(params, batch, 0.0).total.backward()
                    state.optimizer.zero_grad(set_to_none=True)
                if device == "cuda":
                    torch.cuda.synchronize()
                times[kind] = time.perf_counter() - start
            pairs.append(times)
    pairs = pairs[WARM_UP:]
    return {
        "bare_ms": 1e3 * statistics.median(pair["bare"] for pair in pairs),
        "step_ms": 1e3 * statistics.median(pair["step"] for pair in pairs),
        "overhead": statistics.median(pair["step"] / pair["bare"] for pair in pairs) - 1.0,
    }


if __name__ == "__main__":
    main()
