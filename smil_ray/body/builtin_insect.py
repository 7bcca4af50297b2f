"""The embedded model: a procedural insect with replicAnt's 55 joints. Nothing to download.

Everything is computed from the few numbers in `builtin_anatomy` and rounded to 1e-7 model units,
so that the model's hash does not depend on the machine.
"""

from functools import lru_cache

import numpy as np

from smil_ray.body._builtin_anatomy import JOINT_NAMES, PARENTS, SHAPE_NAMES, Shape, grow
from smil_ray.body._half_mesh import MIRROR, WholeMesh, mirrored
from smil_ray.body.model_file.arrays import ModelArrays, regress
from smil_ray.core.skeleton import Skeleton

_DECIMALS = 7

EARLIER_HASHES = {
    "88ba301f20a4992fd3314b3e4f401243e0c65448931ae1a2e3bcaa4eead2c4c3": (
        "69372c2fb6b136cb97ec1b8e090fb3c24777e08ded27b748ab026d99f99ea8e3"
    ),
}
"""Hashes of the insect with narrower joint limits, which mean the same labels -> today's."""


@lru_cache(maxsize=1)
def build() -> ModelArrays:
    """Return the procedural insect."""
    skeleton = Skeleton(JOINT_NAMES, PARENTS)
    mesh = mirrored(grow(Shape()))
    shapedirs = np.stack([_direction(index) for index in range(len(SHAPE_NAMES))], axis=-1)
    regressor = _regressor(mesh, skeleton)
    template = mesh.vertices.round(_DECIMALS)
    joints = regress(regressor, template).round(12)
    return ModelArrays(
        name="builtin",
        skeleton=skeleton,
        v_template=template,
        faces=mesh.faces.astype(np.int64),
        shapedirs=shapedirs.round(_DECIMALS),
        joint_regressor=regressor,
        rest_joints=joints,
        weights=_weights(mesh, skeleton),
        scaledirs=_scaledirs(skeleton),
        transdirs=_transdirs(skeleton, joints),
        joint_limits=_joint_limits(skeleton, joints),
        shape_mean=np.zeros(len(SHAPE_NAMES)),
        shape_cov=np.eye(len(SHAPE_NAMES)),
    )


def _direction(index: int) -> np.ndarray:
    """Half the difference between one standard deviation up and down."""
    plus, minus = (
        mirrored(grow(Shape(**{SHAPE_NAMES[index].replace(" ", "_"): amount}))).vertices
        for amount in (1.0, -1.0)
    )
    return 0.5 * (plus - minus)


def _regressor(mesh: WholeMesh, skeleton: Skeleton) -> np.ndarray:
    """Each joint is the mean of the ring of vertices around it."""
    regressor = np.zeros((skeleton.n_joints, len(mesh.vertices)))
    for joint, name in enumerate(skeleton.joint_names):
        ring = mesh.rings[name]
        regressor[joint, ring] = 1.0 / len(ring)
    return regressor


def _weights(mesh: WholeMesh, skeleton: Skeleton) -> np.ndarray:
    weights = np.zeros((len(mesh.vertices), skeleton.n_joints))
    for vertex, row in enumerate(mesh.weights):
        for name, value in row.items():
            weights[vertex, skeleton.index[name]] = round(value, _DECIMALS)
    return weights / weights.sum(axis=1, keepdims=True)


def _scaledirs(skeleton: Skeleton) -> np.ndarray:
    """Isotropic scales; with propagation a joint's scale reaches everything that hangs on it."""
    groups = (
        {"b_a_1": 0.20},
        {"l_1_co": 0.16, "l_2_co": 0.16, "l_3_co": 0.16},
        {"b_a_3": 0.18, "b_a_4": -0.08},
        {"b_h": 0.18},
        {"an_1": 0.22, "an_2": -0.06},
        {"l_1_tr": 0.14, "l_2_tr": 0.14, "l_3_tr": 0.14, "l_1_fe": -0.1, "l_2_fe": -0.1,
         "l_3_fe": -0.1, "ma": 0.2, "w_1": 0.3, "w_2": 0.3},
    )  # fmt: skip
    directions = np.zeros((len(groups), skeleton.n_joints, 3))
    for k, group in enumerate(groups):
        for stem, amount in group.items():
            for name in (stem, f"{stem}_l", f"{stem}_r"):
                if name in skeleton.index:
                    directions[k, skeleton.index[name]] = amount
    return directions


