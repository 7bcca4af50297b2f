"""How deep an animal's limbs stick into its body and into each other, and poses without that.

Bones are capsules whose radius is a share of the body's, so that parts may press on each other
but not pass through. The same capsules, in body lengths, measure any animal with the same joints.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from smil_ray.core.skeleton import Skeleton, chain_length
from smil_ray.data.synthetic.poses._kinematics import joint_places

CORE = 0.6
"""Radius of a capsule over the median distance of the surface from its bone."""
_APART = 2
"""Bones with fewer others between them are neighbours, which cannot help touching."""
_ROUNDS = 10
_SHRINK = 0.8


@dataclass(frozen=True)
class Capsules:
    """The bones of a body model as capsules, in body lengths.

    Attributes:
        skeleton: Joint tree of the model and of the points that are measured.
        start: Joint at the upper end of each bone; the bone moves with it.
        end: Joint at its lower end.
        radius: Body lengths.
        pairs: Bones that are neither neighbours nor touch at rest.
    """

    skeleton: Skeleton
    start: Int[np.ndarray, " n_bones"]
    end: Int[np.ndarray, " n_bones"]
    radius: Float[np.ndarray, " n_bones"]
    pairs: Int[np.ndarray, "n_pairs 2"]

    @classmethod
    def of(
        cls,
        skeleton: Skeleton,
        rest_joints: Float[np.ndarray, "n_joints 3"],
        template: Float[np.ndarray, "n_verts 3"],
        part: Int[np.ndarray, " n_verts"],
    ) -> "Capsules":
        """Return the capsules of a model at rest.

        Args:
            skeleton: The model's joint tree.
            rest_joints: Model units.
            template: Vertices at rest, model units.
            part: The joint that each vertex follows most.
        """
        length = float(chain_length(rest_joints, skeleton.body_chain))
        end = np.arange(1, skeleton.n_joints)
        start = np.array(skeleton.parents)[1:]
        radius = np.array(
            [
                _radius(rest_joints[a], rest_joints[b], template[part == a])
                for a, b in zip(start, end, strict=True)
            ]
        )
        known = radius > 0.0
        start, end, radius = start[known], end[known], radius[known] * CORE / length
        pairs = _distant_pairs(skeleton, start, end)
        free = cls(skeleton, start, end, radius, pairs)
        at_rest = free.depths(rest_joints[None] / length)[0]
        return cls(skeleton, start, end, radius, pairs[at_rest == 0.0])

    def depths(
        self, points_bl: Float[np.ndarray, "batch n_joints 3"]
    ) -> Float[np.ndarray, "batch n_pairs"]:
        """Return how deep each pair's capsules stick into each other, body lengths; 0 if not.

        Args:
            points_bl: Joints in body lengths, in any frame.
        """
        one, two = self.pairs.T
        a, b = points_bl[:, self.start], points_bl[:, self.end]
        reach = self.radius[one] + self.radius[two]
        middle, half = 0.5 * (a + b), 0.5 * np.linalg.norm(b - a, axis=-1)
        gap = np.linalg.norm(middle[:, one] - middle[:, two], axis=-1)
        sample, pair = np.nonzero(gap < half[:, one] + half[:, two] + reach)
        depth = np.zeros(gap.shape)
        first, second = one[pair], two[pair]
        distance = segment_distance(
            a[sample, first], b[sample, first], a[sample, second], b[sample, second]
        )
        depth[sample, pair] = np.maximum(reach[pair] - distance, 0.0)
        return depth

    def cleared(
        self,
        joint_rot: Float[np.ndarray, "n_pose 3"],
        rest_joints: Float[np.ndarray, "n_joints 3"],
    ) -> Float[np.ndarray, "n_pose 3"]:
        """Return the pose with the joints between parts that touch moved towards rest.

        A few poses keep a light touch: those where it needs more than some rounds.
        """
        length = float(chain_length(rest_joints, self.skeleton.body_chain))
        pose = joint_rot
        for _ in range(_ROUNDS):
            points = joint_places(self.skeleton, rest_joints, pose)
            touching = self.depths(points[None] / length)[0] > 0.0
            if not touching.any():
                break
            between = np.any(self._joints_between[touching], axis=0)
            pose = np.where(between[1:, None], _SHRINK * pose, pose)
        return pose

    def between(self, one: Iterable[str], two: Iterable[str]) -> Bool[np.ndarray, " n_pairs"]:
        """Return the pairs of a bone that ends in a joint of `one` and a bone of `two`.

        Two bones of the same limb (one lies above the other in the tree) are not among them.
        """
        ends = self.end[self.pairs]
        first, second = self.skeleton.mask(one)[ends], self.skeleton.mask(two)[ends]
        found = (first[:, 0] & second[:, 1]) | (first[:, 1] & second[:, 0])
        above = self.skeleton.lineage
        return found & ~above[ends[:, 0], ends[:, 1]] & ~above[ends[:, 1], ends[:, 0]]

    @cached_property
    def _joints_between(self) -> Bool[np.ndarray, "n_pairs n_joints"]:
        """The joints that move one bone of a pair against the other."""
        above = self.skeleton.lineage[self.start]
        return above[self.pairs[:, 0]] ^ above[self.pairs[:, 1]]


def segment_distance(
    a: Float[np.ndarray, "n 3"],
    b: Float[np.ndarray, "n 3"],
    c: Float[np.ndarray, "n 3"],
    d: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, " n"]:
    """Return the least distance between the segments a-b and c-d (Ericson 2004, section 5.1.9)."""
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = _dot(u, u), _dot(v, v), _dot(u, v)
    uw, vw = _dot(u, w), _dot(v, w)
    area = uu * vv - uv * uv
    tiny = 1e-15
    s = np.clip(np.where(area > tiny, (uv * vw - uw * vv) / np.maximum(area, tiny), 0.0), 0, 1)
    t = np.clip((uv * s + vw) / np.maximum(vv, tiny), 0.0, 1.0)
    s = np.clip((uv * t - uw) / np.maximum(uu, tiny), 0.0, 1.0)
    return np.linalg.norm(w + s[:, None] * u - t[:, None] * v, axis=-1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nc,nc->n", a, b)


def _radius(start: np.ndarray, end: np.ndarray, surface: np.ndarray) -> float:
    """Median distance from a bone of the vertices beside it; 0 where there are too few."""
    bone = end - start
    length = float(bone @ bone)
    if length == 0.0 or len(surface) == 0:
        return 0.0
    along = (surface - start) @ bone / length
    beside = (along >= 0.0) & (along <= 1.0)
    if beside.sum() < 3:
        return 0.0
    off = surface[beside] - start - along[beside, None] * bone
    return float(np.median(np.linalg.norm(off, axis=-1)))


def _distant_pairs(
    skeleton: Skeleton, start: Int[np.ndarray, " n"], end: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "n_pairs 2"]:
    """All pairs of bones with at least two other bones between them."""
    above = skeleton.lineage
    apart = (above[:, None, :] ^ above[None, :, :]).sum(axis=-1)
    ends = np.stack([start, end])
    between = apart[ends[:, None, :, None], ends[None, :, None, :]].min(axis=(0, 1))
    one, two = np.triu_indices(len(start), k=1)
    return np.stack([one, two], axis=1)[between[one, two] >= _APART]
