"""A data set in replicAnt's format from a SMIL model: nothing to download, the truth is known.

`render_sample` is pure: the same model, options and index give the same bytes, whatever else runs.
`orchestration.synth` calls it in parallel and writes the files.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
import orjson
from numpy.random import Generator, SeedSequence
from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from scipy.spatial.transform import Rotation

from smil_ray.config import Settings
from smil_ray.data.synthetic._picture import paint
from smil_ray.data.synthetic.animal import PosedAnimal, RenderBody, pose_animal
from smil_ray.data.synthetic.annotations import CameraTruth, batch_data, iteration_data
from smil_ray.data.synthetic.domain import DOMAINS, DomainName
from smil_ray.data.synthetic.scene import (
    FILL_RANGE,
    LOWEST_VIEW_DEG,
    NEAREST,
    AnimalDraw,
    ViewRange,
    draw_animal,
    draw_camera,
)
from smil_ray.errors import ConfigError

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
_MAX_ATTEMPTS = 4

EASY_VIEW: dict[str, Any] = {
    "image_size": 192,
    "occlusion": 0.1,
    "out_of_frame": 0.0,
    "noise": 0.2,
    "clutter": 0.25,
    "lowest_view_deg": 50.0,
    "largest_turn_deg": 60.0,
    "least_fill": 0.6,
}
"""Options by which a small network learns something from some hundred pictures within minutes: the
animal from above, its head towards the top, large, before a plain ground."""


class SynthOptions(Settings):
    """What `synthesize` writes; the same options give the same data set.

    Attributes:
        samples: Number of images.
        image_size: Width and height in pixels.
        seed: Every sample's randomness comes from (seed, index).
        name: Prefix of the file names, as replicAnt's batch name.
        model: `builtin` or a .pkl/.npz model file.
        occlusion: Probability that leaves, twigs or stones cover parts of the animal.
        out_of_frame: Probability that the animal is partly outside the picture.
        motion_blur: Probability of motion blur.
        noise: Strength of the sensor noise, 0 to 1.
        clutter: Probability of a background with things in it, rather than a studio backdrop.
        least_fill: Least share of the picture's width that the animal fills; at most 0.9 does.
        largest_turn_deg: How far, from above, the head may point away from the picture's top.
        lowest_view_deg: Least elevation of the camera above the animal; 60: from above only.
        subjects: Most animals in a picture; the first is the one that the camera frames.
        pose_range: Factor of the joint angles. 1 is as wide as replicAnt's poses; 0.4 moves
            hardly.
        joint_limits: YAML file with joint limits by name, in place of the model's own.
        pose_from: HDF5 file or replicAnt folder whose poses are drawn.
        pose_spread: How far drawn poses lie from those of `pose_from`: up to this share of the way
            to another of its poses; 0 takes them as they are.
        jpeg_quality: 1-100; null: the domain's (92; lab: 60).
        domain: How everything looks; `lab` has surfaces, grounds, lamps and cameras of its own.
    """

    samples: Annotated[int, Field(ge=1, le=10_000_000)] = 400
    image_size: Annotated[int, Field(ge=32, le=8192)] = 512
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    name: str = "synth"
    model: str = "builtin"
    occlusion: Probability = 0.35
    out_of_frame: Probability = 0.12
    motion_blur: Probability = 0.1
    noise: Probability = 0.5
    clutter: Probability = 1.0
    least_fill: Annotated[float, Field(ge=FILL_RANGE[0], lt=FILL_RANGE[1])] = FILL_RANGE[0]
    largest_turn_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 180.0
    lowest_view_deg: Annotated[float, Field(ge=LOWEST_VIEW_DEG, le=85.0)] = LOWEST_VIEW_DEG
    subjects: Annotated[int, Field(ge=1, le=10)] = 1
    pose_range: Annotated[float, Field(ge=0.0, le=2.0)] = 1.0
    joint_limits: str | None = None
    pose_from: str | None = None
    pose_spread: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None = None
    domain: DomainName = "default"

    @field_validator("name")
    @classmethod
    def _name_is_a_plain_file_name(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w .+-]{0,99}", name):
            raise ValueError("a file name of letters, digits, spaces and _ . + - is needed")
        return name

    @model_validator(mode="wrap")
    @classmethod
    def _mistakes_are_one_sentence(
        cls, values: Any, handler: ModelWrapValidatorHandler["SynthOptions"]
    ) -> "SynthOptions":
        try:
            return handler(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"synth {place}: {first['msg']}", found=first["input"]) from None

    def stem(self, index: int) -> str:
        """Return NAME_07: the index is as wide as the last one needs, at least two digits."""
        return f"{self.name}_{index:0{max(2, len(str(self.samples - 1)))}d}"


@dataclass(frozen=True)
class SampleFiles:
    """The three files of one sample, as bytes."""

    stem: str
    image: bytes
    mask: bytes
    annotation: bytes

    def named(self) -> dict[str, bytes]:
        """Return file name -> content; the annotation is last, so that it marks completeness."""
        return {
            f"{self.stem}.JPG": self.image,
            f"{self.stem}_ID.png": self.mask,
            f"{self.stem}.json": self.annotation,
        }


def render_sample(render_body: RenderBody, options: SynthOptions, index: int) -> SampleFiles:
    """Return the files of sample `index`; a pure function of its arguments."""
    # Separate streams: more clutter does not change the animal's pose, nor the pose the light.
    streams = SeedSequence([options.seed, index]).spawn(4)
    scene_rng, look_rng, clutter_rng, camera_rng = map(np.random.default_rng, streams)
    domain = DOMAINS[options.domain]
    animals, camera = draw_scene(scene_rng, look_rng, render_body, options)
    picture, ids = paint(
        look_rng,
        clutter_rng,
        render_body,
        animals,
        camera,
        options.occlusion,
        options.clutter,
        domain,
    )
    picture = domain.camera(
        camera_rng, picture, motion_blur=options.motion_blur, noise=options.noise
    )
    record = iteration_data(index, camera, [animal.truth for animal in animals])
    quality = options.jpeg_quality or domain.jpeg_quality
    return SampleFiles(
        stem=options.stem(index),
        image=_encode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality]),
        mask=_encode(".png", _rgba(ids), [cv2.IMWRITE_PNG_COMPRESSION, 3]),
        annotation=orjson.dumps(record),
    )


def open_render_body(options: SynthOptions) -> RenderBody:
    """Return the body model and the poses that `options` name."""
    return RenderBody.open(
        options.model,
        pose_range=options.pose_range,
        joint_limits=options.joint_limits,
        pose_from=options.pose_from,
        pose_spread=options.pose_spread,
    )


def batch_file(options: SynthOptions) -> tuple[str, bytes]:
    """Return name and content of `_BatchData_NAME.json`."""
    record = batch_data(
        options.name,
        options.samples,
        options.image_size,
        options.seed,
        [0.1] * options.subjects,
    )
    return f"_BatchData_{options.name}.json", orjson.dumps(record)


def draw_scene(
    scene_rng: Generator, look_rng: Generator, render_body: RenderBody, options: SynthOptions
) -> tuple[list[PosedAnimal], CameraTruth]:
    """Return animals and a camera that frames the first; none is too near the lens."""
    first = draw_animal(scene_rng, render_body.anatomy)
    domain = DOMAINS[options.domain]
    animals = [pose_animal(render_body, first, look_rng, domain)]
    camera = draw_camera(
        scene_rng,
        animals[0].vertices,
        options.image_size,
        ViewRange(
            lowest_deg=options.lowest_view_deg,
            largest_turn_deg=options.largest_turn_deg,
            least_fill=options.least_fill,
            out_of_frame=options.out_of_frame,
            fov_ranges_deg=domain.fov_ranges_deg,
        ),
        _heading(first, render_body.standing),
    )
    wanted = int(scene_rng.integers(1, options.subjects + 1))
    for _ in range(_MAX_ATTEMPTS * (wanted - 1)):
        if len(animals) == wanted:
            break
        drawn = draw_animal(scene_rng, render_body.anatomy, beside=first)
        other = pose_animal(render_body, drawn, look_rng, domain)
        if camera.to_camera(other.vertices)[:, 2].min() > NEAREST:
            animals.append(other)
    return animals, camera


def _heading(animal: AnimalDraw, standing: np.ndarray) -> float:
    """Where the head points in the world's ground plane, radians from x towards y."""
    forward = Rotation.from_rotvec(animal.global_rot).as_matrix() @ standing[0]
    return float(np.arctan2(forward[1], forward[0]))


def _rgba(ids: np.ndarray) -> np.ndarray:
    """ReplicAnt's mask: red is the subject's id, green and blue 0, opaque."""
    return cv2.merge([ids, np.zeros_like(ids), np.zeros_like(ids), np.full_like(ids, 255)])


def _encode(kind: str, rgb: np.ndarray, settings: list[int]) -> bytes:
    swap = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return cv2.imencode(kind, cv2.cvtColor(rgb, swap), settings)[1].tobytes()
