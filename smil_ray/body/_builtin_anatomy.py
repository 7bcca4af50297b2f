"""Anatomy of the procedural insect: joints, trunk, limbs and how each shape direction moves them.

The joint tree is that of the SMIL ants and stick insects: `b_t` thorax (root), `b_a_1` to `b_a_5`
waist and abdomen, `b_h` head, `ma` mandible, `an_1` to `an_3` antenna, `w_1`, `w_2` wings, and for
each leg `co` hip (coxa), `tr` trochanter, `fe` knee (far end of the femur), `ti` ankle (far end of
the tibia), `ta` within the tarsus, `pt` claw. x points forward, y left, z up; model units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smil_ray.body._half_mesh import HalfMesh, Ring, Station, Weights

LEG_JOINTS = ("co", "tr", "fe", "ti", "ta", "pt")
SHAPE_NAMES = (
    "body length",
    "leg length",
    "abdomen girth",
    "head size",
    "antenna length",
    "thorax girth",
)
_TRUNK_SEGMENTS = 6


def _joint_table() -> tuple[tuple[str, ...], tuple[int, ...]]:
    pairs: list[tuple[str, str]] = [("b_t", "")]
    pairs += [(f"b_a_{i}", "b_t" if i == 1 else f"b_a_{i - 1}") for i in range(1, 6)]
    for side in "rl":
        for leg in (1, 2, 3):
            above = "b_t"
            for part in LEG_JOINTS:
                pairs.append((f"l_{leg}_{part}_{side}", above))
                above = f"l_{leg}_{part}_{side}"
        pairs += [(f"w_{i}_{side}", "b_t") for i in (1, 2)]
    pairs.append(("b_h", "b_t"))
    for side in "rl":
        pairs += [(f"ma_{side}", "b_h"), (f"an_1_{side}", "b_h")]
        pairs += [(f"an_{i}_{side}", f"an_{i - 1}_{side}") for i in (2, 3)]
    names = tuple(name for name, _ in pairs)
    return names, tuple(names.index(above) if above else -1 for _, above in pairs)


JOINT_NAMES, PARENTS = _joint_table()


@dataclass(frozen=True)
class Shape:
    """Amount of each shape direction, in standard deviations."""

    body_length: float = 0.0
    leg_length: float = 0.0
    abdomen_girth: float = 0.0
    head_size: float = 0.0
    antenna_length: float = 0.0
    thorax_girth: float = 0.0


_THORAX = 0.12
"""Change of the thorax's girth, and of the wing buds on it, per standard deviation."""
_ROOT_X = 0.085
_NECK_X = 0.36
_WAIST_X = -0.18
_GASTER_X = -0.32
_TRUNK = (
    Station(0.652, 0.022, 0.0, 0.0),
    Station(0.640, 0.024, 0.046, 0.034),
    Station(0.610, 0.032, 0.088, 0.060),
    Station(0.560, 0.044, 0.116, 0.080),
    Station(0.500, 0.054, 0.132, 0.091),
    Station(0.440, 0.058, 0.124, 0.088),
    Station(0.398, 0.054, 0.082, 0.064),
    Station(0.376, 0.048, 0.040, 0.036),
    Station(_NECK_X, 0.044, 0.032, 0.030, "b_h"),
    Station(0.342, 0.040, 0.044, 0.042),
    Station(0.300, 0.034, 0.070, 0.068),
    Station(0.240, 0.032, 0.082, 0.082),
    Station(0.185, 0.030, 0.080, 0.080),
    Station(0.135, 0.026, 0.073, 0.074),
    Station(_ROOT_X, 0.020, 0.067, 0.066, "b_t"),
    Station(0.025, 0.018, 0.062, 0.060),
    Station(-0.035, 0.018, 0.064, 0.064),
    Station(-0.085, 0.018, 0.062, 0.064),
    Station(-0.130, 0.014, 0.050, 0.052),
    Station(-0.162, 0.008, 0.030, 0.032),
    Station(_WAIST_X, 0.006, 0.022, 0.024, "b_a_1"),
    Station(-0.215, 0.020, 0.032, 0.042),
    Station(-0.250, 0.028, 0.040, 0.058),
    Station(-0.285, 0.014, 0.030, 0.040),
    Station(_GASTER_X, 0.006, 0.022, 0.024, "b_a_2"),
    Station(-0.345, 0.006, 0.060, 0.054),
    Station(-0.390, 0.008, 0.114, 0.104),
    Station(-0.440, 0.010, 0.146, 0.134),
    Station(-0.460, 0.010, 0.140, 0.128, "b_a_3"),
    Station(-0.490, 0.010, 0.160, 0.146),
    Station(-0.560, 0.008, 0.172, 0.156),
    Station(-0.625, 0.004, 0.166, 0.150),
    Station(-0.645, 0.002, 0.154, 0.138, "b_a_4"),
    Station(-0.680, 0.000, 0.156, 0.140),
    Station(-0.745, -0.006, 0.138, 0.122),
    Station(-0.805, -0.014, 0.108, 0.094),
    Station(-0.825, -0.018, 0.094, 0.082, "b_a_5"),
    Station(-0.860, -0.024, 0.082, 0.070),
    Station(-0.915, -0.034, 0.050, 0.042),
    Station(-0.945, -0.040, 0.022, 0.020),
    Station(-0.955, -0.042, 0.0, 0.0),
)
_BONE_AT_X = ("b_h", "b_t", "b_a_1", "b_a_2", "b_a_3", "b_a_4", "b_a_5")
_BLEND = {
    "b_h": 0.022,
    "b_a_1": 0.028,
    "b_a_2": 0.028,
    "b_a_3": 0.045,
    "b_a_4": 0.05,
    "b_a_5": 0.05,
}

