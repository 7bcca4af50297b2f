"""Animals, light and surroundings -> the picture and the subject id of every pixel."""

import math

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.random import Generator

from smil_ray.data.synthetic._background import draw_occluders
from smil_ray.data.synthetic.animal import PosedAnimal, RenderBody
from smil_ray.data.synthetic.annotations import CameraTruth
from smil_ray.data.synthetic.domain import DOMAINS, Domain
from smil_ray.data.synthetic.scene import LightDraw
from smil_ray.render.rasterize import hard_mask, rasterize
from smil_ray.render.shading import Shading, render_rgb


def paint(
    look_rng: Generator,
    clutter_rng: Generator,
    render_body: RenderBody,
    animals: list[PosedAnimal],
    camera: CameraTruth,
    occlusion: float,
    clutter: float = 1.0,
    domain: Domain | None = None,
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Return the picture before the camera's effects, and the subject id of every pixel.

    Args:
        look_rng: Randomness of the light.
        clutter_rng: Randomness of what is behind and in front.
        render_body: The body model.
        animals: In the order of their ids 1, 2, ...
        camera: Size, place and direction.
        occlusion: Probability that something lies in front of the first animal.
        clutter: Probability of a background with things in it.
        domain: How lamps and grounds look; None is the default one.
    """
    size = camera.size
    domain = domain or DOMAINS["default"]
    light = domain.light(look_rng)
    vertices = np.concatenate([animal.vertices for animal in animals])
    n_verts, n_faces = len(render_body.template), len(render_body.faces)
    faces = np.concatenate([render_body.faces + n_verts * k for k in range(len(animals))])
    picture = domain.background(clutter_rng, size, clutter)
    if clutter_rng.random() < 0.7:
        picture = _shadowed(picture, vertices, faces, camera, light)
    cam = camera.to_camera(vertices)
    focal = 0.5 / math.tan(math.radians(camera.fov_deg) / 2.0)
    picture, _ = render_rgb(
        cam,
        faces,
        np.array([focal, focal, 0.5, 0.5]),
        size,
        size,
        vertex_colors=np.concatenate([animal.colors for animal in animals]) * light.tint,
        background=picture,
        shading=Shading(
            direction=tuple((light.direction @ camera.rotation).tolist()),
            ambient=light.ambient,
            diffuse=light.diffuse,
            specular=light.specular,
            shininess=light.shininess,
        ),
    )
    face, _ = rasterize(camera.project(vertices), cam[:, 2], faces, size, size)
    ids = np.where(face < 0, 0, face // n_faces + 1).astype(np.uint8)
    if clutter_rng.random() < occlusion:
        points = camera.project(animals[0].vertices)
        low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        count = int(clutter_rng.integers(1, 5))
        color, alpha = draw_occluders(clutter_rng, size, (*low, *high), count)
        picture = _over(color, alpha, picture)
        ids[alpha >= 128] = 0
    return picture, ids


def _shadowed(
    picture: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: CameraTruth,
    light: LightDraw,
) -> np.ndarray:
    """The background with the animals' shadow on the ground below their lowest point."""
    above = vertices[:, 2:] - vertices[:, 2].min()
    fallen = vertices - above * light.direction / light.direction[2]
    cam = camera.to_camera(fallen)
    size = picture.shape[0]
    shadow = hard_mask(camera.project(fallen), cam[:, 2], faces, size, size)
    soft = cv2.GaussianBlur(shadow.astype(np.float32), (0, 0), size / 130)
    gain = 1.0 - soft * (0.85 - light.ambient)
    return cv2.multiply(picture, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def _over(color: np.ndarray, alpha: np.ndarray, below: np.ndarray) -> np.ndarray:
    share = cv2.merge([alpha] * 3).astype(np.float32) / 255.0
    return np.round(color * share + below * (1.0 - share)).astype(np.uint8)
