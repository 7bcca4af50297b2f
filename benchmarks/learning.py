"""Does it learn, and what helps? Networks against the mean pose and the nearest training image.

Command:   python benchmarks/learning.py [--quick] [--output FOLDER]
Takes:     about 40 minutes on 2 cores; --quick two minutes, which only shows that it works
Expected:  with 3,000 samples the root-aligned MPJPE is at most half the mean pose's
Writes:    the section "Learning" of benchmarks/RESULTS.md (not with --quick)

Data: synthetic insects of the builtin model, 3,000 for training and 500 held out, fixed seeds.
Every network is the same (test_resnet from scratch, MLP head) unless its row says otherwise. The
learning curve has long trainings; what helps and what does not is asked of short ones, each of
which differs in one thing from the first of them. Two networks train at a time, one thread each. A
row that is done stays in FOLDER and is not done again.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from geometry import machine, write_section

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict, merge
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.render.camera import Camera
from smil_ray.render.rasterize import hard_mask
from smil_ray.results.baselines import MeanPose, NearestNeighbour
from smil_ray.results.evaluate import batches
from smil_ray.training.validation.metrics import MetricSums

SIZE, BATCH = 96, 8
FIGURES = ("mpjpe_ra_pct_bl", "pa_mpjpe_pct_bl", "mpjpe_pct_bl", "pck@0.10_bbox", "iou")
SEED_WEIGHTS = {
    "global_rot": 0.001,
    "joint_rot": 0.001,
    "betas": 0.001,
    "trans": 0.0005,
    "fov": 0.001,
    "keypoint_2d": 0.02,
    "keypoint_3d": 0.05,
}
"""Weights of the last stage of configs/seed_baseline.yaml, raw formulas."""


@dataclass(frozen=True)
class Scale:
    """How much is done: samples for training and held out, steps of long and short trainings."""

    train: int
    held_out: int
    steps: int
    short: int


class Row(NamedTuple):
    """A network: training samples, steps, settings that differ from the first row's."""

    samples: int
    steps: int
    changes: dict[str, Any]


FULL, QUICK = Scale(3000, 500, 11_000, 3_500), Scale(120, 40, 60, 40)
BEST = "camera frame"


