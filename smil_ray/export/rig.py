"""A body as bones with rotations and scales, as skinned formats want it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from smil_ray.export.animation import (
    SCENE_FROM_CAMERA,
    UPRIGHT_FROM_MODEL,
    Animation,
    to_scene,
    upright,
)


@dataclass(frozen=True)
class Rig:
    """Bones of an animal of one shape; metres.

    A bone's transform relative to its parent is [R diag(scale) | offset]; without propagation of
    scales a diag(1 / parent's scale) stands before it. The root's offset is its `place`.

    Attributes:
        joints: At rest, upright.
        vertices: At rest, upright.
        offsets: From the parent's joint, in its axes.
        scales: Along a bone's own axes; 1 for the root.
        rotations: Child to parent; of the root, upright axes to scene.
        places: Of the root joint in the scene.
    """

    joints: Float[np.ndarray, "n_joints 3"]
    vertices: Float[np.ndarray, "n_verts 3"]
    offsets: Float[np.ndarray, "n_joints 3"]
    scales: Float[np.ndarray, "n_joints 3"]
    rotations: Float[np.ndarray, "n n_joints 3 3"]
    places: Float[np.ndarray, "n 3"]

    @classmethod
    def of(cls, animation: Animation) -> "Rig":
        """Return the bones of an animation whose frames have one shape."""
        params, parents = animation.params, np.array(animation.model.skeleton.parents)
        body = animation.posed()
        rest = body.shaped.rest_joints.double().numpy().reshape(-1, animation.model.n_joints, 3)[0]
        offsets = rest - np.where(parents[:, None] < 0, 0.0, rest[parents])
        if params.betas_trans is not None:
            offsets[1:] += params.betas_trans[0, 1:].double().numpy() * [1.0, -1.0, 1.0]
        scales = np.ones_like(rest)
        if params.log_beta_scales is not None:
            scales[1:] = params.log_beta_scales[0, 1:].double().exp().numpy()
        turns = body.rotation_matrices.double().numpy()
        turns = UPRIGHT_FROM_MODEL @ turns @ UPRIGHT_FROM_MODEL.T
        turns[:, 0] = SCENE_FROM_CAMERA @ UPRIGHT_FROM_MODEL.T @ turns[:, 0]
        return cls(
            joints=upright(rest),
            vertices=upright(body.shaped.vertices[0].double().numpy()),
            offsets=upright(offsets),
            scales=scales @ UPRIGHT_FROM_MODEL.T,  # A permutation without signs.
            rotations=turns,
            places=to_scene(params.trans.double().numpy()),
        )


def quaternions(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 4"]:
    """Return x, y, z, w over time, of the two signs the one nearer to the frame before."""
    found = Rotation.from_matrix(matrices).as_quat()
    turns = np.sign((found[1:] * found[:-1]).sum(axis=1) + 1e-12)
    found[1:] *= np.cumprod(turns)[:, None]
    return found
