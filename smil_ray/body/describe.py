"""A model in words, for a person in front of a terminal."""

from pathlib import Path

import numpy as np

from smil_ray.body.smil_model import SmilModel


def describe(model: SmilModel | Path | str) -> str:
    """Return counts, optional parts and the tree of joints with their rest places, as text.

    Args:
        model: A model, `builtin` or a model file.
    """
    model = SmilModel.open(model)
    source = model.source
    low, high = source.v_template.min(axis=0), source.v_template.max(axis=0)
    extent = " x ".join(f"{size:.3f}" for size in high - low)
    joints = "static, as in the file" if model.static_joints else "regressed from the shape"
    rows = [
        ("model", model.name),
        ("content hash", model.content_hash[:16]),
        ("vertices", str(model.n_verts)),
        ("faces", str(len(source.faces))),
        ("joints", str(model.n_joints)),
        ("betas", str(model.n_betas)),
        ("bones per vertex", f"at most {int((source.weights > 1e-6).sum(axis=1).max())}"),
        ("extent", f"{extent} (x, y, z; model units)"),
        ("body length", f"{model.body_length:.3f} along {model.skeleton.describe_chain()}"),
        ("rest joints", joints),
        ("joint regressor", _have(source.joint_regressor)),
        ("pose blend shapes", _have(source.posedirs)),
        ("scale directions", _have(source.scaledirs)),
        ("offset directions", _have(source.transdirs)),
        ("joint limits", _have(source.joint_limits)),
        ("covariance of betas", _have(source.shape_cov)),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(width)}  {value}" for name, value in rows]
    return "\n".join([*lines, "", *_joint_table(model)]) + "\n"


def _have(value: np.ndarray | None) -> str:
    return "none" if value is None else " x ".join(str(size) for size in value.shape)


def _joint_table(model: SmilModel) -> list[str]:
    """One line a joint in tree order: index, indented name, rest place, length of its bone."""
    skeleton, source = model.skeleton, model.source
    places = source.joints_at_rest()
    lines: list[tuple[int, str]] = []
    stack = [(0, 0)]
    while stack:
        joint, depth = stack.pop()
        lines.append((joint, "  " * depth + skeleton.joint_names[joint]))
        stack += [(child, depth + 1) for child in reversed(skeleton.children[joint])]
    width = max(len(label) for _, label in lines)
    header = f"{'':>3}  {'joint':<{width}}  {'x':>8}  {'y':>8}  {'z':>8}  {'bone':>6}"
    table = [header]
    for joint, label in lines:
        parent = skeleton.parents[joint]
        bone = np.linalg.norm(places[joint] - places[parent]) if parent >= 0 else 0.0
        x, y, z = places[joint] + 0.0
        table.append(f"{joint:>3}  {label:<{width}}  {x:8.3f}  {y:8.3f}  {z:8.3f}  {bone:6.3f}")
    return table
