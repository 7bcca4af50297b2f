"""A video of the built-in insect walking in a known way, with the camera and light of `synth`.

The animal walks straight on in a tripod gait at an even speed. In stance a foot keeps its place on
the ground; in swing it is lifted and carried forward. Everything is known: phases, poses, places.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.spatial.transform import Rotation

from smil_ray.core.params import SmilParams
from smil_ray.data.synthetic._appearance import apply_camera
from smil_ray.data.synthetic._picture import paint
from smil_ray.data.synthetic.animal import RenderBody, pose_animal
from smil_ray.data.synthetic.annotations import CameraTruth
from smil_ray.data.synthetic.poses.walk import WalkPoses
from smil_ray.data.synthetic.scene import AnimalDraw, ViewRange, draw_camera


@dataclass(frozen=True)
class WalkOptions:
    """A walk and how it is filmed.

    Attributes:
        frames: Length of the video.
        frames_a_cycle: From one lift-off of a foot to the next.
        duty_factor: Share of the cycle in which a foot is on the ground.
        image_size: Width and height, pixels.
        seed: Of shape, coat, light, background and camera.
        noise: Strength of the sensor noise, 0 to 1.
        lowest_view_deg: Least elevation of the camera above the animal.
    """

    frames: int = 120
    frames_a_cycle: int = 30
    duty_factor: float = 0.6
    image_size: int = 192
    seed: int = 0
    noise: float = 0.2
    lowest_view_deg: float = 50.0


@dataclass(frozen=True)
class WalkFrame:
    """One frame of a walk.

    Attributes:
        rgb: The picture.
        joints_cam: True joints in camera coordinates, model units.
        joints_px: True joints in the picture.
        stance: Which feet are on the ground; in the order of `Walk.feet`.
    """

    rgb: UInt8[np.ndarray, "size size 3"]
    joints_cam: Float[np.ndarray, "n_joints 3"]
    joints_px: Float[np.ndarray, "n_joints 2"]
    stance: Bool[np.ndarray, " n_feet"]


class Walk:
    """A walk of the built-in insect before a camera that stands still."""

    def __init__(self, options: WalkOptions | None = None) -> None:
        self.options = options or WalkOptions()
        self._body = RenderBody.open()
        self._poses = WalkPoses.of(self._body.model, self.options.duty_factor)
        rng = np.random.default_rng([self.options.seed, 1])
        anatomy = self._body.anatomy
        drawn = rng.normal(0.0, 0.5, len(anatomy.shape_mean))
        self._betas = anatomy.shape_mean + anatomy.shape_root @ drawn
        self._camera = self._frame_all(rng)

    @property
    def feet(self) -> tuple[str, ...]:
        """Names of the feet, in the order of `stance`."""
        return self._poses.feet

    @property
    def camera(self) -> CameraTruth:
        """The camera."""
        return self._camera

    def stance(self) -> Bool[np.ndarray, "n n_feet"]:
        """Return which feet are on the ground in each frame."""
        return np.stack([self._poses.stance(self._phase(n)) for n in range(self.options.frames)])

    def params(self) -> SmilParams:
        """Return the true parameters of all frames in camera coordinates."""
        draws = [self._draw(number) for number in range(self.options.frames)]
        to_camera = self._camera.rotation.T
        roots = [to_camera @ Rotation.from_rotvec(d.global_rot).as_matrix() for d in draws]
        places = np.stack([d.trans for d in draws])
        n = len(draws)

        def tensor(value: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.asarray(value)).float()

        return SmilParams(
            global_rot=tensor(Rotation.from_matrix(np.stack(roots)).as_rotvec()),
            joint_rot=tensor(np.stack([d.joint_rot for d in draws])),
            betas=tensor(np.tile(self._betas, (n, 1))),
            trans=tensor(self._camera.to_camera(places)),
            fov=torch.full((n, 1), float(self._camera.fov_deg)),
            cam_rot=torch.eye(3).repeat(n, 1, 1),
            cam_trans=torch.zeros(n, 3),
        )

    def render(self) -> Iterator[WalkFrame]:
        """Yield the frames in order; light, coat and background are the same in all of them."""
        options, camera = self.options, self._camera
        for number in range(options.frames):
            look, clutter = (np.random.default_rng([options.seed, k]) for k in (2, 3))
            animal = pose_animal(self._body, self._draw(number), look)
            picture, _ = paint(look, clutter, self._body, [animal], camera, 0.0, 0.0)
            noise = np.random.default_rng([options.seed, 4, number])
            picture = apply_camera(noise, picture, motion_blur=0.0, noise=options.noise)
            joints = animal.truth.joints
            yield WalkFrame(
                rgb=picture,
                joints_cam=camera.to_camera(joints),
                joints_px=camera.project(joints),
                stance=self._poses.stance(self._phase(number)),
            )

    def _phase(self, number: int) -> float:
        """Return how many cycles the animal has walked."""
        return number / self.options.frames_a_cycle

    def _draw(self, number: int) -> AnimalDraw:
        phase = self._phase(number)
        anatomy = self._body.anatomy
        place = np.array([phase * self._poses.stride, 0.0, 1.0])
        return AnimalDraw(
            global_rot=np.zeros(3),
            joint_rot=self._poses.pose(phase),
            betas=self._betas,
            scale_weights=np.zeros(len(anatomy.scaledirs)),
            trans_weights=np.zeros(len(anatomy.transdirs)),
            trans=place,
        )

    def _frame_all(self, rng: np.random.Generator) -> CameraTruth:
        """Return a camera that sees the animal from the first to the last frame."""
        look = np.random.default_rng([self.options.seed, 2])
        ends = [
            pose_animal(self._body, self._draw(number), look).vertices
            for number in (0, self.options.frames - 1)
        ]
        views = ViewRange(
            lowest_deg=self.options.lowest_view_deg, largest_turn_deg=30.0, least_fill=0.8
        )
        return draw_camera(rng, np.concatenate(ends), self.options.image_size, views)
