"""How fast are silhouettes and the body model, against pytorch3d, in one run on one machine?

Command:   python benchmarks/geometry.py [--real-data FOLDER]
Takes:     about three minutes on 2 cores, nearly all of it pytorch3d
Expected:  CPU silhouette forward + backward at least 100 times pytorch3d's CPU rasteriser; body
           model at batch 32 at least 3 times the straightforward algorithm, 20 times for joints
Writes:    the section "Geometry" of benchmarks/RESULTS.md, with machine and commit
"""

import argparse
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from _plain_body import PlainBody
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.params import SmilParams
from smil_ray.render.camera import Camera
from smil_ray.render.silhouette.soft import soft_silhouette

RESULTS = Path(__file__).with_name("RESULTS.md")
FOV_DEG = 30.0


class Times(NamedTuple):
    """Milliseconds by the clock, and summed over cores, which other processes hardly change."""

    wall: float
    cpu: float


def main() -> None:
    """Measure everything and write the section."""
    parser = argparse.ArgumentParser(description="Time silhouettes and body model.")
    default = os.environ.get("SMIL_RAY_REAL_DATA", Path(__file__).parents[2] / "shared")
    parser.add_argument("--real-data", type=Path, default=Path(default))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    models = [SmilModel.builtin()]
    stick = arguments.real_data / "models" / "SMILy_STICK.pkl"
    if stick.is_file():
        models.insert(0, SmilModel.load(stick))
    else:
        print(f"{stick} is not there: only the builtin model is measured")
    lines = [
        "## Geometry",
        "",
        f"`python benchmarks/geometry.py`, {machine()}; {arguments.threads} threads unless said.",
        "Shortest of many; (cpu) is time summed over cores, which other load changes little.",
        "With a load average over 1 at the start, clock times and the thread table mean little.",
        "",
        *silhouettes_against_pytorch3d(models, arguments.threads),
        "",
        *silhouettes_by_threads(models),
        "",
        *body_model(models, arguments.threads),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    write_section("Geometry", text)


def silhouettes_against_pytorch3d(models: list[SmilModel], threads: int) -> list[str]:
    """Time forward + backward of both renderers on the same posed animals."""
    torch.set_num_threads(threads)
    rows = [
        "Soft silhouette, forward + backward on the CPU, against pytorch3d (100 faces per pixel):",
        "",
        "| model | faces | pictures | px | smil_ray ms (cpu) | pytorch3d ms (cpu) | ratio "
        "| cpu ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in models:
        for batch, size in ((1, 64), (4, 64), (1, 224)):
            ours = silhouette_ms(model, batch, size, "cpu")
            theirs = silhouette_ms(model, batch, size, "pytorch3d", at_most=3)
            rows.append(
                f"| {model.name} | {len(model.faces)} | {batch} | {size} "
                f"| {ours.wall:.2f} ({ours.cpu:.2f}) | {theirs.wall:.0f} ({theirs.cpu:.0f}) "
                f"| {theirs.wall / ours.wall:.0f} | {theirs.cpu / ours.cpu:.0f} |"
            )
            print(rows[-1], flush=True)
    return rows


def silhouettes_by_threads(models: list[SmilModel]) -> list[str]:
    """Time the compiled kernel on one thread and on two."""
    rows = [
        "Soft silhouette, forward + backward, by threads (the same bits come out):",
        "",
        "| model | pictures | px | 1 thread ms | 2 threads ms | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for model in models:
        for batch, size in ((1, 64), (4, 64), (1, 224), (4, 224)):
            times = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                times.append(silhouette_ms(model, batch, size, "cpu"))
            one, two = times
            rows.append(
                f"| {model.name} | {batch} | {size} | {one.wall:.2f} | {two.wall:.2f} "
                f"| {one.wall / two.wall:.2f} |"
            )
    return rows


def body_model(models: list[SmilModel], threads: int) -> list[str]:
    """Time blend shapes, kinematics and skinning, with and without vertices."""
    rows = [
        "Body model, ms, scales and translations on; *joints* never touches vertices; *plain* is "
        "`_plain_body.py`,",
        "the straightforward algorithm, which has no joints without vertices; ratios are plain / "
        "ours.",
        "One thread is what a data loader or a trial has, and what other load disturbs least:",
        "",
        "| model | threads | batch | pass | joints | vertices | plain | ratio joints "
        "| ratio vertices |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for model in models:
        plain = PlainBody.of(model)
        error = difference(model, plain)
        for count, batch in ((1, 1), (1, 8), (1, 32), (threads, 32)):
            torch.set_num_threads(count)
            for gradient in (False, True):
                joints, vertices, theirs = body_times(model, plain, batch, gradient=gradient)
                rows.append(
                    f"| {model.name} | {count} | {batch} "
                    f"| {'forward + backward' if gradient else 'forward'} "
                    f"| {joints:.2f} | {vertices:.2f} | {theirs:.2f} "
                    f"| {theirs / joints:.1f} | {theirs / vertices:.1f} |"
                )
                print(rows[-1], flush=True)
        rows.append(f"| | | | both agree to {error:.0e} model units | | | | | |")
    return rows


def body_times(
    model: SmilModel, plain: PlainBody, batch: int, *, gradient: bool
) -> tuple[float, float, float]:
    """Return ms of our joints, our vertices, and the plain algorithm's both."""
    steps: list[Callable[[SmilParams], Tensor]] = [
        lambda params: model.pose(params).joints,
        lambda params: model.pose(params).skin(),
        lambda params: torch.cat(plain.pose(params), dim=1),
    ]
    joints, vertices, theirs = (
        best_ms(partial(pose, step, model, batch, gradient=gradient), at_most=1000).wall
        for step in steps
    )
    return joints, vertices, theirs


def difference(model: SmilModel, plain: PlainBody) -> float:
    """Return the largest distance between both algorithms' vertices, model units."""
    with torch.no_grad():
        params = random_params(model, 4)
        return float((model.pose(params).skin() - plain.pose(params)[0]).abs().max())


def silhouette_ms(
    model: SmilModel, batch: int, size: int, backend: str, at_most: int = 200
) -> Times:
    """Return the shortest time of one forward + backward, first call left out."""
    xy, depth = seen_from_front(model, batch)

    def step() -> None:
        points = xy.clone().requires_grad_()
        soft_silhouette(points, depth, model.faces, size, size, backend=backend).mean().backward()

    return best_ms(step, at_most)


def seen_from_front(model: SmilModel, batch: int) -> tuple[Tensor, Tensor]:
    """Return xy and depth of posed animals that fill about two thirds of the picture."""
    with torch.no_grad():
        vertices = model.pose(random_params(model, batch)).skin()
        middle = (vertices.amax(1) + vertices.amin(1)) / 2
        extent = (vertices.amax(1) - vertices.amin(1)).amax(1)
        distance = extent / (2 * 0.66 * torch.tan(torch.deg2rad(torch.tensor(FOV_DEG / 2))))
        away = torch.stack([torch.zeros(batch), torch.zeros(batch), distance], dim=1)
        camera = Camera.from_fov(FOV_DEG, torch.eye(3), away - middle)
        return camera.project(vertices)


def random_params(model: SmilModel, batch: int) -> SmilParams:
    """Return gently bent animals, the same in every run."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, scale: float) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    return SmilParams(
        global_rot=normal(batch, 3, scale=1.0),
        joint_rot=normal(batch, model.n_joints - 1, 3, scale=0.15),
        betas=normal(batch, model.n_betas, scale=0.3),
        trans=torch.zeros(batch, 3),
        fov=torch.full((batch, 1), FOV_DEG),
        cam_rot=torch.eye(3).expand(batch, 3, 3),
        cam_trans=torch.zeros(batch, 3),
        log_beta_scales=normal(batch, model.n_joints, 3, scale=0.05),
        betas_trans=normal(batch, model.n_joints, 3, scale=0.005),
    )


def pose(
    step: Callable[[SmilParams], Tensor], model: SmilModel, batch: int, *, gradient: bool
) -> None:
    """Run a body model once, with or without the backward pass."""
    params = random_params(model, batch)
    if gradient:
        moving = ("global_rot", "joint_rot", "betas", "log_beta_scales", "betas_trans")
        leaves = {name: getattr(params, name).requires_grad_() for name in moving}
        step(replace(params, **leaves)).square().sum().backward()
    else:
        with torch.no_grad():
            step(params)


def best_ms(step: Callable[[], None], at_most: int = 200, seconds: float = 2.0) -> Times:
    """Return the shortest durations within `seconds`, after one call that warms up."""
    wall: list[float] = []
    cpu: list[float] = []
    first = _timed(step)
    while len(wall) < at_most and (not wall or sum(wall) < seconds) and first[0] < 60:
        once = _timed(step)
        wall.append(once[0])
        cpu.append(once[1])
    if not wall:
        return Times(1000 * first[0], 1000 * first[1])
    return Times(1000 * min(wall), 1000 * min(cpu))


def _timed(step: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def machine() -> str:
    """Return processor, cores, versions, commit and load in one line."""
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        found = re.search(r"model name\s*: (.*)", information.read_text())
        cpu = found[1] if found else cpu
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=RESULTS.parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return (
        f"{cpu}, {os.cpu_count()} cores, torch {torch.__version__}, commit {commit or 'unknown'}, "
        f"load average {os.getloadavg()[0]:.1f} at the start"
    )


def write_section(title: str, text: str) -> None:
    """Replace the section `## title` of the results where it stands, or append it."""
    old = RESULTS.read_text() if RESULTS.is_file() else "# Benchmark results\n"
    found = re.search(rf"^## {title}\n.*?(?=^## |\Z)", old, flags=re.DOTALL | re.MULTILINE)
    before, after = (old[: found.start()], old[found.end() :]) if found else (old, "")
    parts = (part.strip("\n") for part in (before, text, after))
    RESULTS.write_text("\n\n".join(part for part in parts if part) + "\n")


if __name__ == "__main__":
    main()
