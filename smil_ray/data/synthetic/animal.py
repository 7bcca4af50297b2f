"""A drawn animal through the body model: joints, surface and bones for picture and annotation."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.random import Generator

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.params import (
    TRANSLATION_UNIT,
    SmilParams,
    log_scales_from_weights,
    translations_from_weights,
)
from smil_ray.data.synthetic.annotations import SubjectTruth
from smil_ray.data.synthetic.domain import DOMAINS, Domain
from smil_ray.data.synthetic.poses.clearance import Capsules
from smil_ray.data.synthetic.poses.sides import standing_axes
from smil_ray.data.synthetic.poses.source import PoseSource, open_pose_source
from smil_ray.data.synthetic.scene import Anatomy, AnimalDraw


@dataclass(frozen=True)
class RenderBody:
    """A body model in float64 and what rendering needs of it, prepared once per process."""

    model: SmilModel
    poses: PoseSource

    @classmethod
    def open(
        cls,
        model: str = "builtin",
        *,
        pose_range: float = 1.0,
        joint_limits: str | None = None,
        pose_from: str | None = None,
        pose_spread: float = 0.0,
    ) -> "RenderBody":
        """Return the render body of `builtin` or a model file, and its `open_pose_source`."""
        opened = SmilModel.open(model).to(dtype=torch.float64)
        poses = open_pose_source(
            opened,
            capsules_of(opened),
            pose_range=pose_range,
            joint_limits=joint_limits,
            pose_from=pose_from,
            pose_spread=pose_spread,
        )
        return cls(opened, poses)

    @cached_property
    def faces(self) -> Int[np.ndarray, "n_faces 3"]:
        """Triangles."""
        return self.model.faces.numpy()

    @cached_property
    def template(self) -> Float[np.ndarray, "n_verts 3"]:
        """Vertices at rest, model units."""
        return self.model.v_template.numpy()

    @cached_property
    def part(self) -> Int[np.ndarray, " n_verts"]:
        """The joint that each vertex follows most."""
        return self.model.weights.numpy().argmax(axis=1)

    @cached_property
    def standing(self) -> Float[np.ndarray, "3 3"]:
        """Matrix from the model's axes to those of an animal with its head along x and z up."""
        return standing_axes(self.model.skeleton, self.model.source.joints_at_rest())

    @cached_property
    def anatomy(self) -> Anatomy:
        """What sampling needs, as arrays."""
        model = self.model
        joints, betas = model.n_joints, model.n_betas
        cov = model.shape_cov
        spread = np.eye(betas) if cov is None else cov.numpy() + 1e-9 * np.eye(betas)
        scales, shifts = model.scaledirs, model.transdirs
        return Anatomy(
            poses=self.poses,
            standing=self.standing,
            shape_mean=model.shape_mean.numpy(),
            shape_root=np.linalg.cholesky(spread),
            scaledirs=np.zeros((0, joints)) if scales is None else scales.numpy()[..., 0],
            transdirs=(
                np.zeros((0, joints, 3)) if shifts is None else TRANSLATION_UNIT * shifts.numpy()
            ),
            body_length=float(model.body_length),
        )


def capsules_of(model: SmilModel) -> Capsules:
    """Return the bones of a body model, by which its limbs are kept out of each other."""
    part = model.source.weights.argmax(axis=1)
    rest = model.source.joints_at_rest()
    return Capsules.of(model.skeleton, rest, model.source.v_template, part)


@dataclass(frozen=True)
class PosedAnimal:
    """A drawn animal with its surface in the world, model units."""

    truth: SubjectTruth
    vertices: Float[np.ndarray, "n_verts 3"]
    colors: Float[np.ndarray, "n_verts 3"]


def pose_animal(
    render_body: RenderBody, draw: AnimalDraw, look_rng: Generator, domain: Domain | None = None
) -> PosedAnimal:
    """Return a drawn animal posed in float64, with what the annotation says of its bones."""
    model = render_body.model
    row = {name: torch.from_numpy(value)[None] for name, value in vars(draw).items()}
    zeros = torch.zeros(1, model.n_joints, 3, dtype=torch.float64)
    scales, shifts = model.scaledirs, model.transdirs
    log_scales = zeros if scales is None else log_scales_from_weights(row["scale_weights"], scales)
    moved = zeros if shifts is None else translations_from_weights(row["trans_weights"], shifts)
    params = SmilParams(
        global_rot=row["global_rot"],
        joint_rot=row["joint_rot"],
        betas=row["betas"],
        trans=row["trans"],
        fov=torch.full((1, 1), 30.0, dtype=torch.float64),
        cam_rot=torch.eye(3, dtype=torch.float64)[None],
        cam_trans=torch.zeros(1, 3, dtype=torch.float64),
        log_beta_scales=log_scales,
        betas_trans=moved,
    )
    body = model.pose(params)
    rest = body.shaped.rest_joints.numpy().reshape(-1, model.n_joints, 3)[0]
    parents = model.skeleton.parents
    offsets = rest.copy()
    offsets[1:] -= rest[list(parents[1:])]
    matrices = params.rotation_matrices()[0].numpy()
    root = matrices[0].copy()
    matrices[0] = np.eye(3)
    truth = SubjectTruth(
        joint_names=model.skeleton.joint_names,
        parents=parents,
        root_rotation=root,
        joint_rotations=matrices,
        joints=body.joints[0].numpy(),
        offsets=offsets + moved[0].numpy() * np.array([1.0, -1.0, 1.0]),
        scales=log_scales[0].exp().numpy(),
        betas=draw.betas,
        scale_weights=draw.scale_weights,
        trans_weights=draw.trans_weights,
    )
    upright = render_body.template @ render_body.standing.T
    coat = (domain or DOMAINS["default"]).coat
    colors = coat(look_rng, upright, render_body.part)
    return PosedAnimal(truth, body.skin()[0].numpy(), colors)
