"""Test-time optimisation of SMIL parameters against the joints of a picture, many at once.

After Bogo et al. 2016 ("Keep it SMPL") and Zuffi et al. 2017 ("3D Menagerie"): Adam on pose, shape
and place, in stages. Every animal is accepted or left as it was by itself.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.body.posed_body import PosedBody
from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.fitting.prior import PosePrior
from smil_ray.fitting.stages import RATES, REFINE, Stage
from smil_ray.fitting.state import State, Target
from smil_ray.fitting.terms import BONE_OFFSET, BONE_SCALE, TERMS
from smil_ray.render.camera import intrinsics_from_fov

NOT_WORSE: dict[str, float] = {
    "keypoint_2d": 1e-6,
    "joint_limits": 1e-6,
    "silhouette": 0.01,
    "pose_prior": 1.0,
}
"""Parts that must not get worse in an accepted fit, and up to which value each may always be.

A pose that is as likely as those known (1 on average) is none the worse for having been likelier.
"""
TOLERANCE = 0.02
"""By which share they may be worse all the same."""


@dataclass(frozen=True)
class Body:
    """What is posed, and how.

    Attributes:
        model: The body model.
        config: How bodies are posed.
        prior: What poses and shapes are likely, where that is known.
    """

    model: SmilModel
    config: BodyConfig
    prior: PosePrior | None = None

    def state(self, params: SmilParams, start: SmilParams, target: Target, robust: float) -> State:
        """Return the bodies of parameters in the camera frame."""
        return State(params, start, self.pose(params), target, self.model, self.prior, robust)

    def pose(self, params: SmilParams) -> PosedBody:
        """Return the bodies of parameters."""
        return self.model.pose(
            params,
            rest=self.config.rest_joints,
            propagate_scaling=self.config.propagate_scaling,
        )


@dataclass(frozen=True)
class Fit:
    """What a fit came to.

    Attributes:
        params: In the camera frame, axis-angle; animals that were not accepted as they began.
        accepted: Which animals were.
        weights: Of the objective.
        parts: Each term of the objective at the start and of `params`, not weighted.
    """

    params: SmilParams
    accepted: Bool[Tensor, " batch"]
    weights: Mapping[str, float]
    parts: Mapping[str, tuple[Tensor, Tensor]]

    @classmethod
    @torch.no_grad()
    def between(
        cls,
        start: State,
        end: State,
        weights: Mapping[str, float],
        accepted: Bool[Tensor, " batch"],
    ) -> "Fit":
        """Return the fit that led from `start` to `end`, and stayed where not accepted."""
        parts: dict[str, tuple[Tensor, Tensor]] = {}
        for name in weights:
            before, after = TERMS[name](start), TERMS[name](end)
            parts[name] = (before, torch.where(accepted, after, before))
        return cls(chosen(accepted, end.params, start.params), accepted, weights, parts)

    @property
    def before(self) -> Float[Tensor, " batch"]:
        """Objective of each animal at the start."""
        return self._objective(0)

    @property
    def after(self) -> Float[Tensor, " batch"]:
        """Objective of each animal as it is in `params`."""
        return self._objective(1)

    def _objective(self, when: int) -> Float[Tensor, " batch"]:
        total = torch.zeros(len(self.accepted))
        for name, weight in self.weights.items():
            total = total + weight * self.parts[name][when]
        return total


def refine(
    params: SmilParams,
    target: Target,
    body: Body,
    *,
    stages: Sequence[Stage] = REFINE,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Return parameters that fit the joints of their pictures better.

    Args:
        params: Where to begin, in any frame and representation.
        target: What they are to fit.
        body: What is posed.
        stages: What is done; by the last one's weights animals are accepted.
        progress: Called with (steps done, steps in all).
    """
    start = change_frame(params, "camera").with_representation("axis_angle").map(torch.detach)
    end = optimise(start, target, body, stages=stages, progress=progress)
    return _accepted(start, end, target, body, stages[-1])


def optimise(
    start: SmilParams,
    target: Target,
    body: Body,
    *,
    stages: Sequence[Stage],
    progress: Callable[[int, int], None] | None = None,
) -> SmilParams:
    """Return where the stages lead from parameters in the camera frame, whatever that is."""
    now, total, done = start, sum(stage.steps for stage in stages), 0
    for stage in stages:
        free = _Free(now, stage, target, body.model)
        for step in range(stage.steps):
            state = body.state(free.params(), start, target, stage.robust)
            free.step(objective(state, stage.weights), step)
            done += 1
            if progress is not None:
                progress(done, total)
        now = free.params().map(torch.detach)
    return now


def objective(state: State, weights: Mapping[str, float]) -> Float[Tensor, " batch"]:
    """Return each animal's weighted sum of terms."""
    total = state.params.fov.new_zeros(state.params.batch_size)
    for name, weight in weights.items():
        total = total + weight * TERMS[name](state)
    return total


