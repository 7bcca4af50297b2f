"""Plays a .bvh back: joints of every frame from nothing but the text."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class Bone:
    name: str
    parent: int
    offset: np.ndarray
    channels: list[str]


@dataclass
class Played:
    names: list[str]
    joints: np.ndarray
    seconds_a_frame: float
    n_channels: int


def play(path: Path) -> Played:
    lines = [line.split() for line in path.read_text().splitlines()]
    start = lines.index(["MOTION"])
    bones = read_bones(lines[:start])
    frames = np.array(lines[start + 3 :], dtype=float)
    assert len(frames) == int(lines[start + 1][1])
    joints = np.stack([pose(bones, frame) for frame in frames])
    names = [bone.name for bone in bones]
    return Played(names, joints, float(lines[start + 2][2]), len(bones[-1].channels))


def read_bones(lines: list[list[str]]) -> list[Bone]:
    bones: list[Bone] = []
    above: list[int] = []
    for number, words in enumerate(lines):
        if words[0] in ("ROOT", "JOINT"):
            offset, channels = lines[number + 2], lines[number + 3]
            assert (offset[0], channels[0]) == ("OFFSET", "CHANNELS")
            assert int(channels[1]) == len(channels) - 2
            parent = above[-1] if above else -1
            bones.append(Bone(words[1], parent, np.array(offset[1:], float), channels[2:]))
        elif words[0] == "{":
            above.append(len(bones) - 1)
        elif words[0] == "}":
            above.pop()
    return bones


def pose(bones: list[Bone], numbers: np.ndarray) -> np.ndarray:
    """Return the joints of a frame."""
    values = iter(numbers.tolist())
    worlds: list[np.ndarray] = []
    for bone in bones:
        local = np.eye(4)
        local[:3, 3] = bone.offset
        for channel in bone.channels:
            value, axis = next(values), "XYZ".index(channel[0])
            if channel.endswith("position"):
                local[axis, 3] = value
            else:
                local[:3, :3] = local[:3, :3] @ turn(axis, value)
        worlds.append(local if bone.parent < 0 else worlds[bone.parent] @ local)
    return np.stack([world[:3, 3] for world in worlds])


def turn(axis: int, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
    return matrix
