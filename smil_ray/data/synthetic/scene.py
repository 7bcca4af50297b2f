"""Random scenes: poses, shapes, places in the world, cameras all around.

Frames are the package's: world = Unreal's world mirrored in x, z up, model units; the head of an
animal that stands in the world unturned points along +x and its back along +z. Angles are radians
unless a name says degrees.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from smil_ray.data.synthetic.annotations import CameraTruth
from smil_ray.data.synthetic.poses.source import PoseSource

FOV_RANGE_DEG = (10.0, 57.0)
FILL_RANGE = (0.25, 0.9)
LOWEST_VIEW_DEG = -35.0
HIGHEST_VIEW_DEG = 89.0
NEAREST = 1.1
"""Nothing comes closer to the camera (model units); Unreal clips at 1.0."""
LARGEST_BONE_SCALE = 1.3
LARGEST_SHIFT = 0.03
"""Of the body length: the largest per-joint translation."""


@dataclass(frozen=True)
class Anatomy:
    """What sampling needs to know of a body model, as plain arrays.

    Attributes:
        poses: Where poses come from.
        standing: Matrix from the model's axes to those of an animal that stands in the world
            with its head along x: the unit matrix for SMIL and SMAL.
        shape_root: Matrix that turns standard normal numbers into betas around `shape_mean`.
        scaledirs: Isotropic part of the bone-scale directions (K, J).
        transdirs: Bone-translation directions times 0.01 (K, J, 3), model units.
        body_length: Model units.
    """

    poses: PoseSource
    standing: Float[np.ndarray, "3 3"]
    shape_mean: Float[np.ndarray, " n_betas"]
    shape_root: Float[np.ndarray, "n_betas n_betas"]
    scaledirs: Float[np.ndarray, "k n_joints"]
    transdirs: Float[np.ndarray, "k n_joints 3"]
    body_length: float


@dataclass(frozen=True)
class AnimalDraw:
    """One random animal: its pose, shape and place. Rotations are axis-angle vectors."""

    global_rot: Float[np.ndarray, "3"]
    joint_rot: Float[np.ndarray, "n_pose 3"]
    betas: Float[np.ndarray, " n_betas"]
    scale_weights: Float[np.ndarray, " k"]
    trans_weights: Float[np.ndarray, " k"]
    trans: Float[np.ndarray, "3"]


@dataclass(frozen=True)
class LightDraw:
    """Sunlight: direction towards the light in the world, strengths and colour."""

    direction: Float[np.ndarray, "3"]
    ambient: float
    diffuse: float
    specular: float
    shininess: float
    tint: Float[np.ndarray, "3"]


def draw_animal(
    rng: Generator,
    anatomy: Anatomy,
    beside: AnimalDraw | None = None,
) -> AnimalDraw:
    """Return a random animal, somewhere in the world or `beside` another one on its ground.

    Args:
        rng: Source of randomness.
        anatomy: The body model.
        beside: Another animal, near which this one stands.
    """
    z = rng.standard_normal(len(anatomy.shape_mean))
    tilt = rng.normal(0.0, math.radians(10.0), 2)
    if rng.random() < 0.06:  # Climbing or fallen over.
        tilt = rng.uniform(-1.3, 1.3, 2)
    heading = Rotation.from_euler("z", rng.uniform(0.0, 2.0 * math.pi))
    if beside is None:
        trans = np.append(rng.uniform(-4.0, 4.0, 2), rng.uniform(0.5, 5.0))
    else:
        away, angle = rng.uniform(0.75, 1.6) * anatomy.body_length, rng.uniform(0, 2 * math.pi)
        trans = beside.trans + away * np.array([math.cos(angle), math.sin(angle), 0.0])
    stance = Rotation.from_matrix(anatomy.standing)
    return AnimalDraw(
        global_rot=(heading * Rotation.from_euler("xy", tilt) * stance).as_rotvec(),
        joint_rot=anatomy.poses.draw(rng),
        betas=anatomy.shape_mean + anatomy.shape_root @ np.clip(0.8 * z, -2.0, 2.0),
        scale_weights=_draw_scale_weights(rng, anatomy),
        trans_weights=_draw_trans_weights(rng, anatomy),
        trans=trans,
    )


@dataclass(frozen=True)
class ViewRange:
    """Which views of the animal are drawn.

    Attributes:
        lowest_deg: Least elevation of the camera above the animal's horizon; 90 is straight above.
        largest_turn_deg: How far the head may point away from the top of the picture, in a view
            from above; 180: anywhere.
        least_fill: Least share of the picture's width that the animal's larger extent fills.
        out_of_frame: Probability that up to 40 % of the animal's box lie outside the frame.
        fov_ranges_deg: Ranges of the field of view, drawn equally often.
    """

    lowest_deg: float = LOWEST_VIEW_DEG
    largest_turn_deg: float = 180.0
    least_fill: float = FILL_RANGE[0]
    out_of_frame: float = 0.0
    fov_ranges_deg: tuple[tuple[float, float], ...] = (FOV_RANGE_DEG,)


def draw_camera(
    rng: Generator,
    vertices: Float[np.ndarray, "n 3"],
    size: int,
    views: ViewRange | None = None,
    heading_rad: float = 0.0,
) -> CameraTruth:
    """Return a camera that sees the animal, mostly from above or from the side.

    Args:
        rng: Source of randomness.
        vertices: The animal in the world.
        size: Width and height of the picture in pixels.
        views: Limits of the view; all around by default.
        heading_rad: Where the animal's head points in the world, counted from x towards y.
    """
    views = views or ViewRange()
    axes = _view_axes(rng, views, heading_rad)
    ranges = views.fov_ranges_deg
    fov_range = ranges[rng.integers(len(ranges)) if len(ranges) > 1 else 0]
    fov_deg = float(np.exp(rng.uniform(*np.log(fov_range))))
    focal = 0.5 / math.tan(math.radians(fov_deg) / 2.0)
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    turned = (vertices - centre) @ axes
    fill = rng.triangular(views.least_fill, max(views.least_fill, 0.7), FILL_RANGE[1])
    nearest = NEAREST - float(turned[:, 2].min())
    shift = np.array([0.0, 0.0, nearest + 5.0])
    for _ in range(5):
        box = _projected_box(turned + shift, focal)
        extent = float((box[1] - box[0]).max())
        shift[2] = max(shift[2] * extent / fill, nearest)
    box = _projected_box(turned + shift, focal)
    wanted = _wanted_centre(rng, box[1] - box[0], views.out_of_frame)
    for _ in range(2):
        box = _projected_box(turned + shift, focal)
        shift[:2] -= (wanted - 0.5 * (box[0] + box[1])) * shift[2] / focal
    return CameraTruth(
        rotation=axes, translation=shift - centre @ axes, fov_deg=fov_deg, size=size
    )


def draw_light(rng: Generator) -> LightDraw:
    """Return a random sun above the ground, white to strongly coloured."""
    height, around = rng.uniform(0.35, 1.5), rng.uniform(0.0, 2.0 * math.pi)
    flat = math.cos(height)
    ambient = rng.uniform(0.2, 0.6)
    strength = rng.uniform(0.85, 1.35)
    color = rng.uniform(0.0, 0.45 if rng.random() < 0.3 else 0.12)
    return LightDraw(
        direction=np.array(
            [flat * math.cos(around), flat * math.sin(around), math.sin(height)], dtype=np.float64
        ),
        ambient=ambient * strength,
        diffuse=(1.1 - ambient) * strength,
        specular=rng.uniform(0.0, 0.5) * (rng.random() < 0.7),
        shininess=rng.uniform(6.0, 60.0),
        tint=1.0 - color * rng.random(3),
    )


def _draw_scale_weights(rng: Generator, anatomy: Anatomy) -> np.ndarray:
    weights = rng.normal(0.0, 0.4, len(anatomy.scaledirs))
    change = np.abs(weights @ anatomy.scaledirs).max(initial=0.0)
    return weights * min(1.0, (LARGEST_BONE_SCALE - 1.0) / max(float(change), 1e-9))


def _draw_trans_weights(rng: Generator, anatomy: Anatomy) -> np.ndarray:
    weights = rng.normal(0.0, 30.0, len(anatomy.transdirs))
    moved = np.einsum("k,kjc->jc", weights, anatomy.transdirs)
    change = float(np.linalg.norm(moved, axis=-1).max(initial=0.0))
    return weights * min(1.0, LARGEST_SHIFT * anatomy.body_length / max(change, 1e-9))


def _view_axes(rng: Generator, views: ViewRange, heading_rad: float) -> np.ndarray:
    """Columns left, up, forward of a camera in the world."""
    kind = rng.random()
    if kind < 0.80:
        elevation_deg = rng.triangular(15.0, 55.0, HIGHEST_VIEW_DEG)
    elif kind < 0.95:
        elevation_deg = rng.uniform(0.0, 20.0)
    else:
        elevation_deg = rng.uniform(LOWEST_VIEW_DEG, 0.0)
    share = (elevation_deg - LOWEST_VIEW_DEG) / (HIGHEST_VIEW_DEG - LOWEST_VIEW_DEG)
    elevation = math.radians(views.lowest_deg + share * (HIGHEST_VIEW_DEG - views.lowest_deg))
    # Behind the animal, give or take the turn: seen from above, its head points up.
    turn = math.radians(views.largest_turn_deg)
    azimuth = heading_rad + math.pi + rng.uniform(-turn, turn)
    upright = rng.random() < 0.6
    roll = rng.normal(0.0, 0.25) if upright else rng.uniform(-math.pi, math.pi)
    roll *= turn / math.pi
    flat = math.cos(elevation)
    forward = -np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)])
    left = np.cross([0.0, 0.0, 1.0], forward)
    left /= np.linalg.norm(left)
    up = np.cross(forward, left)
    cos, sin = math.cos(roll), math.sin(roll)
    return np.stack([cos * left + sin * up, cos * up - sin * left, forward], axis=1)


def _projected_box(cam: np.ndarray, focal: float) -> np.ndarray:
    """Lowest and highest picture fraction (2, 2) of points in camera coordinates."""
    flat = 0.5 - focal * cam[:, :2] / np.maximum(cam[:, 2:], 1e-3)
    return np.stack([flat.min(axis=0), flat.max(axis=0)])


def _wanted_centre(rng: Generator, extent: np.ndarray, out_of_frame: float) -> np.ndarray:
    """Picture fraction (2,) at which the animal's box is centred."""
    slack = np.maximum(1.0 - extent, 0.0) / 2.0
    centre = 0.5 + rng.uniform(-0.9, 0.9, 2) * slack
    if rng.random() < out_of_frame:
        axis, side = rng.integers(2), rng.choice([-1.0, 1.0])
        outside = rng.uniform(0.1, 0.4) * extent[axis]
        centre[axis] = 0.5 + side * (0.5 - 0.5 * extent[axis] + outside)
    return centre
