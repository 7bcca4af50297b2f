"""Draw the procedural insect from every side, for the documentation.

Command:   python docs/pictures/draw_insect.py [--out FOLDER]
Takes:     a few seconds
Writes:    builtin_insect.png, here by default
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.render.camera import Camera
from smil_ray.render.overlay import contact_sheet, draw_keypoints
from smil_ray.render.shading import render_rgb

EDGE = 320
FOV_DEG = 20.0
MARGIN = 1.05
SIDES = {
    "left": (0, 0),
    "right": (180, 0),
    "front": (90, 0),
    "behind": (-90, 0),
    "above": (0, 89.9),
    "below": (0, -89.9),
}
"""Name -> azimuth (0 is the animal's left, 90 its front) and elevation in degrees."""
THREE_QUARTER = (40, 35)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Draw the procedural insect.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().out
    model = SmilModel.builtin()
    rest = model.with_shape(model.shape_mean).with_pose(torch.eye(3).expand(model.n_joints, 3, 3))
    cells = {name: draw(model, rest.skin(), *view) for name, view in SIDES.items()}
    picture = draw(model, rest.skin(), *SIDES["above"])
    xy, _ = camera(rest.skin(), *SIDES["above"]).project(rest.joints)
    cells[f"{model.n_joints} joints"] = draw_keypoints(
        picture, xy.numpy(), skeleton=model.skeleton
    )
    cells["bent within its limits"] = draw(model, bent(model), *THREE_QUARTER)
    sheet = contact_sheet(list(cells.values()), 4, list(cells), cell=EDGE)
    path = folder / "builtin_insect.png"
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(
        str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9]
    )


def bent(model: SmilModel, seed: int = 1) -> Tensor:
    """Return vertices (V, 3) in a random pose within the joint limits."""
    if model.joint_limits is None:
        raise ValueError(f"{model.name} has no joint limits")
    share = torch.rand(model.n_joints, 3, generator=torch.Generator().manual_seed(seed))
    low, high = model.joint_limits.unbind(-1)
    pose = low + share * (high - low)
    pose[0] = 0.0
    matrices = rotations.axis_angle_to_matrix(pose)
    return model.with_shape(model.shape_mean).with_pose(matrices).skin()


def camera(vertices: Tensor, azimuth_deg: float, elevation_deg: float) -> Camera:
    """Return a camera that looks at the middle of the animal from one side."""
    azimuth, elevation = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    towards = np.array([np.sin(azimuth), np.cos(azimuth), 0.0]) * np.cos(elevation)
    towards[2] = np.sin(elevation)
    left = np.cross([0.0, 0.0, 1.0], -towards)
    left /= np.linalg.norm(left)
    up = np.cross(-towards, left)
    rotation = torch.tensor(np.stack([left, up, -towards], axis=1), dtype=vertices.dtype)
    middle = (vertices.amax(0) + vertices.amin(0)) / 2
    radius = (vertices - middle).norm(dim=1).max()
    translation = -(middle @ rotation)
    translation[2] += MARGIN * radius / np.sin(np.deg2rad(FOV_DEG / 2))
    return Camera.from_fov(FOV_DEG, rotation, translation)


def draw(
    model: SmilModel, vertices: Tensor, azimuth_deg: float, elevation_deg: float
) -> np.ndarray:
    """Return the animal from one side, uint8 RGB."""
    view = camera(vertices, azimuth_deg, elevation_deg)
    seen = view.to_camera(vertices).numpy().astype(np.float64)
    intrinsics = view.intrinsics.numpy().astype(np.float64)
    return render_rgb(seen, model.faces.numpy(), intrinsics, EDGE, EDGE)[0]


if __name__ == "__main__":
    main()
