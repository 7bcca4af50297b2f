"""Does it learn, and what helps? Networks against the mean pose and the nearest training image.

Command:   python benchmarks/learning.py [--only ROW ... | --gpu] [--quick] [--output FOLDER]
Takes:     the first row at most 60 minutes on 2 cores (data, two seeds, one a core); every other
           row (`--only ROW`, `--only all`) at most 25; --gpu, where there is a GPU, the time to
           render 50,000 images on all cores and 8 minutes of training; --quick some minutes,
           which only shows that it works
Expected:  the first row's PA-MPJPE at most 0.72 of the mean pose's, joint rotations 8 % below,
           PCK@0.1 at least 0.85; on a GPU PA-MPJPE at most 0.5 of the mean pose's
Writes:    the section "Learning" of benchmarks/RESULTS.md (not with --quick)

Data: built-in insects in poses as wide as real ones, from above (`EASY_VIEW`), 500 held out, fixed
seeds. Every other row differs in one thing from the reference row, a frozen pretrained backbone
with joint tokens on 3,000 images for four epochs, whose features come from the cache. Two
networks train at a time, one thread each. A row that is done stays in FOLDER and is not repeated.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from _learning.gpu import GPU, gpu_row, measure_speed, with_epochs
from _learning.gpu import verdict as verdict_on_gpu
from _learning.rows import (
    FIRST,
    HELD_OUT,
    PROMPTS,
    RENDERED,
    SIZE,
    VALIDATION,
    Data,
    Row,
    configuration,
    rows,
)
from _learning.table import (
    MEAN_POSE,
    NEAREST,
    Found,
    baselines_file,
    brief,
    known_baselines,
    section,
    slug,
    table,
)
from geometry import machine, write_section

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.results.baselines import MeanPose, NearestNeighbour
from smil_ray.results.evaluate import batches
from smil_ray.training.batches.prompts import some_of
from smil_ray.training.validation.metrics import MetricSums

QUICK = 0.02
BASELINE_SAMPLES = 3000
"""What the baselines learn from, at most."""


def main() -> None:
    """Make the data, train the rows, write the section."""
    parser = argparse.ArgumentParser(description="Does it learn, and what helps?")
    known = rows()
    parser.add_argument(
        "--only", nargs="+", default=[FIRST], choices=[*known, "all"], metavar="ROW"
    )
    parser.add_argument("--gpu", action="store_true", help="only the row that needs a GPU")
    parser.add_argument("--quick", action="store_true", help="few samples; figures mean nothing")
    parser.add_argument("--output", type=Path, help="where data and networks are kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    known = rows(QUICK if arguments.quick else 1.0)
    wanted = list(known) if "all" in arguments.only else arguments.only
    name = "learning_quick" if arguments.quick else "learning"
    folder = (arguments.output or Path("runs") / name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if arguments.gpu:
        learn_on_gpu(folder, gpu_row(QUICK if arguments.quick else 1.0), write=not arguments.quick)
        return
    kinds = dict.fromkeys(known[name].data for name in wanted)
    # As many as any row wants, so that rows that are trained later find the same file.
    data = {kind: max(row.samples for row in known.values() if row.data == kind) for kind in kinds}
    for kind, samples in data.items():
        make_data(folder, kind, samples)
        print(f"{time.perf_counter() - began:6.0f} s  data {kind.name}: {samples}", flush=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for kind in data:
            pool.submit(baselines, folder, kind).result()
        pending = [
            (f"{name}, seed {seed}", pool.submit(learn, folder, name, known[name], seed))
            for name in wanted
            for seed in known[name].seeds
        ]
        for label, future in pending:
            found = future.result()
            taken = time.perf_counter() - began
            print(f"{taken:6.0f} s  {label}: {brief(found.figures)}", flush=True)
    text = section(folder, known, time.perf_counter() - began, wanted)
    print(text)
    if not arguments.quick:
        write_section("Learning", text)


def learn_on_gpu(folder: Path, row: Row, *, write: bool) -> None:
    """Make the data, find how many epochs fit, train, and write the section of the GPU."""
    began = time.perf_counter()
    make_data(folder, row.data, row.samples)
    rendered = time.perf_counter() - began
    print(f"{rendered:6.0f} s  data: {row.samples} images", flush=True)
    baselines(folder, row.data)
    speed = measure_speed(row, data_file(folder, row.data, "train"), folder / "runs")
    row = with_epochs(row, speed)
    print(f"{time.perf_counter() - began:6.0f} s  {speed}; {row.epochs} epochs", flush=True)
    found = learn(folder, GPU, row, 0)
    mean = known_baselines(folder, row.data)[MEAN_POSE]
    name = "pa_mpjpe_pct_bl"
    lines = [
        "## Learning on a GPU",
        "",
        f"`python benchmarks/learning.py --gpu`, {machine()}; {row.samples} images rendered in "
        f"{rendered:.0f} s, {row.epochs} epochs in {found.seconds:.0f} s; {speed}.",
        verdict_on_gpu(found.figures[name] / mean.figures[name]),
        "",
        *table({MEAN_POSE: mean, GPU: found}),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if write and torch.cuda.is_available():
        write_section("Learning on a GPU", text)


def make_data(folder: Path, kind: Data, samples: int) -> None:
    """Make the HDF5 files of a data set, training and held out, where they are not there yet."""
    from smil_ray.data.synthetic.samples import EASY_VIEW, SynthOptions
    from smil_ray.orchestration.preprocess.job import preprocess
    from smil_ray.orchestration.preprocess.plan import PreprocessOptions
    from smil_ray.orchestration.synth import synthesize

    # Some are set aside for validation, a few are dropped.
    drawn = math.ceil(samples / (0.99 - VALIDATION))
    view: dict[str, Any] = EASY_VIEW | {"image_size": RENDERED}
    for part, count, seed in (("train", drawn, 1), ("held_out", HELD_OUT, 2)):
        file = data_file(folder, kind, part)
        if file.exists():
            continue
        pictures = folder / f"{kind.name}_{part}"
        options = SynthOptions(
            samples=count, seed=seed, name=part, pose_range=kind.pose_range, **view
        )
        synthesize(pictures, options)
        crop = CropConfig(mode=kind.crop)
        preprocess([pictures], file, PreprocessOptions(size=SIZE, crop=crop, resume=True))


def data_file(folder: Path, kind: Data, part: str) -> Path:
    """Return the file of a data set's `train` or `held_out` part."""
    return folder / f"{kind.name}_{part}.h5"


