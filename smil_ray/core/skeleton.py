"""Joint names and their tree; everything about joints goes by name, never by a literal index."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool

from smil_ray.core.trunk import trunk_joints
from smil_ray.errors import ConfigError, ModelFileError, nearest


@dataclass(frozen=True)
class Skeleton:
    """A kinematic tree: `parents[j]` is the parent's index, -1 for the root, parents come first.

    Attributes:
        joint_names: Unique names.
        parents: Index of each joint's parent.
        named_chain: Joints along the trunk, end to end, if the model names them: all of them, or
            some with the joints between them left out; see `body_chain`.

    Raises:
        ModelFileError: Names and parents differ in number, a name occurs twice, the first joint
            is not the only root, a parent comes after its child, or the named chain is none.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    named_chain: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names, parents = self.joint_names, self.parents
        if len(names) != len(parents) or not names:
            raise ModelFileError(
                "Skeleton", expected=f"{len(names)} parents", found=f"{len(parents)}"
            )
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ModelFileError(f"Skeleton: joint name {twice[0]!r} occurs twice")
        for joint, parent in enumerate(parents):
            if (joint == 0) != (parent == -1) or parent >= joint:
                raise ModelFileError(
                    f"Skeleton: joint {names[joint]!r}",
                    expected="one root, first, and parents before children",
                    found=f"parent index {parent}",
                )
        self._check_named_chain()

    @property
    def n_joints(self) -> int:
        """Number of joints, the root included."""
        return len(self.joint_names)

    @property
    def n_pose(self) -> int:
        """Number of joints with a predicted local rotation: all but the root."""
        return len(self.joint_names) - 1

    @cached_property
    def index(self) -> dict[str, int]:
        """Joint name to index."""
        return {name: joint for joint, name in enumerate(self.joint_names)}

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Children of each joint."""
        found: list[list[int]] = [[] for _ in self.parents]
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                found[parent].append(joint)
        return tuple(tuple(group) for group in found)

    @cached_property
    def lineage(self) -> Bool[np.ndarray, "n_joints n_joints"]:
        """Whether joint b is joint a or above it, at [a, b]."""
        above = np.eye(self.n_joints, dtype=bool)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                above[joint] |= above[parent]
        return above

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Joints by depth below the root: forward kinematics does one product per level."""
        depth: list[int] = []
        for parent in self.parents:
            depth.append(0 if parent < 0 else depth[parent] + 1)
        return tuple(
            tuple(j for j, d in enumerate(depth) if d == level) for level in range(max(depth) + 1)
        )

    @cached_property
    def body_chain(self) -> tuple[int, ...]:
        """Joints along the trunk, end to end; the length of this chain is the *body length*.

        The chain that the model names (`named_chain`). If it names none, the longest path in
        joints within the trunk as the joints' names tell it (`core.trunk`): in replicAnt's
        insects from the abdomen's tip to the head, in other animals without tail, ears, antennae
        and limbs. A chain's length does not change with pose.
        """
        if self.named_chain:
            stops = [self.index[name] for name in self.named_chain]
            legs = [self._path(a, b) for a, b in pairwise(stops)]
            return (stops[0], *(joint for leg in legs for joint in leg[1:]))
        trunk = trunk_joints(self.joint_names)
        paths = [self._path(a, b) for a in sorted(trunk) for b in sorted(trunk) if a <= b]
        return max((p for p in paths if trunk.issuperset(p)), key=len, default=(0,))

    def describe_chain(self) -> str:
        """Return the joints of the body chain by name, and how they were found."""
        names = " - ".join(self.joint_names[joint] for joint in self.body_chain)
        if self.named_chain:
            return names
        if len(trunk_joints(self.joint_names)) == self.n_joints:
            return f"{names} (the longest path; the joints' names do not tell the trunk)"
        return f"{names} (by the joints' names)"

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the joint on the other side (`_l` <-> `_r`), itself on the midline."""
        swap = {"_l": "_r", "_r": "_l"}
        return tuple(
            self.index.get(name[:-2] + swap[name[-2:]], joint) if name[-2:] in swap else joint
            for joint, name in enumerate(self.joint_names)
        )

    def mask(self, names: Iterable[str], setting: str = "ignored_joints") -> np.ndarray:
        """Return a boolean (J,) array that is true at `names`.

        Raises:
            ConfigError: A name is not a joint; the nearest joint name is given.
        """
        found = np.zeros(self.n_joints, dtype=bool)
        for name in names:
            if name not in self.index:
                near = nearest(name, self.joint_names)
                raise ConfigError(
                    f"{setting}: unknown joint {name!r}", remedy=f"the nearest joint is {near!r}"
                )
            found[self.index[name]] = True
        return found

    def _check_named_chain(self) -> None:
        chain = self.named_chain
        unknown = [name for name in chain if name not in self.joint_names]
        if unknown:
            near = nearest(unknown[0], self.joint_names)
            raise ModelFileError(
                f"Skeleton: body chain with the unknown joint {unknown[0]!r}",
                remedy=f"the nearest joint is {near!r}",
            )
        whole = self.body_chain if chain else ()
        if len(chain) == 1 or len(set(whole)) < len(whole):
            raise ModelFileError(
                "Skeleton: body chain",
                expected="two or more joints along the trunk, in order",
                found=", ".join(chain),
            )

    def _path(self, a: int, b: int) -> tuple[int, ...]:
        """Joints from `a` to `b` through their lowest common ancestor."""
        above_a, above_b = self._ancestors(a), self._ancestors(b)
        common = next(j for j in above_a if j in set(above_b))
        down = above_b[: above_b.index(common)]
        return tuple(above_a[: above_a.index(common) + 1]) + tuple(reversed(down))

    def _ancestors(self, joint: int) -> list[int]:
        chain = [joint]
        while self.parents[chain[-1]] >= 0:
            chain.append(self.parents[chain[-1]])
        return chain


def chain_length(points: np.ndarray, chain: Sequence[int]) -> np.ndarray:
    """Return the summed distances (...,) along `chain` of points (..., J, 3), in their unit."""
    line = points[..., list(chain), :]
    return np.asarray(np.linalg.norm(np.diff(line, axis=-2), axis=-1).sum(axis=-1))
