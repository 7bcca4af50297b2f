"""Likely poses laid over the joints of a picture: where fits without a network begin.

Every pose of a library is turned, scaled and shifted onto the joints in closed form, as if the
camera were far away. In those that lie best each limb is exchanged for the one that lies best in
any pose of the library, since hardly any pose is right in all limbs at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.params import SmilParams
from smil_ray.core.skeleton import Skeleton

FEWEST_JOINTS = 4
"""With fewer known joints nothing tells how an animal is turned."""
_STEADY = 1e-4
"""Share of the mean spread that is added to all: points in a plane leave the third open."""


@dataclass(frozen=True)
class Library:
    """Likely poses.

    Attributes:
        joint_rot: Axis-angle.
        joints: Their joints for the mean shape, relative to the unturned root; model units.
        limbs: Which joints each limb has.
        limb_roots: Its joint nearest to the trunk.
    """

    joint_rot: Float[Tensor, "n n_pose 3"]
    joints: Float[Tensor, "n n_joints 3"]
    limbs: Bool[Tensor, "n_limbs n_joints"]
    limb_roots: Int64[Tensor, " n_limbs"]

    @classmethod
    def of(
        cls, joint_rot: Float[Tensor, "n n_pose 3"], model: SmilModel, config: BodyConfig
    ) -> "Library":
        """Return the library of these poses."""
        body = unplaced(joint_rot, model)
        joints = model.pose(body, rest=config.rest_joints).joints
        limbs, roots = _limbs(model.skeleton)
        return cls(joint_rot, joints - joints[:, :1], limbs, roots)


@dataclass(frozen=True)
class Laid:
    """Poses that lie over the joints of one picture.

    Attributes:
        rotation: Root to camera.
        size: Rays (x/z) per model unit across: 1 / depth.
        joint_rot: Axis-angle.
    """

    rotation: Float[Tensor, "n 3 3"]
    size: Float[Tensor, " n"]
    joint_rot: Float[Tensor, "n n_pose 3"]


def unplaced(joint_rot: Float[Tensor, "n n_pose 3"], model: SmilModel) -> SmilParams:
    """Return bodies of the mean shape in these poses, unturned, at the camera."""
    n = len(joint_rot)
    return SmilParams(
        global_rot=torch.zeros(n, 3),
        joint_rot=joint_rot,
        betas=model.shape_mean.expand(n, -1).clone(),
        trans=torch.zeros(n, 3),
        fov=torch.ones(n, 1),
        cam_rot=torch.eye(3).repeat(n, 1, 1),
        cam_trans=torch.zeros(n, 3),
    )


def lay(
    library: Library, rays: Float[Tensor, "n_joints 2"], known: Bool[Tensor, " n_joints"], n: int
) -> Laid:
    """Return the `n` poses that lie best over joints seen along `rays` (x/z, y/z), best first."""
    if int(known.sum()) < FEWEST_JOINTS:
        return Laid(torch.eye(3).repeat(n, 1, 1), torch.ones(n), library.joint_rot[:n])
    points = library.joints[:, known]
    points = points - points.mean(dim=1, keepdim=True)
    wanted = rays[known] - rays[known].mean(dim=0)
    rotation, size = orthographic(points, wanted.expand(len(points), -1, -1))
    away = size[:, None, None] * (points @ rotation.mT)[..., :2] - wanted
    best = away.square().sum(dim=(1, 2)).argsort()[:n]
    laid = Laid(rotation[best], size[best], library.joint_rot[best])
    return _with_best_limbs(laid, library, rays, known)


def orthographic(
    points: Float[Tensor, "n k 3"], wanted: Float[Tensor, "n k 2"]
) -> tuple[Float[Tensor, "n 3 3"], Float[Tensor, " n"]]:
    """Return rotation and size that bring points nearest to `wanted`, seen along z; both centred.

    The affine camera by least squares, then the scaled rotation nearest to it (weak perspective
    as in DeMenthon and Davis 1995, "Model-based object pose in 25 lines of code").
    """
    spread = points.mT @ points
    steady = _STEADY * spread.diagonal(dim1=-2, dim2=-1).mean(dim=1).clamp_min(1e-12)
    spread = spread + steady[:, None, None] * torch.eye(3, dtype=points.dtype)
    affine = torch.linalg.solve(spread, points.mT @ wanted).mT
    # The nearest rows of a rotation are (A A')^-1/2 A; of 2 x 2 matrices the root is known.
    square = affine @ affine.mT
    root_det = torch.linalg.det(square).clamp_min(1e-24).sqrt()
    trace = (square.diagonal(dim1=-2, dim2=-1).sum(dim=1) + 2.0 * root_det).sqrt()
    eye = torch.eye(2, dtype=points.dtype)
    root = (square + root_det[:, None, None] * eye) / trace[:, None, None]
    rows = torch.linalg.solve(root, affine)
    third = torch.linalg.cross(rows[:, 0], rows[:, 1])
    third = third / third.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return torch.cat([rows, third[:, None]], dim=1), 0.5 * trace


def _with_best_limbs(
    laid: Laid, library: Library, rays: Float[Tensor, "n_joints 2"], known: Tensor
) -> Laid:
    joint_rot = laid.joint_rot.clone()
    for limb, root in zip(library.limbs, library.limb_roots.tolist(), strict=True):
        seen = limb & known
        seen[root] = False
        if not bool(known[root]) or not bool(seen.any()):
            continue
        points = library.joints[:, seen] - library.joints[:, root : root + 1]
        flat = torch.einsum("cij,nkj->cnki", laid.rotation[:, :2], points)
        away = laid.size[:, None, None, None] * flat - (rays[seen] - rays[root])
        best = away.square().sum(dim=(2, 3)).argmin(dim=1)
        moved = limb.nonzero()[:, 0] - 1
        joint_rot[:, moved] = library.joint_rot[best][:, moved]
    return Laid(laid.rotation, laid.size, joint_rot)


def _limbs(skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Return the joints of each limb, whatever hangs together off the trunk, and its root."""
    trunk = {0, *skeleton.body_chain}
    roots = [
        joint
        for joint, parent in enumerate(skeleton.parents)
        if joint not in trunk and parent in trunk
    ]
    return torch.from_numpy(skeleton.lineage[:, roots].T.copy()), torch.tensor(roots).long()
