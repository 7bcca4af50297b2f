"""Meshes as Wavefront .obj files, which Blender and every other 3D program read."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from smil_ray.errors import ModelFileError


def write_obj(
    path: Path | str,
    vertices: Float[np.ndarray, "n_verts 3"] | Float[Tensor, "n_verts 3"],
    faces: Int[np.ndarray, "n_faces 3"] | Int[Tensor, "n_faces 3"],
) -> Path:
    """Write a triangle mesh, axes and units as given; replaces `path` atomically.

    Raises:
        ModelFileError: A vertex is not finite, or the file cannot be written.
    """
    path = Path(path)
    points, triangles = _numpy(vertices), _numpy(faces)
    if not np.isfinite(points).all():
        raise ModelFileError(f"{path}: vertices to write", expected="finite numbers", found="NaN")
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (triangles + 1).tolist()]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text("\n".join(lines) + "\n", encoding="ascii")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def _numpy(values: np.ndarray | Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values
