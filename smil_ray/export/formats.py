"""The formats by name; a new one is a module with `write`, a line here and one in `SUFFIXES`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from smil_ray.export import bvh, glb, npz, obj, ply, usd
from smil_ray.export.animation import Animation

Writer = Callable[[Animation, Path], list[str]]
"""Writes an animation to a file and returns what a person should know."""
FORMATS: Mapping[str, Writer] = {
    "glb": glb.write,
    "obj": obj.write,
    "ply": ply.write,
    "usd": usd.write,
    "bvh": bvh.write,
    "npz": npz.write,
}
STILL = ("obj", "ply")
"""Formats of one frame."""
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    **{name: (f".{name}",) for name in FORMATS},
    "usd": (".usd", ".usda", ".usdc"),
}
