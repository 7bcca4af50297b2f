"""Stanford .ply, binary: the posed mesh of one frame, scene axes, metres."""

from pathlib import Path

import numpy as np

from smil_ray.export.animation import Animation
from smil_ray.export.files import write_whole

_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write(animation: Animation, path: Path) -> list[str]:
    """Write the mesh of the only frame of an animation."""
    (vertices,) = animation.scene_vertices()
    corners = animation.model.faces.numpy()
    faces = np.empty(len(corners), dtype=_FACE)
    faces["count"], faces["corners"] = 3, corners
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    data = header.encode("ascii") + vertices.astype("<f4").tobytes() + faces.tobytes()
    write_whole(path, lambda partial: partial.write_bytes(data))
    return []