def variants(scale: Scale) -> dict[str, Row]:
    """Return the networks by their names in the table."""
    decoder = {"type": "transformer_decoder", "depth": 2, "iterations": 2}
    short: dict[str, dict[str, Any]] = {
        "short training": {},
        "short, root frame": {"model": {"reference_frame": "root"}},
        "short, with silhouette": {"loss": {"base_weights": {"silhouette": 1.0}}},
        "short, transformer decoder": {"model": {"head": decoder}},
        "short, the seed's weights and formulas": {
            "loss": {"normalise": False, "base_weights": SEED_WEIGHTS}
        },
        "short, without augmentation": {"data": {"augment": {"enabled": False}}},
    }
    return {
        BEST: Row(scale.train, scale.steps, {}),
        "camera frame, half the samples": Row(scale.train // 2, scale.steps, {}),
        "camera frame, a quarter": Row(scale.train // 4, scale.steps, {}),
        **{name: Row(scale.train, scale.short, changes) for name, changes in short.items()},
    }


def main() -> None:
    """Make the data, train every row, write the section."""
    parser = argparse.ArgumentParser(description="Does it learn, and what helps?")
    parser.add_argument("--quick", action="store_true", help="two minutes; figures mean nothing")
    parser.add_argument("--output", type=Path, help="where data and networks are kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    name = "learning_quick" if arguments.quick else "learning"
    folder = (arguments.output or Path("runs") / name).absolute()
    began = time.perf_counter()
    train = make_data(folder, "train", scale.train, seed=1)
    held_out = make_data(folder, "held_out", scale.held_out, seed=2)
    found = baselines(train, held_out)
    for name, figures in found.items():
        print(f"{name}: {brief(figures)}", flush=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        pending = {
            row: pool.submit(learn, folder, row, scale, train, held_out) for row in variants(scale)
        }
        for row, future in pending.items():
            found[row] = future.result()
            print(f"{time.perf_counter() - began:6.0f} s  {row}: {brief(found[row])}", flush=True)
    text = section(found, scale, time.perf_counter() - began)
    print(text)
    if not arguments.quick:
        write_section("Learning", text)


def make_data(folder: Path, name: str, samples: int, seed: int) -> Path:
    """Return the HDF5 file of so many synthetic insects; made once."""
    from smil_ray.data.synthetic.samples import EASY_VIEW, SynthOptions
    from smil_ray.orchestration.preprocess.job import preprocess
    from smil_ray.orchestration.preprocess.plan import PreprocessOptions
    from smil_ray.orchestration.synth import synthesize

    file = folder / f"{name}.h5"
    if not file.exists():
        synthesize(folder / name, SynthOptions(samples=samples, seed=seed, name=name, **EASY_VIEW))
        preprocess([folder / name], file, PreprocessOptions(size=SIZE))
    return file


def configuration(folder: Path, row: str, scale: Scale, data: Path) -> Config:
    """Return the configuration of one row; epochs follow from steps and samples."""
    samples, steps, changes = variants(scale)[row]
    base = {
        "data": {
            "path": str(data),
            "batch_size": BATCH,
            "val_fraction": 0.02 if samples > 1000 else 0.1,
            "test_fraction": 0.0,
            "augment": {"enabled": True, "rotate_deg": 30},
        },
        "model": {
            "backbone": {"name": "test_resnet", "input_size": SIZE},
            "head": {"type": "mlp", "dropout": 0.0},
        },
        "optim": {"learning_rate": 2e-3, "ema_decay": 0.999 if steps > 1000 else 0.9},
        "train": {
            "epochs": max(1, round(steps * BATCH / samples)),
            "select_metric": "val/mpjpe_ra_pct_bl",
            "checkpoint_every_epochs": 5,
            "overlay_samples": 0,
            "plots": False,
        },
        "run": {
            "output_dir": str(folder / "runs"),
            "name": row.replace(" ", "_"),
            "use_gpu": "no",
        },
        "tracking": {"enabled": False},
    }
    if "silhouette" in row:
        base["loss"] = {"base_weights": dict(config_from_dict({}).loss.base_weights)}
    limit = {"data": {"limit": samples}}
    return config_from_dict(merge(merge(base, limit), changes))


def learn(folder: Path, row: str, scale: Scale, train: Path, held_out: Path) -> dict[str, float]:
    """Return the held-out figures of one row; trains it, or goes on with its training."""
    from smil_ray.orchestration.train.job import run_training
    from smil_ray.orchestration.train.resume import choose_start
    from smil_ray.training.checkpoint.loading import load_regressor

    torch.set_num_threads(1)
    record = folder / f"{row.replace(' ', '_')}.json"
    if record.exists():
        return json.loads(record.read_text())
    config = configuration(folder, row, scale, train)
    start = choose_start(config)
    began = time.perf_counter()
    outcome = run_training(config, execution="inline", resume=start.resume)
    seconds = time.perf_counter() - began
    # The last network, not the best of the few validation samples: nothing is chosen by luck.
    loaded = load_regressor(outcome.last_checkpoint or outcome.run_dir.path)

    def predict(batch: Batch) -> SmilParams:
        with torch.inference_mode():
            return loaded.regressor(batch.image, intrinsics=batch.intrinsics)

    figures = measure(predict, held_out, config.model.reference_frame)
    steps = outcome.run_dir.status()["step"]
    record.write_text(json.dumps(figures | {"seconds": seconds, "steps": steps}))
    return json.loads(record.read_text())


def baselines(train: Path, held_out: Path) -> dict[str, dict[str, float]]:
    """Return the figures of the mean pose and of the nearest training image by pixels."""
    data = SmilDataset.from_path(train, input_size=SIZE)
    found = batches(data, range(len(data)), "camera", 64)
    return {
        "mean pose": measure(MeanPose.of(found), held_out, "camera"),
        "nearest neighbour": measure(NearestNeighbour.of(found), held_out, "camera"),
    }


def measure(
    predict: Callable[[Batch], SmilParams], held_out: Path, frame: str
) -> dict[str, float]:
    """Return the figures of a predictor over all held-out samples."""
    model = SmilModel.builtin()
    data = SmilDataset.from_path(held_out, input_size=SIZE, reference_frame=frame)
    sums, ious = MetricSums(model.skeleton, SIZE), []
    for batch in batches(data, range(len(data)), frame, 32):
        params = predict(batch)
        sums.add(params, batch, model)
        ious += silhouette_ious(params, batch, model)
    return sums.compute() | {"iou": float(np.mean(ious)) if ious else float("nan")}


def silhouette_ious(params: SmilParams, batch: Batch, model: SmilModel) -> list[float]:
    """Return intersection over union of predicted bodies and the data's masks."""
    if batch.mask is None:
        return []
    vertices = model.pose(params).skin()
    xy, depth = Camera.from_params(params, batch.intrinsics).project(vertices)
    found = []
    for i in range(batch.size):
        if not batch.presence["mask"][i]:
            continue
        true = batch.mask[i, 0].numpy() > 0
        height, width = true.shape
        pixels = xy[i].double().numpy() * (width, height)
        body = hard_mask(pixels, depth[i].double().numpy(), model.faces.numpy(), height, width)
        found.append(float((body & true).sum() / max(1, (body | true).sum())))
    return found


def brief(figures: Mapping[str, float]) -> str:
    """Return the headline figures in one line."""
    return " ".join(f"{name} {figures[name]:.3g}" for name in FIGURES if name in figures)


def section(found: Mapping[str, Mapping[str, float]], scale: Scale, seconds: float) -> str:
    """Return the section of the results."""
    ours, mean = found[BEST], found["mean pose"]
    ratio = ours["mpjpe_ra_pct_bl"] / mean["mpjpe_ra_pct_bl"]
    lines = [
        "## Learning",
        "",
        f"`python benchmarks/learning.py`, {machine()}; {seconds / 60:.0f} minutes.",
        f"{scale.train} training and {scale.held_out} held-out synthetic samples at {SIZE} px, "
        f"batches of {BATCH}; last checkpoint, running mean.",
        f"Root-aligned MPJPE of the first network over the mean pose's: {ratio:.2f} "
        f"(bar 0.50: {'met' if ratio <= 0.5 else 'missed'}).",
        "",
        "| predictor | samples | steps | root-aligned MPJPE % | PA-MPJPE % | MPJPE % | PCK@0.1 "
        "| IoU | root rotation deg | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row, figures in found.items():
        known = variants(scale).get(row)
        samples = scale.train if known is None else known.samples
        steps = "-" if known is None else f"{figures['steps']:.0f}"
        cells = [f"{figures[name]:.3g}" for name in FIGURES]
        taken = f"{figures['seconds']:.0f}" if "seconds" in figures else "-"
        turn = f"{figures['rot_deg_global']:.1f}"
        shown = " | ".join([row, str(samples), steps, *cells, turn, taken])
        lines.append(f"| {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