class _Free:
    """The free parameters of a stage and their optimiser.

    Frames of one animal have one shape, to begin with the mean of theirs.
    """

    def __init__(self, params: SmilParams, stage: Stage, target: Target, model: SmilModel) -> None:
        self._params, self._stage = params, stage
        n = params.batch_size
        animals = torch.arange(n) if target.animals is None else target.animals
        _, self._animal = animals.unique(return_inverse=True)
        count = int(self._animal.max()) + 1
        sums = params.betas.new_zeros(count, params.betas.shape[1])
        sums = sums.index_add(0, self._animal, params.betas)
        betas = sums / self._animal.bincount(minlength=count)[:, None]
        depth = params.trans[:, 2:].clamp_min(1e-6)
        # Across, steps are shares of the picture, whatever the field of view.
        self._focal = intrinsics_from_fov(params.fov)[:, 0, 1:2]
        values = {
            "global_rot": params.global_rot,
            "trans": torch.cat([self._focal * params.trans[:, :2] / depth, depth.log()], dim=1),
            "joint_rot": params.joint_rot,
            "betas": betas,
            "bones": params.betas.new_zeros(count, 2, model.n_scale_weights),
            "log_fov": params.fov.log(),
        }
        self._bones = _bone_directions(model) if "bones" in stage.free else None
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
        params = self._params
        if self._bones is not None:
            params = self._bones.added(params, values["bones"][self._animal])
        return replace(
            params,
            global_rot=values["global_rot"],
            trans=torch.cat([values["trans"][:, :2] * depth / self._focal, depth], dim=1),
            joint_rot=values["joint_rot"],
            betas=values["betas"][self._animal],
            fov=values["log_fov"].exp(),
        )

    def step(self, objective: Float[Tensor, " batch"], number: int) -> None:
        """Take step `number` of the stage down each animal's objective."""
        stage = self._stage
        left = 0.5 * (1.0 + math.cos(math.pi * number / max(1, stage.steps)))
        share = stage.end_rate + (1.0 - stage.end_rate) * left
        for name, group in zip(stage.free, self._optimiser.param_groups, strict=True):
            group["lr"] = stage.rate * RATES[name] * share
        self._optimiser.zero_grad()
        objective.sum().backward()
        self._optimiser.step()


@dataclass(frozen=True)
class _Bones:
    """Directions in which a model's bones vary in length, each as long as is usual."""

    scales: Float[Tensor, "k n_joints 3"]
    offsets: Float[Tensor, "k n_joints 3"]

    def added(self, params: SmilParams, weights: Float[Tensor, "batch 2 k"]) -> SmilParams:
        old_scales, old_offsets = params.log_beta_scales, params.betas_trans
        scales = torch.einsum("bk,kjc->bjc", weights[:, 0], self.scales)
        offsets = torch.einsum("bk,kjc->bjc", weights[:, 1], self.offsets)
        return replace(
            params,
            log_beta_scales=scales if old_scales is None else old_scales + scales,
            betas_trans=offsets if old_offsets is None else old_offsets + offsets,
        )


def _bone_directions(model: SmilModel) -> _Bones | None:
    if model.scaledirs is None or model.transdirs is None:
        return None
    scales = model.scaledirs / model.scaledirs.square().mean(dim=(1, 2), keepdim=True).sqrt()
    offsets = model.transdirs / model.transdirs.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return _Bones(BONE_SCALE * scales, BONE_OFFSET * model.body_length * offsets)


@torch.no_grad()
def _accepted(start: SmilParams, end: SmilParams, target: Target, body: Body, stage: Stage) -> Fit:
    old, new = (body.state(params, start, target, stage.robust) for params in (start, end))
    before, after = objective(old, stage.weights), objective(new, stage.weights)
    good = torch.isfinite(after) & (after < before) & target.known.any(dim=1)
    for name, enough in NOT_WORSE.items():
        limit = (TERMS[name](old) * (1.0 + TOLERANCE)).clamp_min(enough)
        good &= TERMS[name](new) <= limit
    return Fit.between(old, new, stage.weights, good)


def chosen(first: Bool[Tensor, " batch"], one: SmilParams, other: SmilParams) -> SmilParams:
    """Return the rows of `one` where `first`, else those of `other`."""
    values = other.as_dict()
    found: dict[str, Tensor] = {}
    for name, value in one.as_dict().items():
        # What only one of them models is nothing in the other: scales of bones and offsets.
        old = values.get(name, torch.zeros_like(value))
        found[name] = torch.where(first.reshape(-1, *[1] * (value.ndim - 1)), value, old)
    return SmilParams(**found)
