"""Throughput of `predict` without overlays against a bare forward loop over the same batches.

Command:  python benchmarks/prediction.py RUN FOLDER [--batch-size 8] [--rounds 3]
Prints:   the time of both for the pictures of FOLDER, round by round in one process, and the
          median ratios; `predict` reads, cuts, poses and writes tables besides.

The bare loop has its batches in memory before its clock starts, and both are warmed up. The ratio
of processor times counts all threads: it is what a single core would give, and does not depend on
what else the machine does.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from smil_ray.results.prediction.cameras import unknown_camera
from smil_ray.results.prediction.images import find_images
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.views import open_picture
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    loaded = load_regressor(chosen.run)
    paths = find_images([chosen.folder]).paths
    predictor = Predictor.of(loaded)
    batches = _batches(predictor, paths, chosen.batch_size)
    options = PredictOptions(batch_size=chosen.batch_size, overlays=False)
    work = Path(tempfile.mkdtemp())
    walls, processors = [], []
    try:
        for number in range(chosen.rounds + 1):
            bare = _timed(lambda: _bare(predictor, batches))
            out = work / str(number)
            whole = _timed(partial(_predict, loaded, paths, out, options))
            if number == 0:  # Warms up.
                continue
            walls.append(bare[0] / whole[0])
            processors.append(bare[1] / whole[1])
            print(
                f"{len(paths)} pictures: bare loop {len(paths) / bare[0]:.1f}/s, predict "
                f"{len(paths) / whole[0]:.1f}/s, ratio {walls[-1]:.2f}; processor time "
                f"{bare[1]:.1f} s, {whole[1]:.1f} s, ratio {processors[-1]:.2f}"
            )
    finally:
        shutil.rmtree(work)
    print(
        f"median ratio {median(walls):.2f} by the clock, {median(processors):.2f} by processor "
        f"time (threads of torch: {torch.get_num_threads()})"
    )


def _timed(act: Callable[[], object]) -> tuple[float, float]:
    """Return seconds by the clock and of all processors."""
    wall, processor = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - processor


def _predict(
    loaded: LoadedRegressor, paths: list[Path], out: Path, options: PredictOptions
) -> None:
    report = predict_images(loaded, paths, out, boxes="none", options=options)
    assert len(report.done) == len(paths)


def _batches(
    predictor: Predictor, paths: list[Path], size: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    images, cameras = [], []
    for path in paths:
        picture = open_picture(path)
        images.append(picture.cut(picture.whole, predictor.input_size))
        camera = unknown_camera(picture.size_px)
        cameras.append(picture.whole.intrinsics_of_px(camera).astype(np.float32))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    intrinsics = torch.from_numpy(np.stack(cameras))
    return list(zip(pixels.split(size), intrinsics.split(size), strict=True))


@torch.no_grad()
def _bare(predictor: Predictor, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for pixels, intrinsics in batches:
        predictor.regressor(pixels, intrinsics=intrinsics)


if __name__ == "__main__":
    main()
