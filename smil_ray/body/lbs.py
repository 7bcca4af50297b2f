"""Linear blend skinning: pure functions from shape and pose to joints and vertices.

Formulas: Loper et al. 2015 ("SMPL"), with the per-joint scales and offsets of SMAL and SMIL.
Points are column vectors, x' = R x. Vertices are handled in planar layout (..., 3, V) inside,
because the products and sums over vertices then run over contiguous memory.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class KinematicPlan:
    """Order in which forward kinematics visits the joints: by depth, all joints of one at once.

    Attributes:
        order: Joints sorted by depth.
        inverse: Position of each joint in `order`.
        sizes: Number of joints at each depth.
        parents: For each depth below the root, the parents' positions within the depth above;
            None where they are the first ones in order.
        all_parents: Parent of each joint, the root's own index for the root.
        not_root: 0 for the root, 1 for the others.
        bone_flip: Signs that take an offset from replicAnt's bone frame (y flipped).
        last_row: Of a homogeneous matrix.
    """

    order: Int64[Tensor, " n_joints"]
    inverse: Int64[Tensor, " n_joints"]
    sizes: tuple[int, ...]
    parents: tuple[Tensor | None, ...]
    all_parents: Int64[Tensor, " n_joints"]
    not_root: Float[Tensor, "n_joints 1"]
    bone_flip: Float[Tensor, "3"]
    last_row: Float[Tensor, "4"]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def kinematic_plan(parents: tuple[int, ...], device: torch.device) -> KinematicPlan:
    """Return the plan of a tree given as parent indices, -1 for the root, parents first.

    It is kept: a GPU would wait for each of its tensors.
    """
    height = [0] * len(parents)
    for joint in reversed(range(1, len(parents))):
        height[parents[joint]] = max(height[parents[joint]], height[joint] + 1)
    levels, above = [[0]], []
    while True:
        place = {joint: at for at, joint in enumerate(levels[-1])}
        below = [joint for joint, parent in enumerate(parents) if parent in place]
        if not below:
            break
        # Long limbs first: below the first branches a joint then mostly sits where its parent
        # does, and the parents are a slice, which costs less than a selection by index.
        below.sort(key=lambda joint: (-height[joint], place[parents[joint]]))
        above.append([place[parents[joint]] for joint in below])
        levels.append(below)
    order = [joint for level in levels for joint in level]
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return KinematicPlan(
        order=torch.tensor(order, device=device),
        inverse=torch.tensor(inverse, device=device),
        sizes=tuple(len(level) for level in levels),
        parents=tuple(
            None if rows == list(range(len(rows))) else torch.tensor(rows, device=device)
            for rows in above
        ),
        all_parents=torch.tensor([max(parent, 0) for parent in parents], device=device),
        not_root=torch.tensor([[float(parent >= 0)] for parent in parents], device=device),
        bone_flip=torch.tensor([1.0, -1.0, 1.0], device=device),
        last_row=torch.tensor([0.0, 0.0, 0.0, 1.0], device=device),
    )


def blend_shapes(
    betas: Float[Tensor, "*batch n_betas"],
    template: Float[Tensor, "*axes"],
    directions: Float[Tensor, "n_betas *axes"],
) -> Float[Tensor, "*batch_and_axes"]:
    """Return template + sum_b betas_b directions_b, for vertices and joints alike."""
    offsets = betas @ directions.flatten(1)
    return template + offsets.unflatten(-1, template.shape)


def pose_blend_shapes(
    rotation_matrices: Float[Tensor, "*batch n_joints 3 3"],
    posedirs: Float[Tensor, "n_pose_features 3 n_verts"],
) -> Float[Tensor, "*batch 3 n_verts"]:
    """Return sum of (R - I) posedirs over all joints but the root (SMPL, equation 9)."""
    eye = torch.eye(3, dtype=rotation_matrices.dtype, device=rotation_matrices.device)
    features = (rotation_matrices[..., 1:, :, :] - eye).flatten(-3)
    return (features @ posedirs.flatten(1)).unflatten(-1, posedirs.shape[1:])


def local_transforms(
    rotation_matrices: Float[Tensor, "*batch n_joints 3 3"],
    rest_joints: Float[Tensor, "*batch_rest n_joints 3"],
    log_scales: Float[Tensor, "*batch_scales n_joints 3"] | None,
    translations: Float[Tensor, "*batch_trans n_joints 3"] | None,
    plan: KinematicPlan,
    *,
    propagate_scaling: bool,
) -> Float[Tensor, "*batch_all n_joints 4 4"]:
    """Return each joint's transform relative to its parent (FACTS 2.2, step 6).

    Root: [R | J], never scaled: its scale counts as 1, for its children too. Child: linear part
    R diag(s), or diag(1/s_parent) R diag(s) without propagation, which takes the parent's scale
    back from its children; offset J - J_parent + (1, -1, 1) t, because `translations` are in
    replicAnt's bone frame.
    """
    parents = plan.all_parents
    offset = torch.cat(
        [
            rest_joints[..., :1, :],
            (rest_joints - rest_joints.index_select(-2, parents))[..., 1:, :],
        ],
        dim=-2,
    )
    not_root = plan.not_root.to(rest_joints.dtype)
    if translations is not None:
        offset = offset + translations * (plan.bone_flip.to(translations.dtype) * not_root)
    linear = rotation_matrices
    if log_scales is not None:
        logs = log_scales * not_root
        linear = linear * logs.exp().unsqueeze(-2)
        if not propagate_scaling:
            back = (-logs.index_select(-2, parents) * not_root).exp()
            linear = linear * back.unsqueeze(-1)
    batch = torch.broadcast_shapes(linear.shape[:-2], offset.shape[:-1])
    upper = torch.cat(
        [linear.expand(*batch, 3, 3), offset.unsqueeze(-1).expand(*batch, 3, 1)], dim=-1
    )
    last_row = plan.last_row.to(upper.dtype).expand(*batch, 1, 4)
    return torch.cat([upper, last_row], dim=-2)


def forward_kinematics(
    local: Float[Tensor, "*batch n_joints 4 4"], plan: KinematicPlan
) -> Float[Tensor, "*batch n_joints 4 4"]:
    """Return each joint's transform into the frame of the root's parent, one product per depth."""
    levels = local.index_select(-3, plan.order).split(plan.sizes, dim=-3)
    done = [levels[0]]
    for level, parents in zip(levels[1:], plan.parents, strict=True):
        above = done[-1]
        if parents is None:
            above = above.narrow(-3, 0, level.shape[-3])
        else:
            above = above.index_select(-3, parents)
        done.append(above @ level)
    return torch.cat(done, dim=-3).index_select(-3, plan.inverse)


def skinning_transforms(
    world: Float[Tensor, "*batch n_joints 4 4"],
    rest_joints: Float[Tensor, "*batch_rest n_joints 3"],
) -> Float[Tensor, "*batch n_joints 3 4"]:
    """Return what carries rest vertices along with each joint: [L | p - L J]."""
    linear, position = world[..., :3, :3], world[..., :3, 3:]
    return torch.cat([linear, position - linear @ rest_joints.unsqueeze(-1)], dim=-1)


def skin(
    vertices: Float[Tensor, "*batch_verts 3 n_verts"],
    transforms: Float[Tensor, "*batch n_joints 3 4"],
    weights: Float[Tensor, "n_joints n_verts"],
) -> Float[Tensor, "*batch 3 n_verts"]:
    """Return vertices moved by the weighted mean of the joints' transforms, planar layout."""
    rows = transforms.flatten(-2).mT
    blended = (rows.reshape(-1, rows.shape[-1]) @ weights).view(
        *transforms.shape[:-3], 3, 4, weights.shape[-1]
    )
    x, y, z = vertices.unsqueeze(-3).unbind(-2)
    tx, ty, tz, shift = blended.unbind(-2)
    # In place on its own new tensor: each copy would be fresh memory, which costs more to get
    # than the sum.
    return shift.addcmul(tx, x).addcmul_(ty, y).addcmul_(tz, z)
