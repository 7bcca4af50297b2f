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
| `pck_auc_bbox` | mean of PCK over all thresholds from 0 to 0.2 of that side: 1 is perfect |
| `rot_deg_global`, `rot_deg_joint` | geodesic angle of the root (camera frame), of the joints |
| `trans_pct_bl`, `fov_deg`, `betas_mae` | root position, field of view, mean |beta error| |

2D figures count joints that are visible and present, 3D figures joints that are present. Samples
with fewer than three such joints are not counted in box and Procrustes figures. Figures relative
to the mean pose's are in `training.validation.mean_pose`.
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
from smil_ray.core.joint_groups import joint_groups
from smil_ray.core.params import SmilParams
from smil_ray.core.skeleton import Skeleton
from smil_ray.training.validation.procrustes import FEWEST_POINTS, align
from smil_ray.training.validation.tally import SampleValues, Tally

PIXEL_THRESHOLD = 5.0
BOX_THRESHOLDS = (0.05, 0.10)
AUC_LIMIT = 0.2
"""Largest threshold of `pck_auc_bbox`, as a share of the box's longer side."""
PER_JOINT = ("mpjpe_ra_pct_bl", "pa_mpjpe_pct_bl", "kp2d_px_input", "pck@0.10_bbox")
"""Figures that are also kept joint by joint."""
PER_ROTATION = "rot_deg_joint"
"""Kept by rotation, one a joint but the root."""
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
        keeps_samples: Also keep every figure of every sample.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        input_size: int,
        body: BodyConfig | None = None,
        *,
        keeps_samples: bool = False,
    ) -> None:
        self._skeleton = skeleton
        self._body = body or BodyConfig()
        self._input_size = input_size
        self._tally = Tally(keeps_samples=keeps_samples)

    @torch.no_grad()
    def add(self, params: SmilParams, batch: Batch, model: SmilModel) -> None:
        """Add the errors of predictions `params` for `batch`; both may be in any frame."""
        one = torch.ones_like(batch.body_length)
        self._tally.add("samples", one, one > 0)
        posed = model.pose(
            params,
            rest=self._body.rest_joints,
            propagate_scaling=self._body.propagate_scaling,
        )
        predicted_cam = points_in_camera(posed.joints, params).double()
        self._add_3d(predicted_cam, batch)
        self._add_2d(predicted_cam, params, batch)
        self._add_params(params, batch)

    def include(self, other: "MetricSums") -> None:
        """Add what other samples gave."""
        self._tally.include(other._tally)

    def compute(self) -> dict[str, float]:
        """Return every figure and the numbers of samples and joints behind them.

        A figure that nothing was counted for (its label is absent) is left out.
        """
        found = self._tally.means()
        found = {name: value for name, value in found.items() if not name.startswith("samples")}
        for name, source in COUNTS.items():
            found[name] = self._tally.count(source)
        return found

    def per_joint(self) -> dict[str, dict[str, float]]:
        """Return the figures of PER_JOINT by joint name; joints never counted are left out."""
        joints = self._skeleton.joint_names
        known = [name for name in PER_JOINT if name in self._tally.names]
        return {name: self._tally.by_joint(name, joints) for name in known}

    def per_group(self) -> dict[str, dict[str, tuple[float, int]]]:
        """Return figures and counts by group of joints (`core.joint_groups`), none without groups.

        The joint rotation of a group is that of its joints but the root.
        """
        groups = joint_groups(self._skeleton.joint_names)
        local = {name: [joint - 1 for joint in joints if joint] for name, joints in groups.items()}
        found = {}
        for name in (*PER_JOINT, PER_ROTATION):
            if name in self._tally.names and groups:
                which = local if name == PER_ROTATION else groups
                found[name] = self._tally.by_group(name, which)
        return found

    def per_sample(self) -> dict[str, SampleValues]:
        """Return every figure sample by sample, if they were to be kept."""
        found = self._tally.by_sample()
        return {name: value for name, value in found.items() if not name.startswith("samples")}

    def reduce(self, all_reduce: Callable[[Tensor], object]) -> None:
        """Add up the sums of all processes; every process must have counted the same figures."""
        self._tally.reduce(all_reduce)

    def _add_3d(self, predicted: Float[Tensor, "batch n_joints 3"], batch: Batch) -> None:
        true = points_in_camera(batch.keypoints_3d, batch.target).double()
        valid = batch.keypoint_presence & batch.presence["keypoints_3d"][:, None]
        percent = 100.0 / batch.body_length.double()[:, None]
        absolute = (predicted - true).norm(dim=-1)
        self._tally.add("mpjpe", absolute, valid)
        self._tally.add("mpjpe_pct_bl", absolute * percent, valid)
        rooted = (predicted - predicted[:, :1]) - (true - true[:, :1])
        self._tally.add("mpjpe_ra_pct_bl", rooted.norm(dim=-1) * percent, valid & valid[:, :1])
        enough = valid.sum(dim=1) >= FEWEST_POINTS
        aligned = align(predicted, true, valid & enough[:, None])
        error = (aligned - true).norm(dim=-1) * percent
        self._tally.add("pa_mpjpe_pct_bl", error, valid & enough[:, None])
        self._tally.add("samples_pa", torch.ones_like(enough, dtype=torch.float64), enough)

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
        self._tally.add("kp2d_px_input", error, valid)
        self._tally.add("pck@5px_input", (error <= PIXEL_THRESHOLD).double(), valid)
        side = _longer_side(true, valid)
        boxed = valid & ((valid.sum(dim=1) >= FEWEST_POINTS) & (side > 0))[:, None]
        for threshold in BOX_THRESHOLDS:
            hit = (error <= threshold * side[:, None]).double()
            self._tally.add(f"pck@{threshold:.2f}_bbox", hit, boxed)
        # A joint at distance r is within all thresholds from r on: the mean over them is linear.
        within = 1.0 - error / (AUC_LIMIT * side.clamp_min(1e-9))[:, None]
        self._tally.add("pck_auc_bbox", within.clamp_min(0.0), boxed)

    def _add_params(self, params: SmilParams, batch: Batch) -> None:
        target, presence = batch.target, batch.presence
        root, position = root_in_camera(params)
        true_root, true_position = root_in_camera(target)
        known = presence["global_rot"] & presence["camera"]
        self._tally.add("rot_deg_global", _angle_deg(root, true_root, known), known)
        known = presence["joint_rot"][:, None].expand(-1, target.joint_rot.shape[1])
        local = rotations.to_matrix(params.joint_rot)
        true_local = rotations.to_matrix(target.joint_rot)
        self._tally.add("rot_deg_joint", _angle_deg(local, true_local, known), known)
        distance = (position - true_position).double().norm(dim=-1)
        known = presence["trans"] & presence["camera"]
        self._tally.add("trans_pct_bl", distance * 100.0 / batch.body_length.double(), known)
        self._tally.add("fov_deg", (params.fov - target.fov).abs()[:, 0], presence["camera"])
        betas = (params.betas - target.betas).abs().mean(dim=-1)
        self._tally.add("betas_mae", betas, presence["betas"])


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