def learn(folder: Path, name: str, row: Row, seed: int) -> Found:
    """Return the held-out figures of one training; trains it, or goes on with its training."""
    from smil_ray.orchestration.train.job import run_training
    from smil_ray.orchestration.train.resume import choose_start
    from smil_ray.training.checkpoint.loading import load_regressor

    torch.set_num_threads(1)
    record = folder / f"{slug(name)}_{seed}.json"
    if record.exists():
        return Found(**json.loads(record.read_text()))
    runs = folder / "runs"
    config = configuration(row, seed, str(data_file(folder, row.data, "train")), str(runs))
    config = config.model_copy(
        update={"run": config.run.model_copy(update={"name": f"{slug(name)}_{seed}"})}
    )
    start = choose_start(config)
    began = time.perf_counter()
    outcome = run_training(config, execution="inline", resume=start.resume)
    seconds = time.perf_counter() - began
    # The last network, not the best of the few validation samples: nothing is chosen by luck.
    loaded = load_regressor(outcome.last_checkpoint or outcome.run_dir.path)

    def predict(batch: Batch) -> SmilParams:
        with torch.inference_mode():
            return loaded.regressor(batch.image, intrinsics=batch.intrinsics)

    held_out = data_file(folder, row.data, "held_out")
    figures = measure(predict, held_out)
    if loaded.regressor.takes_prompts:

        def told(batch: Batch) -> SmilParams:
            with torch.inference_mode():
                prompts = some_joints(batch, PROMPTS)
                return loaded.regressor(batch.image, intrinsics=batch.intrinsics, prompts=prompts)

        figures |= {f"told/{name}": value for name, value in measure(told, held_out).items()}
    record.write_text(json.dumps({"figures": figures, "seconds": seconds}))
    return Found(figures, seconds)


def some_joints(batch: Batch, count: int) -> torch.Tensor:
    """Return the true places of `count` random seen joints of each sample, NaN for the others."""
    seen = batch.keypoint_visibility & batch.keypoint_presence
    generator = torch.Generator().manual_seed(sum(map(ord, batch.names[0])))
    chosen = some_of(seen, count, generator)
    return torch.where(chosen[..., None], batch.keypoints_2d, torch.nan)


def baselines(folder: Path, kind: Data) -> dict[str, Found]:
    """Return the figures of the mean pose and of the nearest training image by pixels."""
    record = baselines_file(folder, kind)
    if not record.exists():
        torch.set_num_threads(1)
        data = SmilDataset.from_path(data_file(folder, kind, "train"), input_size=SIZE)
        seen = batches(data, range(min(len(data), BASELINE_SAMPLES)), "camera", 64)
        held_out = data_file(folder, kind, "held_out")
        found = {
            MEAN_POSE: measure(MeanPose.of(seen), held_out),
            NEAREST: measure(NearestNeighbour.of(seen), held_out),
        }
        record.write_text(json.dumps(found))
    return known_baselines(folder, kind)


def measure(predict: Callable[[Batch], SmilParams], held_out: Path) -> dict[str, float]:
    """Return the figures of a predictor over all held-out samples."""
    model = SmilModel.builtin()
    data = SmilDataset.from_path(held_out, input_size=SIZE)
    sums = MetricSums(model.skeleton, SIZE)
    for batch in batches(data, range(len(data)), "camera", 32):
        sums.add(predict(batch), batch, model)
    return sums.compute()


if __name__ == "__main__":
    main()
