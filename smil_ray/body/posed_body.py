"""A body with a shape, and the same body posed: the last two stages of the body model."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body import lbs
from smil_ray.errors import ModelFileError


@dataclass(frozen=True)
class BodyBasis:
    """What shaping and posing need of a model, vertex arrays in planar layout (3, V).

    Attributes:
        parents: Parent of each joint, -1 for the root.
        regressor: Joints from vertices; None where the model has none.
        posedirs: Pose blend shapes; None where the model has none.
    """

    parents: tuple[int, ...]
    template: Float[Tensor, "3 n_verts"]
    directions: Float[Tensor, "n_betas 3 n_verts"]
    weights: Float[Tensor, "n_joints n_verts"]
    regressor: Float[Tensor, "n_joints n_verts"] | None
    posedirs: Float[Tensor, "n_pose_features 3 n_verts"] | None


@dataclass(frozen=True)
class ShapedBody:
    """A body with a shape, in rest pose, model frame and units.

    Attributes:
        rest_joints: Joints before posing, without the offsets of `translations`.
    """

    basis: BodyBasis
    betas: Float[Tensor, "*batch n_betas"]
    rest_joints: Float[Tensor, "*batch_rest n_joints 3"]
    log_scales: Float[Tensor, "*batch_scales n_joints 3"] | None = None
    translations: Float[Tensor, "*batch_trans n_joints 3"] | None = None

    @property
    def vertices(self) -> Float[Tensor, "*batch n_verts 3"]:
        """Vertices of the shape in rest pose, without scales and translations."""
        return self.planar_vertices().mT

    def planar_vertices(self) -> Float[Tensor, "*batch 3 n_verts"]:
        """Return the same as `vertices` in planar layout."""
        basis = self.basis
        return lbs.blend_shapes(self.betas, basis.template, basis.directions)

    def with_pose(
        self,
        rotation_matrices: Float[Tensor, "*batch_pose n_joints 3 3"],
        trans: Float[Tensor, "*batch_place 3"] | None = None,
        *,
        propagate_scaling: bool = True,
    ) -> "PosedBody":
        """Return the posed body.

        Args:
            rotation_matrices: The root's orientation in the reference frame, then every joint's
                rotation relative to its parent; column convention.
            trans: Position of the root joint in the reference frame; None leaves it where the
                rest pose has it.
            propagate_scaling: A joint's scale also scales what hangs on it, as in Unreal.
        """
        plan = lbs.kinematic_plan(self.basis.parents, self.rest_joints.device)
        local = lbs.local_transforms(
            rotation_matrices,
            self.rest_joints,
            self.log_scales,
            self.translations,
            plan,
            propagate_scaling=propagate_scaling,
        )
        transforms = lbs.forward_kinematics(local, plan)
        joints = transforms[..., :3, 3]
        shift = None if trans is None else (trans - self.rest_joints[..., 0, :]).unsqueeze(-2)
        return PosedBody(
            shaped=self,
            rotation_matrices=rotation_matrices,
            joints=joints if shift is None else joints + shift,
            transforms=transforms,
            shift=shift,
        )


@dataclass(frozen=True)
class PosedBody:
    """A posed body in the reference frame of its `trans`, model units.

    Attributes:
        joints: Joint positions by forward kinematics: what replicAnt's 3D points are.
        transforms: Each joint's scaled rotation and position before `shift` is added.
        shift: What carries the root from its rest place to `trans`.
    """

    shaped: ShapedBody
    rotation_matrices: Float[Tensor, "*batch_pose n_joints 3 3"]
    joints: Float[Tensor, "*batch n_joints 3"]
    transforms: Float[Tensor, "*batch n_joints 4 4"]
    shift: Float[Tensor, "*batch_shift 1 3"] | None

    def skin(self) -> Float[Tensor, "*batch n_verts 3"]:
        """Return the posed vertices."""
        basis = self.shaped.basis
        vertices = self.shaped.planar_vertices()
        if basis.posedirs is not None:
            vertices = vertices + lbs.pose_blend_shapes(self.rotation_matrices, basis.posedirs)
        moves = lbs.skinning_transforms(self.transforms, self.shaped.rest_joints)
        posed = lbs.skin(vertices, moves, basis.weights)
        if self.shift is None:
            return posed.mT
        shift = self.shift.mT
        if posed.shape[:-2] == torch.broadcast_shapes(posed.shape[:-2], shift.shape[:-2]):
            return posed.add_(shift).mT
        return (posed + shift).mT

    def regressed_joints(self) -> Float[Tensor, "*batch n_joints 3"]:
        """Return joints regressed from the posed vertices; they differ from `joints`.

        Raises:
            ModelFileError: The model has no joint regressor.
        """
        regressor = self.shaped.basis.regressor
        if regressor is None:
            raise ModelFileError("the model has no joint regressor", remedy="use the FK joints")
        return regressor @ self.skin()
