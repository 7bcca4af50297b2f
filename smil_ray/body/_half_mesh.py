"""One closed, mirror-symmetric mesh from a half trunk and limbs that grow out of holes in it.

Only the left half (y >= 0) is built; mirroring it and welding the midline makes symmetry exact.
Limbs are stitched to the trunk, so that the whole animal is one closed surface.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MIRROR = np.array([1.0, -1.0, 1.0])
Weights = dict[str, float]


@dataclass(frozen=True)
class Station:
    """One ring of the trunk, in the plane x = const, or a pole where both radii are 0.

    Attributes:
        joint: Name of the joint that sits in the centre of the ring, "" for none.
    """

    x: float
    z: float
    half_width: float
    half_height: float
    joint: str = ""


@dataclass(frozen=True)
class Ring:
    """One ring of a limb around a point of its path; `thickness` is the ratio of its radii."""

    centre: np.ndarray
    radius: float
    weights: Weights
    joint: str = ""
    thickness: float = 1.0


@dataclass
class HalfMesh:
    """The left half under construction; vertices on the midline have y = 0.

    Attributes:
        rings: Joint name -> vertices whose mean is the joint's place (of the left half only).
    """

    vertices: list[np.ndarray] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)
    faces: list[tuple[int, int, int]] = field(default_factory=list)
    rings: dict[str, list[int]] = field(default_factory=dict)

    def add(self, points: np.ndarray, weights: Sequence[Weights]) -> list[int]:
        """Add vertices and return their indices."""
        start = len(self.vertices)
        self.vertices.extend(points)
        self.weights.extend(weights)
        return list(range(start, len(self.vertices)))

    def add_trunk(
        self,
        stations: Sequence[Station],
        weights: Sequence[Weights],
        holes: set[tuple[int, int]],
        segments: int,
    ) -> dict[tuple[int, int], list[int]]:
        """Add the half trunk, front to back, and return the loop around each hole.

        Args:
            stations: First and last are poles.
            weights: Skinning weights of each station.
            holes: (station, segment) of quads to leave out; segments count from the belly up.
            segments: Quads from belly to back.

        Returns:
            Hole -> its four corners, counter-clockwise seen from outside.
        """
        angles = np.pi * (np.arange(segments + 1) / segments - 0.5)
        cosines, sines = np.cos(angles), np.sin(angles)
        cosines[[0, -1]] = 0.0
        rows: list[list[int]] = []
        for station, weight in zip(stations, weights, strict=True):
            count = 1 if station.half_width == 0.0 else segments + 1
            ring = np.stack(
                [
                    np.full(count, station.x),
                    station.half_width * cosines[:count],
                    station.z + station.half_height * sines[:count],
                ],
                axis=1,
            )
            rows.append(self.add(ring, [weight] * count))
            if station.joint:
                self.rings[station.joint] = rows[-1]
        loops: dict[tuple[int, int], list[int]] = {}
        for i in range(len(rows) - 1):
            for k in range(segments):
                quad = _corners(rows[i], rows[i + 1], k)
                if (i, k) in holes:
                    loops[i, k] = quad
                else:
                    self._add_polygon(quad)
        return loops

    def add_limb(
        self, loop: Sequence[int], rings: Sequence[Ring], tip: np.ndarray, sides: int
    ) -> None:
        """Grow a limb out of the hole inside `loop`, ring by ring, closed at `tip`."""
        centres = np.array([ring.centre for ring in rings] + [tip])
        start = np.mean([self.vertices[v] for v in loop], axis=0)
        frames = _frames(np.concatenate([start[None], centres]))
        turns = 2.0 * np.pi * np.arange(sides) / sides
        before: list[int] | None = None
        for ring, (normal, binormal) in zip(rings, frames, strict=False):
            offsets = np.cos(turns)[:, None] * normal + (
                ring.thickness * np.sin(turns)[:, None] * binormal
            )
            now = self.add(ring.centre + ring.radius * offsets, [ring.weights] * sides)
            if ring.joint:
                self.rings[ring.joint] = now
            if before is None:
                self._stitch(list(loop), now)
            else:
                for k in range(sides):
                    after = (k + 1) % sides
                    self._add_polygon([before[k], before[after], now[after], now[k]])
            before = now
        (pole,) = self.add(tip[None], [rings[-1].weights])
        last = before or []
        for k in range(sides):
            self.faces.append((last[k], last[(k + 1) % sides], pole))

    def _add_polygon(self, corners: list[int]) -> None:
        unique = list(dict.fromkeys(corners))
        self.faces.extend((unique[0], unique[k], unique[k + 1]) for k in range(1, len(unique) - 1))

    def _stitch(self, outer: list[int], inner: list[int]) -> None:
        """Close the gap between two loops that both run counter-clockwise seen from outside."""
        at = self.vertices
        first = min(range(len(inner)), key=lambda k: _distance(at[outer[0]], at[inner[k]]))
        inner = [*inner[first:], *inner[:first]]
        i = j = 0
        n, m = len(outer), len(inner)
        while i < n or j < m:
            here, there = outer[i % n], inner[j % m]
            next_outer, next_inner = outer[(i + 1) % n], inner[(j + 1) % m]
            outer_gain = _distance(at[next_outer], at[there])
            inner_gain = _distance(at[here], at[next_inner])
            if j == m or (i < n and outer_gain <= inner_gain):
                self.faces.append((here, next_outer, there))
                i += 1
            else:
                self.faces.append((here, next_inner, there))
                j += 1


@dataclass(frozen=True)
class WholeMesh:
    """Both halves welded: vertices (V, 3), faces (F, 3), names of bones in `weights` by vertex.

    Attributes:
        mirror: For each vertex the one on the other side, itself on the midline.
        rings: Joint name -> vertices whose mean is the joint's place.
    """

    vertices: np.ndarray
    faces: np.ndarray
    weights: list[Weights]
    mirror: np.ndarray
    rings: dict[str, list[int]]


def mirrored(half: HalfMesh) -> WholeMesh:
    """Return the whole mesh: names ending in `_l` become `_r` on the other side."""
    left = np.array(half.vertices)
    off_midline = np.flatnonzero(left[:, 1] != 0.0)
    partner = np.arange(len(left))
    partner[off_midline] = len(left) + np.arange(len(off_midline))
    faces = np.array(half.faces)
    mirror = np.concatenate([partner, off_midline])
    rings: dict[str, list[int]] = {}
    for name, ring in half.rings.items():
        other = [int(partner[v]) for v in ring]
        if name.endswith("_l"):
            rings[name], rings[_other_side(name)] = ring, other
        else:
            rings[name] = list(dict.fromkeys([*ring, *other]))
    return WholeMesh(
        vertices=np.concatenate([left, left[off_midline] * MIRROR]),
        faces=np.concatenate([faces, partner[faces][:, [0, 2, 1]]]),
        weights=half.weights
        + [{_other_side(name): w for name, w in half.weights[v].items()} for v in off_midline],
        mirror=mirror,
        rings=rings,
    )


def _other_side(name: str) -> str:
    return name[:-2] + "_r" if name.endswith("_l") else name


def _corners(front: list[int], back: list[int], k: int) -> list[int]:
    """Corners of a trunk quad, counter-clockwise seen from outside (left); poles repeat."""
    f0, f1 = front[min(k, len(front) - 1)], front[min(k + 1, len(front) - 1)]
    b0, b1 = back[min(k, len(back) - 1)], back[min(k + 1, len(back) - 1)]
    return [f0, b0, b1, f1]


def _frames(path: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return two directions across the path at each point but the first and last, untwisted."""
    steps = np.diff(path, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    frames = []
    normal = np.array([0.0, 0.0, 1.0]) if abs(steps[0, 2]) < 0.8 else np.array([1.0, 0.0, 0.0])
    for before, after in itertools.pairwise(steps):
        along = before + after
        along /= np.linalg.norm(along)
        normal = normal - (normal @ along) * along
        normal /= np.linalg.norm(normal)
        frames.append((normal, np.cross(along, normal)))
    return frames


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))
