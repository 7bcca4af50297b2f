"""Soft silhouettes on the CPU: compiled forward and backward of the formula in `silhouette.py`.

Every face visits only the pixels of its bounding box grown by the blur; the number of faces per
pixel is not limited. Pictures are cut into bands of rows (forward) and runs of faces (backward)
of equal work, which threads take in turn, so that one picture keeps every core busy. A pixel
adds its faces in order, and each face's gradient has its own place before they are summed in
order: the result does not depend on the number of threads, bit by bit.
"""

import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from smil_ray.render.camera import MIN_DEPTH
from smil_ray.render.silhouette._kernels import differentiate, draw, find_boxes, gather
from smil_ray.render.silhouette.reference import MIN_DOUBLE_AREA, blur_radius, fractions_to_ndc

_pool: list[ThreadPoolExecutor] = []


def silhouette_cpu(
    xy: Float[Tensor, "batch n_verts 2"],
    depth: Float[Tensor, "batch n_verts"],
    faces: Int[Tensor, "n_faces 3"],
    height: int,
    width: int,
    sigma: float,
) -> Float[Tensor, "batch h w"]:
    """Return silhouettes as `soft_silhouette` does, with `torch.get_num_threads()` threads.

    Double precision inside; the result has the precision and the device of `xy`.
    """
    return _Silhouette.apply(xy, depth, faces, height, width, sigma)  # pyright: ignore[reportReturnType]


class _Silhouette(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, xy: Tensor, depth: Tensor, faces: Tensor, height: int, width: int, sigma: float
    ) -> Tensor:
        # One memory layout, so that the kernels are compiled once.
        points = _as_array(fractions_to_ndc(xy.detach().double(), height, width), np.float64)
        index = _as_array(faces, np.int64)
        z = _as_array(depth, np.float64)
        boxes = np.empty((len(points), len(index), 4), dtype=np.int32)
        clear = np.ones((len(points), height, width))
        bands = _forward_tasks(points, z, index, boxes, clear, sigma)
        _run(bands)
        ctx.saved = (points, index, boxes, clear, sigma)
        ctx.size = (height, width)
        return torch.from_numpy(1.0 - clear).to(xy)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        points, index, boxes, clear, sigma = ctx.saved
        height, width = ctx.size
        upstream = _as_array(grads[0], np.float64)
        # d value / d distance = -clear * p / sigma; p is left to the kernel.
        weights = -upstream * clear / sigma
        per_face = np.zeros((len(points), len(index), 3, 2))
        _run(_backward_tasks(points, index, boxes, weights, per_face, sigma))
        gradient = np.zeros_like(points)
        gather(per_face, index, gradient)
        gradient *= np.array([width, height]) * (2.0 / min(height, width))
        return torch.from_numpy(gradient).to(grads[0]), None, None, None, None, None


def _as_array(values: Tensor, dtype: type) -> np.ndarray:
    # bfloat16 has no numpy counterpart.
    wide = values.double() if values.is_floating_point() else values
    return np.ascontiguousarray(wide.detach().cpu().numpy(), dtype=dtype)


def _forward_tasks(
    points: np.ndarray,
    depth: np.ndarray,
    faces: np.ndarray,
    boxes: np.ndarray,
    clear: np.ndarray,
    sigma: float,
) -> list[Callable[[], None]]:
    """Find every face's box, and cut every picture into bands of rows of equal work."""
    batch, height, width = clear.shape
    settings = _settings(sigma)
    limits = np.array([MIN_DEPTH, MIN_DOUBLE_AREA, math.sqrt(blur_radius(sigma))])
    tasks: list[Callable[[], None]] = []
    for n in range(batch):
        row_work = np.zeros(height, dtype=np.int64)
        find_boxes(points[n], depth[n], faces, limits, width, boxes[n], row_work)
        for first, last in _cut(row_work, batch):
            tasks.append(
                _bind(draw, points[n], faces, boxes[n], (first, last), settings, clear[n])
            )
    return tasks


def _backward_tasks(
    points: np.ndarray,
    faces: np.ndarray,
    boxes: np.ndarray,
    weights: np.ndarray,
    per_face: np.ndarray,
    sigma: float,
) -> list[Callable[[], None]]:
    """Cut the faces of every picture into runs of equal work."""
    settings = _settings(sigma)
    sides = np.maximum(boxes[..., 2:].astype(np.int64) - boxes[..., :2], 0)
    tasks: list[Callable[[], None]] = []
    for n in range(len(points)):
        for first, last in _cut(sides[n].prod(axis=1), len(points)):
            run = (first, last)
            tasks.append(
                _bind(
                    differentiate,
                    points[n],
                    faces,
                    boxes[n],
                    run,
                    settings,
                    weights[n],
                    per_face[n],
                )
            )
    return tasks


def _settings(sigma: float) -> np.ndarray:
    return np.array([sigma, blur_radius(sigma), MIN_DOUBLE_AREA])


def _bind(kernel: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    return lambda: kernel(*arguments)


def _cut(work: np.ndarray, batch: int) -> list[tuple[int, int]]:
    """Return ranges of about equal work: one per picture when the batch fills the threads."""
    total = int(work.sum())
    if total == 0:
        return []
    threads = torch.get_num_threads()
    pieces = 1 if batch >= 2 * threads else 4 * threads
    goals = total * np.arange(1, pieces) / pieces
    edges = [0, *np.searchsorted(np.cumsum(work), goals).tolist(), len(work)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def _run(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks that release the GIL on as many threads as torch may use."""
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            task()
        return
    if not _pool:
        _pool.append(ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="silhouette"))
    queue = iter(tasks)

    def work() -> None:
        # `next` on one iterator is atomic under the GIL: every task is taken once.
        for task in queue:
            task()

    helpers = [_pool[0].submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        helper.result()


if sys.platform != "win32":
    # Threads do not survive a fork; the child makes its own.
    os.register_at_fork(after_in_child=_pool.clear)
