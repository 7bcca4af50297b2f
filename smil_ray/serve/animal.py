"""One picture and the places that a person gave, to one posed animal."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from smil_ray.core import rotations
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.data.synthetic.poses.sides import standing_axes
from smil_ray.fitting.fit import Body, refine
from smil_ray.fitting.state import Target
from smil_ray.results.motion.angles import body_coordinates, find_legs, joint_angles
from smil_ray.results.prediction.cameras import KnownCamera, unknown_camera
from smil_ray.results.prediction.predictor import Answer, Predictor, Question
from smil_ray.results.prediction.views import Picture

Told = Float[np.ndarray, "n_joints 2"]
"""Pixels of the whole picture, NaN for joints that nobody moved."""


def find_animal(
    predictor: Predictor, picture: Picture, camera: KnownCamera | None, told_px: Told | None
) -> Answer:
    """Return the animal of a picture as `predict` finds it, then fitted to what is told.

    Networks that take prompts are told too; what they make of it is where the fit begins.

    Raises:
        DataError: The animal is outside the picture.
        ConfigError: The network needs to know the camera, and it is not given.
    """
    size = picture.size_px
    camera_px = unknown_camera(size) if camera is None else camera.pixels(size)
    prompts = told_px if predictor.regressor.takes_prompts else None
    question = Question(picture, picture.whole, camera_px, told_px=prompts)
    (answer,) = predictor.answer([question])
    if predictor.crop.mode != "none":
        question = predictor.closer(question, predictor.box_of(answer, picture, told_px))
        (answer,) = predictor.answer([question])
    return answer if told_px is None else _fitted(predictor, answer, picture, told_px)


def _fitted(predictor: Predictor, answer: Answer, picture: Picture, told_px: Told) -> Answer:
    whole = picture.whole
    xy = torch.from_numpy(whole.points(told_px)[None])
    target = Target(
        xy.nan_to_num().float(),
        xy.isfinite().all(dim=2),
        None,
        torch.from_numpy(whole.intrinsics_of_px(answer.camera_px)[None]).float(),
    )
    start = answer.params.map(lambda value: value.cpu())
    params = refine(start, target, Body(predictor.model, predictor.body)).params
    with torch.no_grad():
        return replace(answer, params=params, posed=predictor.posed(params))


def angles_of(predictor: Predictor, params: SmilParams) -> list[tuple[str, str, float]]:
    """Return joint, kind and degrees of the angles of one animal; see `results.motion.angles`."""
    params = change_frame(params, "camera")
    skeleton, rest = predictor.model.skeleton, predictor.model.source.joints_at_rest()
    standing = standing_axes(skeleton, rest)
    joints = predictor.posed(params).joints.cpu().numpy()
    root = rotations.to_matrix(params.global_rot).cpu().numpy()
    around = body_coordinates(joints, root, standing)
    found, values = joint_angles(around, skeleton, find_legs(skeleton, rest @ standing.T))
    return [(a.joint, a.kind, float(v)) for a, v in zip(found, values[0], strict=True)]
