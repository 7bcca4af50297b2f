"""Plays a .glb back with nothing but pygltflib's reader and products of matrices."""

from pathlib import Path
from typing import Any

import numpy as np
from pygltflib import GLTF2

_TYPES = {5126: np.dtype("<f4"), 5123: np.dtype("<u2"), 5125: np.dtype("<u4")}
_SHAPES = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


class Player:
    """A document of one animation and one skin; matrices act on columns."""

    def __init__(self, path: Path) -> None:
        # Typed Any: a document may lack whatever these have.
        gltf: Any = GLTF2().load(str(path))
        self.gltf = gltf
        self.parent = {
            child: number
            for number, node in enumerate(gltf.nodes)
            for child in node.children or ()
        }
        self.channels = {}
        for channel in gltf.animations[0].channels:
            sampler = gltf.animations[0].samplers[channel.sampler]
            assert sampler.interpolation == "LINEAR"
            target = (channel.target.node, channel.target.path)
            self.channels[target] = (self.read(sampler.input), self.read(sampler.output))
        self.bones = gltf.skins[0].joints
        self.names = [gltf.nodes[bone].name for bone in self.bones]
        self.times = max((times for times, _ in self.channels.values()), key=len)

    def read(self, number: int) -> np.ndarray:
        accessor = self.gltf.accessors[number]
        view = self.gltf.bufferViews[accessor.bufferView]
        shape = _SHAPES[accessor.type]
        values = np.frombuffer(
            self.gltf.binary_blob(),
            _TYPES[accessor.componentType],
            accessor.count * int(np.prod(shape)),
            view.byteOffset,
        ).reshape(accessor.count, *shape)
        return values.swapaxes(1, 2) if accessor.type == "MAT4" else values

    def value(self, node: int, path: str, key: int, default: tuple[float, ...]) -> np.ndarray:
        if (node, path) in self.channels:
            values = self.channels[node, path][1]
            return values[min(key, len(values) - 1)].astype(np.float64)
        return np.array(getattr(self.gltf.nodes[node], path) or default, dtype=np.float64)

    def world(self, node: int, key: int) -> np.ndarray:
        """Return a node's transform at a key of the animation."""
        x, y, z, w = self.value(node, "rotation", key, (0, 0, 0, 1))
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        local = np.eye(4)
        local[:3, :3] = turn * self.value(node, "scale", key, (1, 1, 1))
        local[:3, 3] = self.value(node, "translation", key, (0, 0, 0))
        above = self.parent.get(node)
        return local if above is None else self.world(above, key) @ local

    def joints(self, key: int) -> np.ndarray:
        return np.stack([self.world(bone, key)[:3, 3] for bone in self.bones])

    def vertices(self, key: int) -> np.ndarray:
        primitive = self.gltf.meshes[0].primitives[0]
        attributes = primitive.attributes
        points = self.read(attributes.POSITION).astype(np.float64)
        points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        inverse = self.read(self.gltf.skins[0].inverseBindMatrices).astype(np.float64)
        moves = np.stack([self.world(bone, key) for bone in self.bones]) @ inverse
        total = np.zeros_like(points)
        number = 0
        while getattr(attributes, f"JOINTS_{number}", None) is not None:
            joints = self.read(getattr(attributes, f"JOINTS_{number}"))
            weights = self.read(getattr(attributes, f"WEIGHTS_{number}")).astype(np.float64)
            for joint, weight in zip(joints.T, weights.T, strict=True):
                total += weight[:, None] * np.einsum("vij,vj->vi", moves[joint], points)
            number += 1
        return total[:, :3]
