"""Blender shows an exported animal where the project's own rasteriser has it."""

import os
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from smil_ray.export import glb
from smil_ray.export.animation import Animation
from smil_ray.render.rasterize import hard_mask, project_to_pixels
from tests.export.moving import camera_vertices, moving

ROOT = Path(__file__).parents[2]
SCALE = 2
"""Pixels of a render for one of the picture, along each side."""


def rendered_alpha(glb_file: Path, picture: Path, folder: Path) -> list[np.ndarray]:
    """Return the opacity of each frame that Blender renders."""
    blender = shutil.which("blender")
    if blender is None:
        pytest.skip("blender is not on PATH")
    scripts = (ROOT / "docs/blender_backdrop.py", Path(__file__).with_name("blender_render.py"))
    command = [blender, "--background", "--python-exit-code", "1"]
    for script in scripts:
        command += ["--python", str(script)]
    command += ["--", str(glb_file), str(picture)]
    where = {**os.environ, "RENDERS": str(folder)}
    done = subprocess.run(
        command, env=where, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    files = sorted(folder.glob("*.png"), key=lambda path: int(path.stem))
    return [np.asarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED))[..., 3] for file in files]


def silhouettes(animation: Animation) -> list[np.ndarray]:
    width, height = animation.size_px
    intrinsics = animation.camera_px / np.array([width, height, width, height])
    faces = animation.model.faces.numpy()
    size = SCALE * height, SCALE * width
    return [
        hard_mask(*project_to_pixels(vertices, camera, *size), faces, *size)
        for vertices, camera in zip(camera_vertices(animation), intrinsics, strict=True)
    ]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.slow
@pytest.mark.parametrize("propagate", [True, False])
def test_render_through_the_exported_camera_covers_the_silhouette(
    tmp_path: Path, propagate: bool
) -> None:
    animation = moving(3, propagate=propagate)
    frames = np.arange(10, 13)
    animation = replace(animation, frames=frames, time_s=frames / 29.97)
    glb.write(animation, tmp_path / "film.glb")
    picture = tmp_path / "picture.jpg"
    cv2.imwrite(str(picture), np.full((240, 320, 3), 90, dtype=np.uint8))
    (tmp_path / "renders").mkdir()
    rendered = rendered_alpha(tmp_path / "film.glb", picture, tmp_path / "renders")
    expected = silhouettes(animation)
    assert len(rendered) == len(expected)
    shares = [overlap(a > 127, b) for a, b in zip(rendered, expected, strict=True)]
    assert min(shares) >= 0.98, shares
    # Frames differ by more than that, so that one taken for another would show.
    assert max(overlap(a, b) for a, b in pairwise(expected)) < 0.9
