"""A little four-legged model with joints of its own, no limits and no bone directions."""

import numpy as np

from smil_ray.body.model_file.arrays import ModelArrays, check
from smil_ray.core.skeleton import Skeleton

BONES = {
    "pelvis": ("", (0.0, 0.0, 0.6), (0.35, 0.0, 0.62), 0.10),
    "chest": ("pelvis", (0.35, 0.0, 0.62), (0.75, 0.0, 0.64), 0.11),
    "neck": ("chest", (0.75, 0.0, 0.64), (0.95, 0.0, 0.85), 0.06),
    "head": ("neck", (0.95, 0.0, 0.85), (1.12, 0.0, 0.81), 0.07),
    "snout": ("head", (1.12, 0.0, 0.81), (1.20, 0.0, 0.80), 0.05),
    "tail": ("pelvis", (-0.12, 0.0, 0.62), (-0.45, 0.0, 0.55), 0.02),
    "tail_tip": ("tail", (-0.45, 0.0, 0.55), (-0.65, 0.0, 0.45), 0.015),
    "tail_end": ("tail_tip", (-0.65, 0.0, 0.45), (-0.70, 0.0, 0.43), 0.012),
    **{
        f"{end}_{part}_{side}": (above.format(end=end, side=side), first, last, radius)
        for side, y in (("left", 0.12), ("right", -0.12))
        for end, x in (("hind", 0.0), ("fore", 0.7))
        for part, above, first, last, radius in (
            ("thigh", "chest" if end == "fore" else "pelvis", (x, y, 0.55), (x + 0.08, y, 0.30),
             0.05),
            ("shank", "{end}_thigh_{side}", (x + 0.08, y, 0.30), (x - 0.06, y, 0.06), 0.03),
            ("foot", "{end}_shank_{side}", (x - 0.06, y, 0.06), (x + 0.06, y, 0.02), 0.025),
        )
    },
}  # fmt: skip
"""Joint name -> parent, place of the joint, end of its bone, radius; x forward, z up."""


def quadruped(*, along_z: bool = False) -> ModelArrays:
    """Return the model; with `along_z` in SMPL's axes: y up, z forward, x to the left."""
    names = tuple(BONES)
    parents = tuple(names.index(above) if above else -1 for above, *_ in BONES.values())
    vertices, faces, weights, regressor = [], [], [], []
    for joint, (_, first, last, radius) in enumerate(BONES.values()):
        at = 8 * joint
        vertices.append(_box(np.array(first), np.array(last), radius))
        faces.append(_BOX_FACES + at)
        weights.append(np.tile(np.eye(len(names))[joint], (8, 1)))
        row = np.zeros(8 * len(names))
        row[at : at + 4] = 0.25
        regressor.append(row)
    template = np.concatenate(vertices)
    longer, taller = template * (0.05, 0.0, 0.0), template * (0.0, 0.0, 0.05)
    shapedirs = np.stack([longer, taller], axis=-1)
    if along_z:
        template, shapedirs = template[:, [1, 2, 0]], shapedirs[:, [1, 2, 0]]
    arrays = ModelArrays(
        name="quadruped",
        skeleton=Skeleton(names, parents),
        v_template=template,
        faces=np.concatenate(faces),
        shapedirs=shapedirs,
        joint_regressor=np.stack(regressor),
        rest_joints=np.stack(regressor) @ template,
        weights=np.concatenate(weights),
    )
    return check(arrays)


def _box(first: np.ndarray, last: np.ndarray, radius: float) -> np.ndarray:
    """Corners (8, 3) of a bar: four around `first`, four around `last`."""
    side = np.cross(last - first, (0.0, 1.0, 0.0))
    side *= radius / np.linalg.norm(side)
    across = np.array([0.0, radius, 0.0])
    ring = [side + across, side - across, -side - across, -side + across]
    return np.array([first + corner for corner in ring] + [last + corner for corner in ring])


_BOX_FACES = np.array(
    [
        [0, 1, 2], [0, 2, 3], [4, 6, 5], [4, 7, 6], [0, 4, 5], [0, 5, 1],
        [1, 5, 6], [1, 6, 2], [2, 6, 7], [2, 7, 3], [3, 7, 4], [3, 4, 0],
    ]
)  # fmt: skip
