"""Wavefront .obj: the posed mesh of one frame, scene axes, metres."""

from pathlib import Path

from smil_ray.body.mesh_io import write_obj
from smil_ray.export.animation import Animation
from smil_ray.export.files import write_whole


def write(animation: Animation, path: Path) -> list[str]:
    """Write the mesh of the only frame of an animation."""
    (vertices,) = animation.scene_vertices()
    write_whole(path, lambda partial: write_obj(partial, vertices, animation.model.faces))
    return []
