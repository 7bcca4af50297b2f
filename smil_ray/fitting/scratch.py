"""Fits without a network: several starts for each picture, their mean, and a fit from there.

What one picture leaves open, mostly which limbs point towards the camera, several fits from
different starts answer differently. Their mean, each weighted by how well it fits, is nearer to
the truth on average than the best of them (trials: docs/refinement.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.params import SmilParams
from smil_ray.fitting._starts import FEWEST_JOINTS, Laid, Library, lay, unplaced
from smil_ray.fitting.fit import Body, Fit, chosen, objective, optimise
from smil_ray.fitting.stages import FIND, POLISH
from smil_ray.fitting.state import Target

TRIED = 6
"""Fits of each picture."""
LIBRARY = 2000
"""Poses of which the starts are taken."""
TEMPERATURE = 0.003
"""Difference of the objective at which the worse of two fits weighs a third of the better."""
ROWS = 32
"""Pictures at once."""
DEFAULT_FOV_DEG = 30.0
_WITHIN_LIMITS = 0.35
"""Spread of poses within joint limits, where nothing is known of likely ones; a share of them."""
_SEED = 0


def fit_from_scratch(
    target: Target,
    body: Body,
    *,
    fov_deg: Float[Tensor, " batch"] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Return parameters that fit the joints and the mask of each picture, without a network.

    Pictures with fewer than 4 known joints are not fitted.

    Args:
        target: Joints in the pictures, and masks if there are any.
        body: What is posed; with a prior the depth of limbs is known much better.
        fov_deg: Full vertical field of view of each square picture; DEFAULT_FOV_DEG without.
        progress: Called with (pictures done, pictures in all).
    """
    n = len(target.xy)
    fov = target.xy.new_full((n,), DEFAULT_FOV_DEG) if fov_deg is None else fov_deg
    library = Library.of(_likely_poses(body), body.model, body.config)
    fits: list[Fit] = []
    for first in range(0, n, ROWS):
        rows = torch.arange(first, min(first + ROWS, n))
        fits.append(_fitted(target.rows(rows), body, library, fov[rows]))
        if progress is not None:
            progress(len(rows) + first, n)
    return _joined(fits)


def _likely_poses(body: Body) -> Float[Tensor, "n n_pose 3"]:
    if body.prior is not None:
        return body.prior.draw(LIBRARY, _SEED)
    generator = torch.Generator().manual_seed(_SEED)
    numbers = torch.randn(LIBRARY, body.model.n_joints - 1, 3, generator=generator)
    limits = body.model.joint_limits
    if limits is None:
        return _WITHIN_LIMITS * numbers
    low, high = limits[1:, :, 0], limits[1:, :, 1]
    return (_WITHIN_LIMITS * numbers * torch.where(numbers > 0.0, high, -low)).clamp(low, high)


def _fitted(target: Target, body: Body, library: Library, fov: Float[Tensor, " batch"]) -> Fit:
    n = len(target.xy)
    each = target.rows(torch.arange(n).repeat_interleave(TRIED))
    # Masks are for the last stage: by then limbs lie where they are.
    each = replace(each, masks=None, animals=None)
    start = _starts(target, body.model, library, fov)
    found = optimise(start, each, body, stages=FIND)
    with torch.no_grad():
        value = objective(body.state(found, start, each, FIND[-1].robust), FIND[-1].weights)
    value = torch.where(value.isfinite(), value, torch.inf).unflatten(0, (n, TRIED))
    mean = _mean(found, value)
    end = optimise(mean, target, body, stages=POLISH)
    best = found.map(lambda rows: rows[torch.arange(n) * TRIED + value.argmin(dim=1)])
    last = POLISH[-1]
    with torch.no_grad():
        of_end, of_best = (
            objective(body.state(params, mean, target, last.robust), last.weights)
            for params in (end, best)
        )
        states = [
            body.state(params, mean, target, last.robust)
            for params in (
                start.map(lambda rows: rows[::TRIED]),
                chosen(of_end <= of_best, end, best),
            )
        ]
    good = target.known.sum(dim=1) >= FEWEST_JOINTS
    return Fit.between(states[0], states[1], last.weights, good)


def _starts(
    target: Target, model: SmilModel, library: Library, fov: Float[Tensor, " batch"]
) -> SmilParams:
    """Return TRIED starts for each picture, picture after picture."""
    point = torch.full_like(target.xy[:, 0], 0.5)
    if target.intrinsics is not None:
        point = target.intrinsics[:, 2:].nan_to_num(nan=0.5)
    focal = 0.5 / torch.tan(torch.deg2rad(fov) / 2.0)
    # A picture's x runs against the camera's x (left), and its y against the camera's y (up).
    rays = (point[:, None] - target.xy) / focal[:, None, None]
    params = [
        _placed(lay(library, ray, known, TRIED), model, ray, known)
        for ray, known in zip(rays, target.known, strict=True)
    ]
    return replace(_stacked(params), fov=fov.repeat_interleave(TRIED)[:, None])


def _placed(
    laid: Laid, model: SmilModel, rays: Float[Tensor, "n_joints 2"], known: Tensor
) -> SmilParams:
    """Return bodies of laid poses with their joints' middle where it was seen."""
    body = unplaced(laid.joint_rot, model)
    body = replace(body, global_rot=rotations.matrix_to_axis_angle(laid.rotation))
    depth = 1.0 / laid.size.clamp_min(1e-6)
    if not bool(known.any()):
        return replace(body, trans=torch.stack([0 * depth, 0 * depth, depth], dim=1))
    middle = model.pose(body).joints[:, known].mean(dim=1)
    ray = rays[known].mean(dim=0)
    place = torch.cat([ray * depth[:, None], depth[:, None]], dim=1)
    return replace(body, trans=place - middle)


def _mean(found: SmilParams, value: Float[Tensor, "n tried"]) -> SmilParams:
    """Return the mean of each picture's fits, weighted by how well they fit."""
    weight = torch.softmax(-value / TEMPERATURE, dim=1).nan_to_num(nan=1.0 / TRIED)

    def mean(rows: Tensor) -> Tensor:
        each = rows.unflatten(0, weight.shape)
        return (weight.reshape(*weight.shape, *[1] * (each.ndim - 2)) * each).sum(dim=1)

    turns = rotations.nearest_rotation(mean(found.rotation_matrices()))
    vectors = rotations.matrix_to_axis_angle(turns)
    return replace(found.map(mean), global_rot=vectors[:, 0], joint_rot=vectors[:, 1:])


def _stacked(each: Sequence[SmilParams]) -> SmilParams:
    columns = [params.as_dict() for params in each]
    return SmilParams(**{name: torch.cat([c[name] for c in columns]) for name in columns[0]})


def _joined(fits: Sequence[Fit]) -> Fit:
    parts = {
        name: (
            torch.cat([fit.parts[name][0] for fit in fits]),
            torch.cat([fit.parts[name][1] for fit in fits]),
        )
        for name in fits[0].weights
    }
    accepted = torch.cat([fit.accepted for fit in fits])
    return Fit(_stacked([fit.params for fit in fits]), accepted, fits[0].weights, parts)
