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
from smil_ray.data.synthetic._appearance import draw_coat
from smil_ray.data.synthetic.annotations import SubjectTruth
from smil_ray.data.synthetic.scene import Anatomy, AnimalDraw, default_limits


@dataclass(frozen=True)
class RenderBody:
    """A body model in float64 and what rendering needs of it, prepared once per process."""

    model: SmilModel

    @classmethod
    def open(cls, model: str) -> "RenderBody":
        """Return the render body of `builtin` or a model file."""
        return cls(SmilModel.open(model).to(dtype=torch.float64))

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
    def anatomy(self) -> Anatomy:
        """What sampling needs, as arrays."""
        model = self.model
        joints, betas = model.n_joints, model.n_betas
        limits, cov = model.joint_limits, model.shape_cov
        spread = np.eye(betas) if cov is None else cov.numpy() + 1e-9 * np.eye(betas)
        scales, shifts = model.scaledirs, model.transdirs
        return Anatomy(
            skeleton=model.skeleton,
            joint_limits=default_limits(joints) if limits is None else limits.numpy(),
            shape_mean=model.shape_mean.numpy(),
            shape_root=np.linalg.cholesky(spread),
            scaledirs=np.zeros((0, joints)) if scales is None else scales.numpy()[..., 0],
            transdirs=(
                np.zeros((0, joints, 3)) if shifts is None else TRANSLATION_UNIT * shifts.numpy()
            ),
            body_length=float(model.body_length),
        )


@dataclass(frozen=True)
class PosedAnimal:
    """A drawn animal with its surface in the world, model units."""

    truth: SubjectTruth
    vertices: Float[np.ndarray, "n_verts 3"]
    colors: Float[np.ndarray, "n_verts 3"]


def pose_animal(render_body: RenderBody, draw: AnimalDraw, look_rng: Generator) -> PosedAnimal:
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
    colors = draw_coat(look_rng, render_body.template, render_body.part)
    return PosedAnimal(truth, body.skin()[0].numpy(), colors)
