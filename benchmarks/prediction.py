"""Throughput of `predict` without overlays against a bare forward loop over the same batches.

Command:  python benchmarks/prediction.py RUN FOLDER [--batch-size 8] [--rounds 3]
Prints:   the time of both for the pictures of FOLDER, round by round in one process, and the
          median ratio; `predict` reads, cuts, poses and writes tables besides.

The bare loop has its batches in memory before its clock starts. Each is preceded by a call that
warms caches.
"""

import argparse
import shutil
import tempfile
import time
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
from smil_ray.training.checkpoint.loading import load_regressor


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
    _bare(predictor, batches[:2])
    ratios, work = [], Path(tempfile.mkdtemp())
    try:
        for number in range(chosen.rounds):
            start = time.perf_counter()
            _bare(predictor, batches)
            bare = time.perf_counter() - start
            start = time.perf_counter()
            out = work / str(number)
            report = predict_images(loaded, paths, out, boxes="none", options=options)
            whole = time.perf_counter() - start
            assert len(report.done) == len(paths)
            ratios.append(bare / whole)
            print(
                f"{len(paths)} pictures: bare loop {len(paths) / bare:.1f}/s, predict "
                f"{len(paths) / whole:.1f}/s, ratio {ratios[-1]:.2f}"
            )
    finally:
        shutil.rmtree(work)
    print(f"median ratio {median(ratios):.2f} (threads of torch: {torch.get_num_threads()})")


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
