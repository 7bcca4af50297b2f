"""The content of a model file as checked numpy arrays, and its hash."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import ModelFileError


@dataclass(frozen=True)
class ModelArrays:
    """A SMIL model: float64 arrays, lengths in model units, rest pose in the model frame.

    Attributes:
        name: What to call the model; not part of its hash.
        joint_regressor: Rows sum to 1; None for models with static joints only.
        rest_joints: The file's `J`, or the joints regressed from the template where it has none.
            In real files the two may differ; `static_joints` says which one the model means.
        weights: Skinning weights, rows sum to 1.
        posedirs: Pose blend shapes, one column per entry of R - I of each joint but the root.
        scaledirs: Per-joint scale per scale weight, see `core.params.log_scales_from_weights`.
        transdirs: Per-joint offset per translation weight, 1/100 model units, y flipped.
        joint_limits: Least and greatest axis-angle component per joint and axis, radians.
        static_joints: Rest joints do not follow the shape (replicAnt's morph targets).
        shape_mean: Mean of the betas of the population that the model was made from.
        shape_cov: Their covariance.
    """

    name: str
    skeleton: Skeleton
    v_template: Float[np.ndarray, "n_verts 3"]
    faces: Int64[np.ndarray, "n_faces 3"]
    shapedirs: Float[np.ndarray, "n_verts 3 n_betas"]
    joint_regressor: Float[np.ndarray, "n_joints n_verts"] | None
    rest_joints: Float[np.ndarray, "n_joints 3"]
    weights: Float[np.ndarray, "n_verts n_joints"]
    posedirs: Float[np.ndarray, "n_verts 3 n_pose_features"] | None = None
    scaledirs: Float[np.ndarray, "n_betas n_joints 3"] | None = None
    transdirs: Float[np.ndarray, "n_betas n_joints 3"] | None = None
    joint_limits: Float[np.ndarray, "n_joints 3 2"] | None = None
    static_joints: bool = False
    shape_mean: Float[np.ndarray, " n_betas"] | None = None
    shape_cov: Float[np.ndarray, "n_betas n_betas"] | None = None

    def regressed(
        self, of_vertices: Float[np.ndarray, "n_verts *axes"]
    ) -> Float[np.ndarray, "n_joints *axes"]:
        """Return the joint regressor times something that every vertex has.

        Raises:
            ModelFileError: The model has no joint regressor.
        """
        if self.joint_regressor is None:
            raise ModelFileError(
                f"model {self.name!r} has no joint regressor", remedy="use static rest joints"
            )
        return regress(self.joint_regressor, of_vertices)

    def joints_at_rest(self) -> Float[np.ndarray, "n_joints 3"]:
        """Return the rest joints of the mean shape that the model means: static or regressed."""
        if self.static_joints or self.joint_regressor is None:
            return self.rest_joints
        return self.regressed(self.v_template)

    def content_hash(self, *, with_limits: bool = False) -> str:
        """Return a SHA-256 of what parameters and labels mean, equal for a .pkl and its .npz form.

        The name is not part of it, and the joint limits only on demand: they say which poses are
        usual, and a pose means the same whatever they are.
        """
        digest = hashlib.sha256(b"smil-model-1")
        digest.update(repr((self.skeleton.joint_names, self.skeleton.parents)).encode())
        if self.skeleton.named_chain:
            digest.update(repr(self.skeleton.named_chain).encode())
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "joint_limits" and not with_limits:
                continue
            if isinstance(value, np.ndarray):
                digest.update(f"{field.name}{value.shape}".encode())
                little = "<i8" if value.dtype.kind == "i" else "<f8"
                digest.update(np.ascontiguousarray(value + 0, dtype=little).tobytes())
            elif isinstance(value, bool):
                digest.update(f"{field.name}{value}".encode())
        return digest.hexdigest()


def regress(
    regressor: Float[np.ndarray, "n_joints n_verts"],
    of_vertices: Float[np.ndarray, "n_verts *axes"],
) -> Float[np.ndarray, "n_joints *axes"]:
    """Return the product of both, its products added one after the other.

    A matrix product may add in another order on another number of threads or another processor;
    what follows from these joints (hashes, labels of data sets, resumed runs) would then differ
    in its last bit.
    """
    values = of_vertices.reshape(len(of_vertices), -1)
    joints = np.zeros((len(regressor), values.shape[1]))
    for joint, row in zip(joints, regressor, strict=True):
        used = np.flatnonzero(row)
        if used.size:
            # Unlike `sum`, `accumulate` promises the order.
            joint[:] = np.add.accumulate(row[used, None] * values[used])[-1]
    return joints.reshape(len(regressor), *of_vertices.shape[1:])


def checked_arrays(values: Mapping[str, Any]) -> ModelArrays:
    """Return the model made of the fields in `values`, parts that are all zero set to None.

    Raises:
        ModelFileError: A shape, an index or a sum is wrong; the pickle's key is named.
    """
    skeleton, verts = values["skeleton"], len(values["v_template"])
    joints, betas = skeleton.n_joints, values["shapedirs"].shape[-1]
    shapes = {
        "v_template": (verts, 3),
        "f": (len(values["faces"]), 3),
        "shapedirs": (verts, 3, betas),
        "J_regressor": (joints, verts),
        "J": (joints, 3),
        "weights": (verts, joints),
        "posedirs": (verts, 3, 9 * (joints - 1)),
        "scaledirs": (betas, joints, 3),
        "transdirs": (betas, joints, 3),
        "joint_limits": (joints, 3, 2),
        "shape_mean_betas": (betas,),
        "shape_cov": (betas, betas),
    }
    for key, shape in shapes.items():
        _check_array(key, values.get(FIELD_OF_KEY[key]), shape)
    faces, limits = values["faces"], values.get("joint_limits")
    if len(faces) == 0 or faces.min() < 0 or faces.max() >= verts:
        raise ModelFileError("key 'f'", expected=f"faces with vertex indices 0 to {verts - 1}")
    if limits is not None and (limits[..., 0] > limits[..., 1]).any():
        raise ModelFileError("key 'joint_limits'", expected="least <= greatest for every joint")
    _check_sums("weights", values["weights"])
    return ModelArrays(**_with_joints({**values, **_without_zeros(values)}))


def check(arrays: ModelArrays) -> ModelArrays:
    """Return `arrays`, checked in the same way."""
    return checked_arrays({field.name: getattr(arrays, field.name) for field in fields(arrays)})


FIELD_OF_KEY = {
    "v_template": "v_template",
    "f": "faces",
    "shapedirs": "shapedirs",
    "J_regressor": "joint_regressor",
    "J": "rest_joints",
    "weights": "weights",
    "posedirs": "posedirs",
    "scaledirs": "scaledirs",
    "transdirs": "transdirs",
    "joint_limits": "joint_limits",
    "shape_mean_betas": "shape_mean",
    "shape_cov": "shape_cov",
}
"""Keys of a model pickle and the field of `ModelArrays` that holds the same."""


def _check_array(key: str, value: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if value is None:
        return
    if value.shape != shape:
        raise ModelFileError(f"key {key!r} has the wrong shape", expected=shape, found=value.shape)
    if value.size and not np.isfinite(value).all():
        raise ModelFileError(
            f"key {key!r}",
            expected="finite numbers",
            found=f"{int((~np.isfinite(value)).sum())} that are NaN or infinite",
        )


def _check_sums(key: str, rows: np.ndarray) -> None:
    off = np.abs(rows.sum(axis=1) - 1.0)
    if off.max(initial=0.0) > 1e-2:
        raise ModelFileError(
            f"key {key!r}",
            expected="rows that sum to 1",
            found=f"a row {int(off.argmax())} that sums to {rows[off.argmax()].sum():.4g}",
        )


def _without_zeros(values: Mapping[str, Any]) -> dict[str, None]:
    """Blend shapes and regressors that are zero throughout mean that there are none."""
    optional = {name: values.get(name) for name in ("posedirs", "joint_regressor")}
    return {name: None for name, value in optional.items() if value is None or not value.any()}


def _with_joints(values: dict[str, Any]) -> dict[str, Any]:
    if values["joint_regressor"] is not None:
        _check_sums("J_regressor", values["joint_regressor"])
    elif not values.get("static_joints"):
        raise ModelFileError(
            "key 'J_regressor' is absent or zero",
            expected="a joint regressor, or static_joint_locs = True and the joints in 'J'",
        )
    return values