def _transdirs(skeleton: Skeleton, joints: np.ndarray) -> np.ndarray:
    """Joints slide along their bones, group by group; stored with y flipped, as replicAnt does."""
    groups = (
        ("b_a_",),
        ("l_1_fe", "l_2_fe", "l_3_fe"),
        ("l_1_ti", "l_2_ti", "l_3_ti"),
        ("b_h",),
        ("an_2", "an_3"),
        ("l_1_co", "l_2_co", "l_3_co"),
    )
    directions = np.zeros((len(groups), skeleton.n_joints, 3))
    for joint, (name, parent) in enumerate(
        zip(skeleton.joint_names, skeleton.parents, strict=True)
    ):
        for k, stems in enumerate(groups):
            if parent >= 0 and name.startswith(stems):
                bone = joints[joint] - joints[parent]
                directions[k, joint] = 0.03 * bone / np.linalg.norm(bone)
    return (directions * MIRROR).round(_DECIMALS)


def _joint_limits(skeleton: Skeleton, joints: np.ndarray) -> np.ndarray:
    """Box limits of the axis-angle components: wide about a joint's hinge, narrow across it."""
    limits = np.zeros((skeleton.n_joints, 3, 2))
    limits[0] = (-np.pi, np.pi)
    for joint, name in enumerate(skeleton.joint_names[1:], start=1):
        stem = name[:-2] if name[-2:] in ("_l", "_r") else name
        if stem[-2:] in ("fe", "ti", "ta"):
            limits[joint] = _hinge_limits(skeleton, joints, joint)
        for key, low_high in _LIMITS.items():
            if stem.startswith(key) or stem.endswith(key):
                limits[joint] = low_high
    for joint, name in enumerate(skeleton.joint_names):
        if name.endswith("_r"):
            limits[joint] = _mirrored_limits(limits[skeleton.mirror[joint]])
    return limits.round(4)


def _mirrored_limits(limits: np.ndarray) -> np.ndarray:
    """Under the mirror y -> -y rotations about x and z change their sign."""
    mirrored_box = -limits[:, ::-1]
    mirrored_box[1] = limits[1]
    return mirrored_box


_LIMITS: dict[str, list[tuple[float, float]]] = {
    "b_a_": [(-0.20, 0.20), (-0.65, 0.50), (-0.45, 0.45)],
    "b_a_1": [(-0.25, 0.25), (-0.50, 0.50), (-0.50, 0.50)],
    "b_h": [(-0.70, 0.70), (-0.90, 1.20), (-1.00, 1.00)],
    "w_": [(-0.25, 0.50), (-0.25, 0.25), (-0.50, 0.25)],
    "ma": [(-0.13, 0.13), (-0.17, 0.17), (-0.20, 1.10)],
    "an_": [(-0.90, 0.90), (-1.60, 1.70), (-1.60, 1.60)],
    "_co": [(-1.10, 1.10), (-1.20, 1.20), (-1.50, 1.50)],
    "_tr": [(-1.40, 1.40), (-1.40, 1.40), (-0.80, 0.80)],
    "_pt": [(-1.90, 1.90), (-1.90, 1.90), (-1.50, 1.50)],
}


def _hinge_limits(skeleton: Skeleton, joints: np.ndarray, joint: int) -> np.ndarray:
    """Limits about the axis across the plane of the two bones that meet at a leg joint."""
    (child,) = skeleton.children[joint]
    before = joints[joint] - joints[skeleton.parents[joint]]
    after = joints[child] - joints[joint]
    hinge = np.cross(before, after)
    hinge /= np.linalg.norm(hinge)
    ends = np.stack([-1.30 * hinge, 1.75 * hinge], axis=1)
    return np.stack([ends.min(axis=1) - 0.25, ends.max(axis=1) + 0.25], axis=1)
