"""glTF 2.0 in one file: skinned mesh, skeleton, its movement, and the camera.

Bones at rest are unrotated and unscaled, so that a joint's rotation is the SMIL parameter's in
upright axes; `export.animation` says what the axes are. A camera of glTF has one field of view and
no principal point: its `extras` have those of every frame, for docs/blender_backdrop.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smil_ray.body import lbs
from smil_ray.export._glb_buffer import GlbBuffer
from smil_ray.export.animation import Animation
from smil_ray.export.files import missing_library, write_whole
from smil_ray.export.rig import Rig, quaternions
from smil_ray.render.shading import vertex_normals

if TYPE_CHECKING:
    from pygltflib import GLTF2, Camera, Node, Primitive
    from pygltflib import Animation as Movement

_SET = 4
"""Influences in one JOINTS_n and WEIGHTS_n."""
_NEAR, _FAR = 0.001, 1000.0
_GREY = (0.72, 0.6, 0.42, 1.0)


def write(animation: Animation, path: Path) -> list[str]:
    """Write all frames with one shape; return what a person should know.

    Raises:
        ConfigError: pygltflib is not installed.
        DataError: The file cannot be written.
    """
    gltf = build(animation.with_one_shape())
    data = b"".join(gltf.save_to_bytes())
    write_whole(path, lambda partial: partial.write_bytes(data))
    return [*animation.shape_note(), *_pose_shapes_note(animation), *_camera_note(animation)]


def build(animation: Animation) -> "GLTF2":
    """Return the document of an animation whose frames have one shape.

    Raises:
        ConfigError: pygltflib is not installed.
    """
    try:
        import pygltflib as g
    except ImportError as error:
        raise missing_library("glb", "pygltflib") from error
    gltf = g.GLTF2(asset=g.Asset(version="2.0", generator="smil-ray"), scene=0)
    rig, buffer = Rig.of(animation), GlbBuffer(gltf)
    bones = _add_bones(gltf, animation, rig)
    inverse = np.tile(np.eye(4, dtype="f4"), (len(bones), 1, 1))
    inverse[:, :3, 3] = -rig.joints
    gltf.skins = [
        g.Skin(name=animation.name, joints=bones, inverseBindMatrices=buffer.add(inverse))
    ]
    gltf.materials = [
        g.Material(
            name="surface",
            doubleSided=True,
            pbrMetallicRoughness=g.PbrMetallicRoughness(
                baseColorFactor=list(_GREY), metallicFactor=0.0, roughnessFactor=0.8
            ),
        )
    ]
    gltf.meshes = [g.Mesh(name=animation.name, primitives=[_primitive(animation, rig, buffer)])]
    gltf.cameras = [_camera(animation)]
    first = len(gltf.nodes)
    gltf.nodes += [
        g.Node(name=animation.name, mesh=0, skin=0),
        g.Node(name="camera", camera=0),
    ]
    gltf.scenes = [g.Scene(nodes=[0, first, first + 1])]
    gltf.animations = [_movement(animation, rig, bones, buffer)]
    buffer.finish()
    return gltf


def _add_bones(gltf: "GLTF2", animation: Animation, rig: Rig) -> list[int]:
    """Append a node for each joint, parents first, at rest; return their numbers.

    Without propagation of scales a node between a joint and its scaled parent takes the parent's
    scale back; it holds the offset.
    """
    from pygltflib import Node

    skeleton = animation.model.skeleton
    rest_offsets = rig.joints - np.where(
        np.array(skeleton.parents)[:, None] < 0, 0.0, rig.joints[list(skeleton.parents)]
    )
    bones: list[int] = []
    for joint, parent in enumerate(skeleton.parents):
        above = bones[parent] if parent >= 0 else None
        offset = rest_offsets[joint].tolist()
        if parent >= 0 and _is_taken_back(animation, rig, parent):
            holder = Node(name=f"{skeleton.joint_names[joint]}_offset", translation=offset)
            above, offset = _append(gltf, holder, above), None
        node = Node(name=skeleton.joint_names[joint], translation=offset)
        bones.append(_append(gltf, node, above))
    return bones


def _append(gltf: "GLTF2", node: "Node", above: int | None) -> int:
    gltf.nodes.append(node)
    number = len(gltf.nodes) - 1
    if above is not None:
        children = gltf.nodes[above].children or []
        gltf.nodes[above].children = [*children, number]
    return number


def _is_taken_back(animation: Animation, rig: Rig, parent: int) -> bool:
    return not animation.body.propagate_scaling and not np.allclose(rig.scales[parent], 1.0)


def _primitive(animation: Animation, rig: Rig, buffer: GlbBuffer) -> "Primitive":
    from pygltflib import Attributes, Primitive

    faces = animation.model.faces.numpy()
    attributes = Attributes(
        POSITION=buffer.add(rig.vertices.astype("f4"), bounds=True),
        NORMAL=buffer.add(vertex_normals(rig.vertices, faces).astype("f4")),
    )
    weights = animation.model.weights.numpy()
    most = int((weights > 0).sum(axis=1).max())
    order = np.argsort(-weights, axis=1, kind="stable")[:, : -(-most // _SET) * _SET]
    order = np.pad(order, ((0, 0), (0, -order.shape[1] % _SET)))
    chosen = np.take_along_axis(weights, order, axis=1)
    chosen[:, min(most, weights.shape[1]) :] = 0.0
    joints = np.where(chosen > 0, order, 0)
    for number in range(order.shape[1] // _SET):
        part = slice(number * _SET, (number + 1) * _SET)
        setattr(attributes, f"JOINTS_{number}", buffer.add(joints[:, part].astype("u2")))
        setattr(attributes, f"WEIGHTS_{number}", buffer.add(chosen[:, part].astype("f4")))
    indices = buffer.add(faces.reshape(-1).astype("u4"))
    return Primitive(attributes=attributes, indices=indices, material=0)


def _movement(animation: Animation, rig: Rig, bones: list[int], buffer: GlbBuffer) -> "Movement":
    """Return the glTF animation: rotations over time, and what is the same in all frames once."""
    from pygltflib import Animation as Movement
    from pygltflib import AnimationChannel, AnimationChannelTarget, AnimationSampler

    movement = Movement(name=animation.name, channels=[], samplers=[])
    seconds = animation.seconds.astype("f4")
    times = buffer.add(seconds, bounds=True)
    start = buffer.add(seconds[:1], bounds=True)

    def move(node: int, path: str, values: np.ndarray) -> None:
        output = buffer.add(values.astype("f4"))
        sampler = AnimationSampler(input=start if len(values) == 1 else times, output=output)
        movement.samplers.append(sampler)
        target = AnimationChannelTarget(node=node, path=path)
        number = len(movement.samplers) - 1
        movement.channels.append(AnimationChannel(sampler=number, target=target))

    move(bones[0], "translation", rig.places)
    has_offsets = animation.params.betas_trans is not None
    for joint, parent in enumerate(animation.model.skeleton.parents):
        node = bones[joint]
        move(node, "rotation", quaternions(rig.rotations[:, joint]))
        if not np.allclose(rig.scales[joint], 1.0):
            move(node, "scale", rig.scales[joint][None])
        if parent < 0:
            continue
        taken_back = _is_taken_back(animation, rig, parent)
        # Nodes between are appended right before their joint.
        holder = node - 1 if taken_back else node
        if taken_back:
            move(holder, "scale", 1.0 / rig.scales[parent][None])
        if has_offsets:
            move(holder, "translation", rig.offsets[joint][None])
    return movement


def _camera(animation: Animation) -> "Camera":
    from pygltflib import Camera, Perspective

    width, height = animation.size_px
    fx, fy, _, _ = np.median(animation.camera_px, axis=0).tolist()
    names = ("fx_px", "fy_px", "cx_px", "cy_px")
    each = {
        name: values.tolist() for name, values in zip(names, animation.camera_px.T, strict=True)
    }
    return Camera(
        name="camera",
        type="perspective",
        perspective=Perspective(
            yfov=2.0 * float(np.arctan(0.5 * height / fy)),
            aspectRatio=(width / fx) / (height / fy),
            znear=_NEAR,
            zfar=_FAR,
        ),
        extras={
            **each,
            "width_px": width,
            "height_px": height,
            "fps": animation.rate,
            "seconds": animation.seconds.tolist(),
            "frames": animation.frames.tolist(),
        },
    )


def _camera_note(animation: Animation) -> list[str]:
    cameras = animation.camera_px
    middle = np.array(animation.size_px) / 2.0
    if (
        np.ptp(cameras[:, 1]) < 1e-3 * cameras[0, 1]
        and np.abs(cameras[:, 2:] - middle).max() < 0.5
    ):
        return []
    return [
        "glTF's camera has one field of view, about the picture's middle: "
        "docs/blender_backdrop.py sets each frame's own from the camera's extras"
    ]


def _pose_shapes_note(animation: Animation) -> list[str]:
    posedirs = animation.posed().shaped.basis.posedirs
    if posedirs is None:
        return []
    moves = lbs.pose_blend_shapes(animation.params.rotation_matrices(), posedirs)
    percent = 100.0 * float(moves.norm(dim=-2).max()) / animation.model.body_length
    return [
        f"the model's pose blend shapes are left out: vertices are up to {percent:.1f} % of body "
        "length off, joints are exact; usd, obj and ply have them"
    ]
