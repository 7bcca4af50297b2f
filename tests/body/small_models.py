"""Models small enough for gradient checks."""

import numpy as np

from smil_ray.body.model_file.arrays import ModelArrays
from smil_ray.core.skeleton import Skeleton


def small_arrays(*, posedirs: bool = False, static: bool = False, seed: int = 0) -> ModelArrays:
    """A random model with 5 joints in a branched tree, 8 vertices and 2 betas."""
    random = np.random.default_rng(seed)
    joints, verts, betas = 5, 8, 2
    weights = random.random((verts, joints))
    regressor = random.random((joints, verts))
    return ModelArrays(
        name="small",
        skeleton=Skeleton(("b_t", "b_a", "l_l", "l_r", "l_l_end"), (-1, 0, 0, 0, 2)),
        v_template=random.normal(size=(verts, 3)),
        faces=np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6], [5, 6, 7]]),
        shapedirs=0.3 * random.normal(size=(verts, 3, betas)),
        joint_regressor=regressor / regressor.sum(axis=1, keepdims=True),
        rest_joints=random.normal(size=(joints, 3)),
        weights=weights / weights.sum(axis=1, keepdims=True),
        posedirs=0.1 * random.normal(size=(verts, 3, 9 * (joints - 1))) if posedirs else None,
        scaledirs=0.2 * random.normal(size=(betas, joints, 3)),
        transdirs=0.2 * random.normal(size=(betas, joints, 3)),
        static_joints=static,
    )
