"""Meshes to draw, and kernels compiled before the first test that needs them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from smil_ray.render.rasterize import rasterize
from smil_ray.render.shading import render_rgb
from smil_ray.render.silhouette.soft import soft_silhouette

Mesh = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def make_sphere() -> Callable[..., Mesh]:
    """Unit sphere of `rows` x `columns` vertices: (V, 3) float64 and (F, 3) int64."""

    def build(rows: int = 10, columns: int = 12) -> Mesh:
        polar, around = np.meshgrid(
            np.linspace(0.05, np.pi - 0.05, rows),
            np.linspace(0, 2 * np.pi, columns, endpoint=False),
            indexing="ij",
        )
        vertices = np.stack(
            [np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1
        )
        i, j = (a.ravel() for a in np.mgrid[: rows - 1, :columns])
        a, b = i * columns + j, i * columns + (j + 1) % columns
        faces = np.stack([[a, b, a + columns], [b, b + columns, a + columns]])
        return vertices.reshape(-1, 3), faces.transpose(2, 0, 1).reshape(-1, 3)

    return build


@pytest.fixture(scope="session")
def kernels() -> None:
    """Compile, or read from the cache, so that no test's time holds the compiler's."""
    points = np.array([[1.0, 1.0], [6.0, 1.0], [1.0, 6.0]])
    faces = np.array([[0, 1, 2]])
    rasterize(points, np.ones(3), faces, 8, 8)
    vertices = np.concatenate([points, np.ones((3, 1))], axis=1)
    render_rgb(vertices, faces, np.array([1.0, 1.0, 0.5, 0.5]), 8, 8)
    xy = torch.tensor(points / 8, dtype=torch.float64)[None].requires_grad_()
    soft_silhouette(xy, torch.ones(1, 3), torch.tensor(faces), 8, 8).sum().backward()


@pytest.fixture(scope="session")
def pytorch3d_backend():
    """The pytorch3d backend, whose import takes two seconds."""
    from smil_ray.render import pytorch3d_backend

    return pytorch3d_backend
