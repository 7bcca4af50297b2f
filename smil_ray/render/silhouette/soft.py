"""Soft silhouettes, differentiable, by one of several backends.

The formula is in `reference`; what happens at the border of the picture, behind the camera and to
degenerate faces is defined in `docs/conventions_3d.md` section 5.

To add a backend: write a function with the arguments of `silhouette_reference` and name it in
`BACKENDS`.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from smil_ray.errors import ConfigError
from smil_ray.render.silhouette.reference import silhouette_reference


def soft_silhouette(
    xy: Float[Tensor, "batch n_verts 2"],
    depth: Float[Tensor, "batch n_verts"],
    faces: Int[Tensor, "n_faces 3"],
    height: int,
    width: int,
    *,
    sigma: float = 1e-4,
    backend: str = "auto",
) -> Float[Tensor, "batch h w"]:
    """Return soft silhouettes in 0-1, differentiable with respect to `xy`.

    Args:
        xy: Vertices as fractions of width and height (from `Camera.project`).
        depth: Model units; it only tells which faces are behind the camera.
        faces: Vertex indices, the same for every picture.
        height: Rows.
        width: Columns.
        sigma: Softness, NDC units squared; 1e-4 blurs over about 1.7 % of the shorter side.
        backend: `reference` (torch, any device), `cpu` (compiled), `pytorch3d`, or `auto`:
            `cpu` on the CPU, elsewhere pytorch3d where it can be loaded, else the reference.

    Raises:
        ConfigError: `backend` is unknown or cannot be loaded, or sigma is not positive.
        ValueError: The picture has no size, or a face names a vertex that is not there; the
            latter on the CPU, since looking into a GPU's memory would stop it.
    """
    if not sigma > 0:
        raise ConfigError("silhouette sigma", expected="a positive number", found=sigma)
    if height < 1 or width < 1:
        raise ValueError(f"silhouette: picture of {height} x {width} pixels")
    on_cpu = faces.device.type == "cpu"
    if on_cpu and faces.numel() and not (int(faces.min()) >= 0 and int(faces.max()) < xy.shape[1]):
        raise ValueError(f"silhouette: faces name vertices outside 0..{xy.shape[1] - 1}")
    render = _choose(backend, xy.device)
    return render(xy, depth, faces, height, width, sigma)


def _choose(backend: str, device: torch.device) -> Callable[..., Tensor]:
    if backend == "auto":
        return _cpu() if device.type == "cpu" else _pytorch3d_or_reference()
    if backend not in BACKENDS:
        expected = ", ".join(["auto", *BACKENDS])
        raise ConfigError("silhouette backend", expected=expected, found=repr(backend))
    return BACKENDS[backend]()


def _cpu() -> Callable[..., Tensor]:
    # Imported on demand: numba takes half a second to load.
    from smil_ray.render.silhouette._cpu import silhouette_cpu

    return silhouette_cpu


def _pytorch3d() -> Callable[..., Tensor]:
    # Imported on demand: pytorch3d takes two seconds and needs a matching CUDA runtime.
    try:
        from smil_ray.render.pytorch3d_backend import silhouette_pytorch3d
    except (ImportError, OSError) as error:
        raise ConfigError(
            "silhouette backend pytorch3d",
            expected="pytorch3d to load",
            found=error,
            remedy="use the backend auto, cpu or reference",
        ) from error
    return silhouette_pytorch3d


@lru_cache(maxsize=1)  # A failed import is tried anew each time.
def _pytorch3d_or_reference() -> Callable[..., Tensor]:
    try:
        return _pytorch3d()
    except ConfigError:
        return silhouette_reference


def _reference() -> Callable[..., Tensor]:
    return silhouette_reference


BACKENDS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "reference": _reference,
    "cpu": _cpu,
    "pytorch3d": _pytorch3d,
}
"""Name -> function that loads the backend."""
