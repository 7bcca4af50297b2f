"""Test-time optimisation of SMIL parameters against the joints of a picture, many at once.

After Bogo et al. 2016 ("Keep it SMPL") and Zuffi et al. 2017 ("3D Menagerie"): Adam on pose, shape
and place, in stages. Every animal is accepted or left as it was by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.fitting.stages import RATES, REFINE, WEIGHTS, Stage
from smil_ray.fitting.terms import TERMS, State, Target

DATA_TERMS = ("keypoint_2d", "joint_limits")
"""Parts that must not get worse in an accepted fit, beyond TOLERANCE."""
TOLERANCE = 0.02


@dataclass(frozen=True)
class Fit:
    """What a fit came to.

    Attributes:
        params: In the camera frame, axis-angle; animals that were not accepted as they began.
        accepted: Which animals were.
        before: Weighted objective of each animal at the start.
        after: The same of `params`.
    """

    params: SmilParams
    accepted: Bool[Tensor, " batch"]
    before: Float[Tensor, " batch"]
    after: Float[Tensor, " batch"]


def refine(
    params: SmilParams,
    target: Target,
    model: SmilModel,
    *,
    body: BodyConfig | None = None,
    stages: Sequence[Stage] = REFINE,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Return parameters that fit the joints of their pictures better.

    Args:
        params: Where to begin, in any frame and representation.
        target: What they are to fit.
        model: The body model.
        body: How bodies are posed.
        stages: What is done.
        progress: Called with (steps done, steps in all).
    """
    start = change_frame(params, "camera").with_representation("axis_angle").map(torch.detach)
    end = optimise(start, target, model, stages=stages, body=body, progress=progress)
    return _accepted(start, end, target, model, body or BodyConfig())


def optimise(
    start: SmilParams,
    target: Target,
    model: SmilModel,
    *,
    stages: Sequence[Stage],
    body: BodyConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SmilParams:
    """Return where the stages lead from parameters in the camera frame, whatever that is."""
    body = body or BodyConfig()
    now, total, done = start, sum(stage.steps for stage in stages), 0
    for stage in stages:
        free = _Free(now, stage)
        for _ in range(stage.steps):
            state = _state(free.params(), start, target, model, body)
            free.step(_objective(state, stage.weights))
            done += 1
            if progress is not None:
                progress(done, total)
        now = free.params().map(torch.detach)
    return now


@torch.no_grad()
def final_objective(
    params: SmilParams,
    start: SmilParams,
    target: Target,
    model: SmilModel,
    weights: Mapping[str, float],
    body: BodyConfig | None = None,
) -> Float[Tensor, " batch"]:
    """Return each animal's objective."""
    return _objective(_state(params, start, target, model, body or BodyConfig()), weights)


class _Free:
    """The free parameters of a stage and their optimiser."""

    def __init__(self, params: SmilParams, stage: Stage) -> None:
        self._params = params
        depth = params.trans[:, 2:].clamp_min(1e-6)
        values = {
            "global_rot": params.global_rot,
            "trans": torch.cat([params.trans[:, :2] / depth, depth.log()], dim=1),
            "joint_rot": params.joint_rot,
            "betas": params.betas,
            "log_fov": params.fov.log(),
        }
        self._values = {
            name: value.clone().requires_grad_(name in stage.free)
            for name, value in values.items()
        }
        groups = [
            {"params": [self._values[name]], "lr": stage.rate * RATES[name]} for name in stage.free
        ]
        self._optimiser = torch.optim.Adam(groups)

    def params(self) -> SmilParams:
        """Return the parameters as they are now."""
        values = self._values
        depth = values["trans"][:, 2:].exp()
        return replace(
            self._params,
            global_rot=values["global_rot"],
            trans=torch.cat([values["trans"][:, :2] * depth, depth], dim=1),
            joint_rot=values["joint_rot"],
            betas=values["betas"],
            fov=values["log_fov"].exp(),
        )

    def step(self, objective: Float[Tensor, " batch"]) -> None:
        """Take one step down each animal's objective."""
        self._optimiser.zero_grad()
        objective.sum().backward()
        self._optimiser.step()


def _state(
    params: SmilParams, start: SmilParams, target: Target, model: SmilModel, body: BodyConfig
) -> State:
    posed = model.pose(params, rest=body.rest_joints, propagate_scaling=body.propagate_scaling)
    return State(params, start, posed.joints, target, model)


def _objective(state: State, weights: Mapping[str, float]) -> Float[Tensor, " batch"]:
    total = state.params.fov.new_zeros(state.params.batch_size)
    for name, weight in weights.items():
        total = total + weight * TERMS[name](state)
    return total


@torch.no_grad()
def _accepted(
    start: SmilParams, end: SmilParams, target: Target, model: SmilModel, body: BodyConfig
) -> Fit:
    old, new = (_state(params, start, target, model, body) for params in (start, end))
    before, after = _objective(old, WEIGHTS), _objective(new, WEIGHTS)
    good = torch.isfinite(after) & (after < before) & target.known.any(dim=1)
    for name in DATA_TERMS:
        limit = TERMS[name](old) * (1.0 + TOLERANCE) + 1e-6
        good &= TERMS[name](new) <= limit

    def chosen(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(good.reshape(-1, *[1] * (old.ndim - 1)), new, old)

    values = {name: chosen(old, end.as_dict()[name]) for name, old in start.as_dict().items()}
    return Fit(SmilParams(**values), good, before, torch.where(good, after, before))