# (station, segment) of the trunk quad that a limb grows out of.
_HOLES = {
    "l_1": (10, 1),
    "l_2": (13, 1),
    "l_3": (16, 1),
    "w_1": (11, 4),
    "w_2": (15, 4),
    "ma": (1, 2),
    "an": (2, 4),
    "eye": (3, 3),
}

# Points relative to the hip, from trochanter to claw.
_LEGS = {
    "l_1": (
        (0.030, 0.045, -0.045), (0.180, 0.225, 0.145), (0.300, 0.335, -0.080),
        (0.355, 0.380, -0.168), (0.395, 0.410, -0.205),
    ),
    "l_2": (
        (-0.005, 0.052, -0.045), (-0.030, 0.265, 0.165), (-0.085, 0.385, -0.070),
        (-0.105, 0.435, -0.165), (-0.118, 0.470, -0.205),
    ),
    "l_3": (
        (-0.042, 0.048, -0.042), (-0.255, 0.245, 0.195), (-0.475, 0.365, -0.060),
        (-0.585, 0.420, -0.165), (-0.635, 0.440, -0.205),
    ),
}  # fmt: skip
# (segment of the leg, fraction along it, radius)
_LEG_RINGS = (
    (0, 0.0, 0.025), (0, 0.5, 0.030), (1, 0.0, 0.019), (1, 0.12, 0.018), (1, 0.45, 0.0245),
    (1, 0.86, 0.019), (2, 0.0, 0.018), (2, 0.14, 0.0145), (2, 0.6, 0.0155), (3, 0.0, 0.0115),
    (3, 0.2, 0.0095), (4, 0.0, 0.0095), (5, 0.0, 0.0065),
)  # fmt: skip
_ANTENNA = ((0.085, 0.150, 0.050), (0.265, 0.190, -0.030), (0.340, 0.200, -0.055))
_ANTENNA_RINGS = (
    (0, 0.0, 0.0125), (0, 0.15, 0.0105), (0, 0.85, 0.0125), (1, 0.0, 0.0105), (1, 0.1, 0.0105),
    (1, 0.5, 0.0115), (1, 0.85, 0.0125), (2, 0.0, 0.0135), (2, 0.55, 0.0145), (2, 0.88, 0.009),
)  # fmt: skip
_MANDIBLE = ((0.050, 0.012, -0.006), (0.092, -0.002, -0.012), (0.112, -0.028, -0.016))
_WINGS = {"w_1": (-0.085, 0.034, 0.018), "w_2": (-0.066, 0.034, 0.034)}


def grow(shape: Shape) -> HalfMesh:
    """Return the left half of the insect with this shape; the mesh's topology is always alike."""
    mesh = HalfMesh()
    stations = [_reshape(station, shape) for station in _TRUNK]
    weights = [_trunk_weights(station.x) for station in _TRUNK]
    loops = mesh.add_trunk(stations, weights, set(_HOLES.values()), _TRUNK_SEGMENTS)
    head = 1.0 + 0.10 * shape.head_size
    for leg, points in _LEGS.items():
        base = _base(mesh, loops[_HOLES[leg]], 0.014)
        path = base + (1.0 + 0.12 * shape.leg_length) * np.array([(0.0, 0.0, 0.0), *points])
        tip = path[-1] + 0.045 * (path[-1] - path[-2]) / np.linalg.norm(path[-1] - path[-2])
        names = [f"{leg}_{part}_l" for part in LEG_JOINTS]
        rings = _limb_rings(np.concatenate([path, tip[None]]), names, "b_t", _LEG_RINGS)
        mesh.add_limb(loops[_HOLES[leg]], rings, tip, sides=6)
    for wing, reach in _WINGS.items():
        base = _base(mesh, loops[_HOLES[wing]], 0.011)
        size = 1.0 + _THORAX * shape.thorax_girth
        _add_wing(mesh, loops[_HOLES[wing]], base, size * np.array(reach), f"{wing}_l")
    base = _base(mesh, loops[_HOLES["an"]], 0.010)
    path = base + (1.0 + 0.15 * shape.antenna_length) * np.array([(0.0, 0.0, 0.0), *_ANTENNA])
    names = [f"an_{i}_l" for i in (1, 2, 3)]
    rings = _limb_rings(path, names, "b_h", _ANTENNA_RINGS)
    mesh.add_limb(loops[_HOLES["an"]], rings, path[-1], sides=6)
    _add_mandible(mesh, loops[_HOLES["ma"]], head)
    _add_eye(mesh, loops[_HOLES["eye"]], head)
    return mesh


