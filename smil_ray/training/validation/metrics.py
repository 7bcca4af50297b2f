"""Validation metrics of predictions; none depends on loss weights or the curriculum.

Every figure is a sum over samples divided by a count, never a mean of batch means, and compares
in the *camera* frame, so that networks with either reference frame can be compared. Ground-truth
3D points are the data's `keypoints_3d`, predicted ones the forward-kinematics joints. *Body
length* (`bl`) is the length of the trunk chain of the sample's animal.

| name | meaning |
|---|---|
| `mpjpe`, `mpjpe_pct_bl` | joint distance, no alignment; model units, percent of body length |
| `mpjpe_ra_pct_bl` | after moving the predicted root joint onto the true one |
| `pa_mpjpe_pct_bl` | after similarity Procrustes per sample (reflection excluded) |
| `kp2d_px_input` | distance of projected joints in pixels of the network's input |
| `pck@5px_input` | share of joints within 5 pixels of the network's input |
| `pck@0.05_bbox`, `pck@0.10_bbox` | within that share of the longer side of the true joints' box |
| `rot_deg_global`, `rot_deg_joint` | geodesic angle of the root (camera frame), of the joints |
| `trans_pct_bl`, `fov_deg`, `betas_mae` | root position, field of view, mean |beta error| |

2D figures count joints that are visible and present, 3D figures joints that are present. Samples
with fewer than three such joints are not counted in box and Procrustes figures.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core import rotations
from smil_ray.core.batch import Batch
from smil_ray.core.frames import points_in_camera, root_in_camera
from smil_ray.core.params import SmilParams
from smil_ray.core.skeleton import Skeleton
from smil_ray.training.validation.procrustes import FEWEST_POINTS, align

PIXEL_THRESHOLD = 5.0
BOX_THRESHOLDS = (0.05, 0.10)
PER_JOINT = ("mpjpe_ra_pct_bl", "pa_mpjpe_pct_bl", "kp2d_px_input", "pck@0.10_bbox")
"""Figures that are also kept joint by joint."""
COUNTS = {
    "n_samples": "samples",
    "n_joints_3d": "mpjpe",
    "n_joints_2d": "kp2d_px_input",
    "n_samples_pa": "samples_pa",
}


class MetricSums:
    """Sums of errors and their counts over any number of batches (and processes).

    Args:
        skeleton: Joint names and tree of the body model.
        input_size: Height and width of the network's input in pixels.
        body: Which rest joints the predicted joints start from (`config.body`).
    """

    def __init__(
        self, skeleton: Skeleton, input_size: int, body: BodyConfig | None = None
    ) -> None:
        self._skeleton = skeleton
        self._body = body or BodyConfig()
        self._input_size = input_size
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, params: SmilParams, batch: Batch, model: SmilModel) -> None:
        """Add the errors of predictions `params` for `batch`; both may be in any frame."""
        one = torch.ones_like(batch.body_length)
        self._tally("samples", one, one > 0)
        posed = model.pose(
            params,
            rest=self._body.rest_joints,
            propagate_scaling=self._body.propagate_scaling,
        )
        predicted_cam = points_in_camera(posed.joints, params).double()
        self._add_3d(predicted_cam, batch)
        self._add_2d(predicted_cam, params, batch)
        self._add_params(params, batch)

    def compute(self) -> dict[str, float]:
        """Return every figure and the numbers of samples and joints behind them.

        A figure that nothing was counted for (its label is absent) is left out.
        """
        found: dict[str, float] = {}
        for name in (n for n in self._sums if not n.startswith("samples")):
            count = float(self._counts[name].sum())
            if count > 0:
                found[name] = float(self._sums[name].sum()) / count
        for name, source in COUNTS.items():
            found[name] = float(self._counts[source].sum()) if source in self._counts else 0.0
        return found

    def per_joint(self) -> dict[str, dict[str, float]]:
        """Return the figures of PER_JOINT by joint name; joints never counted are left out."""
        found: dict[str, dict[str, float]] = {}
        for name in (n for n in PER_JOINT if n in self._sums):
            counts, sums = self._counts[name], self._sums[name]
            found[name] = {
                joint: float(sums[i] / counts[i])
                for i, joint in enumerate(self._skeleton.joint_names)
                if counts[i] > 0
            }
        return found

    def reduce(self, all_reduce: Callable[[Tensor], object]) -> None:
        """Add up the sums of all processes; every process must have counted the same figures."""
        for name in sorted(self._sums):
            all_reduce(self._sums[name])
            all_reduce(self._counts[name])

    def _add_3d(self, predicted: Float[Tensor, "batch n_joints 3"], batch: Batch) -> None:
        true = points_in_camera(batch.keypoints_3d, batch.target).double()
        valid = batch.keypoint_presence & batch.presence["keypoints_3d"][:, None]
        percent = 100.0 / batch.body_length.double()[:, None]
        absolute = (predicted - true).norm(dim=-1)
        self._tally("mpjpe", absolute, valid)
        self._tally("mpjpe_pct_bl", absolute * percent, valid)
        rooted = (predicted - predicted[:, :1]) - (true - true[:, :1])
        self._tally("mpjpe_ra_pct_bl", rooted.norm(dim=-1) * percent, valid & valid[:, :1])
        enough = valid.sum(dim=1) >= FEWEST_POINTS
        aligned = align(predicted, true, valid & enough[:, None])
        error = (aligned - true).norm(dim=-1) * percent
        self._tally("pa_mpjpe_pct_bl", error, valid & enough[:, None])
        self._tally("samples_pa", torch.ones_like(enough, dtype=torch.float64), enough)

    def _add_2d(
        self, predicted: Float[Tensor, "batch n_joints 3"], params: SmilParams, batch: Batch
    ) -> None:
        size = float(self._input_size)
        true = batch.keypoints_2d.double() * size
        valid = batch.keypoint_visibility & batch.keypoint_presence
        valid = valid & batch.presence["keypoints_2d"][:, None]
        xy, in_front = _project(
            predicted, params.fov.double(), batch.intrinsics.double().nan_to_num(nan=0.5)
        )
        error = (xy * size - true).norm(dim=-1)
        # A joint behind the camera has no place in the picture: it counts as one diagonal off.
        error = torch.where(in_front, error, torch.full_like(error, size * 2**0.5))
        self._tally("kp2d_px_input", error, valid)
        self._tally("pck@5px_input", (error <= PIXEL_THRESHOLD).double(), valid)
        side = _longer_side(true, valid)
        boxed = valid & ((valid.sum(dim=1) >= FEWEST_POINTS) & (side > 0))[:, None]
        for threshold in BOX_THRESHOLDS:
            hit = (error <= threshold * side[:, None]).double()
            self._tally(f"pck@{threshold:.2f}_bbox", hit, boxed)

    def _add_params(self, params: SmilParams, batch: Batch) -> None:
        target, presence = batch.target, batch.presence
        root, position = root_in_camera(params)
        true_root, true_position = root_in_camera(target)
        known = presence["global_rot"] & presence["camera"]
        self._tally("rot_deg_global", _angle_deg(root, true_root, known), known)
        known = presence["joint_rot"][:, None].expand(-1, target.joint_rot.shape[1])
        local = rotations.to_matrix(params.joint_rot)
        true_local = rotations.to_matrix(target.joint_rot)
        self._tally("rot_deg_joint", _angle_deg(local, true_local, known), known)
        distance = (position - true_position).double().norm(dim=-1)
        known = presence["trans"] & presence["camera"]
        self._tally("trans_pct_bl", distance * 100.0 / batch.body_length.double(), known)
        self._tally("fov_deg", (params.fov - target.fov).abs()[:, 0], presence["camera"])
        betas = (params.betas - target.betas).abs().mean(dim=-1)
        self._tally("betas_mae", betas, presence["betas"])

    def _tally(self, name: str, values: Tensor, valid: Tensor) -> None:
        """Add values where valid, kept per joint where the second axis is joints."""
        values = values.double()
        known = torch.where(valid, values, torch.zeros_like(values))
        total, count = known.sum(dim=0), valid.double().sum(dim=0)
        if name in self._sums:
            total, count = self._sums[name] + total, self._counts[name] + count
        self._sums[name], self._counts[name] = total, count


def _project(
    points: Float[Tensor, "batch n 3"],
    fov_deg: Float[Tensor, "batch 1"],
    intrinsics: Float[Tensor, "batch 4"],
) -> tuple[Float[Tensor, "batch n 2"], Bool[Tensor, "batch n"]]:
    """Return camera-frame points as fractions of the picture and whether they are in front.

    The focal length is the predicted one, the principal point the data's (else the middle).
    """
    depth = points[..., 2:]
    in_front = depth[..., 0] > 0
    focal = 0.5 / torch.tan(torch.deg2rad(fov_deg) / 2)
    safe = torch.where(depth > 0, depth, torch.ones_like(depth))
    centre = intrinsics[:, None, 2:].nan_to_num(nan=0.5)
    return centre - focal[:, None] * points[..., :2] / safe, in_front


def _longer_side(
    points: Float[Tensor, "batch n 2"], valid: Bool[Tensor, "batch n"]
) -> Float[Tensor, " batch"]:
    """Return the longer side of the box around the valid points, 0 where there is none."""
    far = torch.full_like(points, torch.inf)
    low = torch.where(valid[..., None], points, far).amin(dim=1)
    high = torch.where(valid[..., None], points, -far).amax(dim=1)
    return (high - low).amax(dim=-1).clamp_min(0.0)


def _angle_deg(a: Tensor, b: Tensor, known: Tensor) -> Tensor:
    """Return the angle between rotations in degrees; unknown ones (NaN) give 0."""
    eye = torch.eye(3, dtype=torch.float64, device=a.device).expand(a.shape)
    known = known[..., None, None]
    angle = rotations.geodesic_angle(
        torch.where(known, a.double(), eye), torch.where(known, b.double(), eye)
    )
    return torch.rad2deg(angle)
