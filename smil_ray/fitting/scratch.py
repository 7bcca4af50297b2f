"""Where a fit without a network begins: the rest pose, turned and placed as the joints lie.

Many views of the body at rest are laid over the joints of the picture by scale and shift; the best
of them are optimised, and the best of those is the start of the fit.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core import rotations
from smil_ray.core.params import SmilParams
from smil_ray.fitting.fit import Fit, final_objective, optimise
from smil_ray.fitting.stages import FIND, LOOSE, SCRATCH
from smil_ray.fitting.terms import Target

VIEWS = 600
TRIED = 6
DEFAULT_FOV_DEG = 30.0
_LEAST_POINTS = 4
_SEED = 0


def fit_from_scratch(
    target: Target,
    model: SmilModel,
    *,
    fov_deg: Float[Tensor, " batch"] | None = None,
    body: BodyConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Return parameters that fit the joints of each picture, without a network.

    Args:
        target: Joints in the pictures.
        model: The body model.
        fov_deg: Full vertical field of view of each square picture; DEFAULT_FOV_DEG without.
        body: How bodies are posed.
        progress: Called with (steps done, steps in all).
    """
    n = len(target.xy)
    fov = target.xy.new_full((n,), DEFAULT_FOV_DEG) if fov_deg is None else fov_deg
    starts = [_start(target, model, fov, view) for view in _best_views(target, model)]
    best: SmilParams | None = None
    least = target.xy.new_full((n,), torch.inf)
    total = TRIED + 1
    for number, start in enumerate(starts):
        found = optimise(start, target, model, stages=(*FIND, *SCRATCH), body=body)
        value = final_objective(found, start, target, model, LOOSE, body)
        better = value < least
        best = found if best is None else _chosen(better, found, best)
        least = torch.where(better, value, least)
        if progress is not None:
            progress(number + 1, total)
    assert best is not None
    first = final_objective(starts[0], starts[0], target, model, LOOSE, body)
    return Fit(best, torch.isfinite(least), first, least)


def _best_views(target: Target, model: SmilModel) -> list[Float[Tensor, "batch 3 3"]]:
    """Return the TRIED rotations of the root under which the rest pose lies best, best first."""
    # Normalised normal numbers are quaternions of uniformly distributed rotations.
    quaternions = np.random.default_rng(_SEED).normal(size=(VIEWS, 4))
    turns = torch.from_numpy(Rotation.from_quat(quaternions).as_matrix()).to(target.xy.dtype)
    rest = torch.from_numpy(model.source.joints_at_rest()).to(target.xy.dtype)
    # A picture's x runs against the camera's x (left), and its y against the camera's y (up).
    flat = -((rest - rest[0]) @ turns.mT)[..., :2]
    residual = torch.stack(
        [_residual(flat, xy, known) for xy, known in zip(target.xy, target.known, strict=True)]
    )
    order = residual.argsort(dim=1)[:, :TRIED]
    return [turns[order[:, rank]] for rank in range(TRIED)]


def _residual(
    flat: Float[Tensor, "views n_joints 2"], xy: Float[Tensor, "n_joints 2"], known: Tensor
) -> Float[Tensor, " views"]:
    """Return how badly views fit joints after the best shift and scale, relative."""
    if int(known.sum()) < _LEAST_POINTS:
        return flat.new_zeros(len(flat))
    points = flat[:, known] - flat[:, known].mean(dim=1, keepdim=True)
    wanted = xy[known] - xy[known].mean(dim=0)
    scale = (points * wanted).sum(dim=(1, 2)) / points.square().sum(dim=(1, 2)).clamp_min(1e-12)
    away = scale.clamp_min(0.0)[:, None, None] * points - wanted
    return away.square().sum(dim=(1, 2))


def _start(
    target: Target,
    model: SmilModel,
    fov: Float[Tensor, " batch"],
    turn: Float[Tensor, "batch 3 3"],
) -> SmilParams:
    """Return the rest pose with a rotation of the root, as large and where the joints are."""
    n, dtype = len(turn), target.xy.dtype
    rest = torch.from_numpy(model.source.joints_at_rest()).to(dtype)
    flat = -((rest - rest[0]) @ turn.mT)[..., :2]
    weight = target.known.to(dtype)[..., None]
    xy = torch.where(target.known[..., None], target.xy, 0.0)
    count = weight.sum(dim=1).clamp_min(1.0)
    middle, centre = (weight * flat).sum(dim=1) / count, xy.sum(dim=1) / count
    spread = [
        (weight * (value - mean[:, None])).square().sum(dim=(1, 2)).sqrt()
        for value, mean in ((flat, middle), (xy, centre))
    ]
    focal = 0.5 / torch.tan(torch.deg2rad(fov) / 2.0)
    depth = focal * spread[0] / spread[1].clamp_min(1e-6)
    point = target.xy.new_full((n, 2), 0.5)
    if target.intrinsics is not None:
        point = target.intrinsics[:, 2:].nan_to_num(nan=0.5)
    root = centre - middle * (focal / depth)[:, None]
    place = -(root - point) * (depth / focal)[:, None]
    return SmilParams(
        global_rot=rotations.matrix_to_axis_angle(turn),
        joint_rot=torch.zeros(n, model.n_joints - 1, 3, dtype=dtype),
        betas=model.shape_mean.to(dtype).expand(n, -1).clone(),
        trans=torch.cat([place, depth[:, None]], dim=1),
        fov=fov[:, None],
        cam_rot=torch.eye(3, dtype=dtype).repeat(n, 1, 1),
        cam_trans=torch.zeros(n, 3, dtype=dtype),
    )


def _chosen(first: Tensor, one: SmilParams, other: SmilParams) -> SmilParams:
    values = other.as_dict()
    return SmilParams(
        **{
            name: torch.where(first.reshape(-1, *[1] * (value.ndim - 1)), value, values[name])
            for name, value in one.as_dict().items()
        }
    )