def _reshape(station: Station, shape: Shape) -> Station:
    """Move and resize one ring of the trunk."""
    stretch = 1.0 + 0.08 * shape.body_length
    x, z, width, height = station.x, station.z, station.half_width, station.half_height
    if x > _NECK_X:
        head = 1.0 + 0.10 * shape.head_size
        z = _TRUNK[8].z + head * (z - _TRUNK[8].z)
        new_x = _ROOT_X + stretch * (_NECK_X - _ROOT_X) + head * (x - _NECK_X)
        width, height = head * width, head * height
    else:
        new_x = _ROOT_X + stretch * (x - _ROOT_X)
        amount = _THORAX * shape.thorax_girth if x > _WAIST_X else 0.0
        if x < _GASTER_X:
            amount = 0.14 * shape.abdomen_girth
        width, height = (1.0 + amount) * width, (1.0 + amount) * height
    return Station(new_x, z, width, height, station.joint)


def _trunk_weights(x: float) -> Weights:
    """Blend the two bones that meet at the nearest joint of the trunk."""
    joints = [station for station in _TRUNK if station.joint and station.joint != "b_t"]
    weights = {"b_h": 1.0}
    for station in joints:
        before = "b_t" if station.joint == "b_a_1" else _BONE_AT_X[_bone_index(station.joint) - 1]
        after = "b_t" if station.joint == "b_h" else station.joint
        before = "b_h" if station.joint == "b_h" else before
        share = _smoothstep((station.x - x) / _BLEND[station.joint])
        if share > 0.0:
            weights = {before: 1.0 - share, after: share}
    return {name: w for name, w in weights.items() if w > 0.0}


def _bone_index(joint: str) -> int:
    return _BONE_AT_X.index(joint)


def _smoothstep(t: float) -> float:
    """Return 0 below -1, 1 above 1, and a smooth step in between."""
    u = min(max(0.5 * (t + 1.0), 0.0), 1.0)
    return u * u * (3.0 - 2.0 * u)


def _base(mesh: HalfMesh, loop: Sequence[int], out: float) -> np.ndarray:
    """Return the point `out` above the middle of a hole."""
    corners = np.array([mesh.vertices[v] for v in loop])
    normal = np.cross(corners[2] - corners[0], corners[3] - corners[1])
    return corners.mean(axis=0) + out * normal / np.linalg.norm(normal)


def _limb_rings(
    path: np.ndarray,
    names: Sequence[str],
    trunk_bone: str,
    rings: Sequence[tuple[int, float, float]],
) -> list[Ring]:
    """Return the rings of a limb along `path`, whose corners are the joints `names` and a tip."""
    made = []
    for segment, fraction, radius in rings:
        if fraction == 0.0:
            above = names[segment - 1] if segment else trunk_bone
            weights, joint = {above: 0.5, names[segment]: 0.5}, names[segment]
        else:
            weights, joint = {names[segment]: 1.0}, ""
        centre = path[segment] + fraction * (path[segment + 1] - path[segment])
        made.append(Ring(centre, radius, weights, joint))
    return made


def _add_wing(
    mesh: HalfMesh, loop: Sequence[int], base: np.ndarray, reach: np.ndarray, name: str
) -> None:
    width = 0.12 * float(np.linalg.norm(reach))
    rings = [
        Ring(base, 1.2 * width, {"b_t": 0.5, name: 0.5}, name, 1.2),
        Ring(base + 0.45 * reach, width, {name: 1.0}, thickness=2.2),
        Ring(base + 0.85 * reach, 0.65 * width, {name: 1.0}, thickness=2.2),
    ]
    mesh.add_limb(loop, rings, base + reach, sides=6)


def _add_mandible(mesh: HalfMesh, loop: Sequence[int], head: float) -> None:
    base = _base(mesh, loop, 0.008)
    first, second, tip = (base + head * np.array(point) for point in _MANDIBLE)
    rings = [
        Ring(base, 0.017 * head, {"b_h": 0.5, "ma_l": 0.5}, "ma_l"),
        Ring(first, 0.021 * head, {"ma_l": 1.0}, thickness=0.7),
        Ring(second, 0.014 * head, {"ma_l": 1.0}, thickness=0.6),
    ]
    mesh.add_limb(loop, rings, tip, sides=6)


def _add_eye(mesh: HalfMesh, loop: Sequence[int], head: float) -> None:
    skin: Weights = {"b_h": 1.0}
    shells = ((0.004, 0.031), (0.020, 0.024))
    rings = [Ring(_base(mesh, loop, out * head), radius * head, skin) for out, radius in shells]
    mesh.add_limb(loop, rings, _base(mesh, loop, 0.029 * head), sides=8)
