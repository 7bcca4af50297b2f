"""Errors of whole meshes: silhouettes and vertices, which need every vertex posed.

| name | meaning |
|---|---|
| `iou` | intersection over union of the predicted silhouette and the mask (half covered or more) |
| `pa_mpvpe_pct_bl` | vertex distance after similarity Procrustes, percent of body length |

True vertices are those of the data's own parameters, so that PA-MPVPE counts samples with root,
joint rotations, position and betas; the other one counts samples with a mask.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.losses.targets import true_params
from smil_ray.render.camera import Camera
from smil_ray.render.rasterize import hard_mask
from smil_ray.training.validation.procrustes import align
from smil_ray.training.validation.tally import SampleValues, Tally

HALF_COVERED = 128
"""Masks are soft, 0 to 255."""
VERTEX_LABELS = ("global_rot", "joint_rot", "trans", "betas")


class MeshSums:
    """Sums of errors of meshes over any number of batches, kept sample by sample.

    Args:
        model: The body model.
        body: How bodies are posed.
    """

    def __init__(self, model: SmilModel, body: BodyConfig) -> None:
        self._model = model
        self._body = body
        self._tally = Tally(keeps_samples=True)

    @torch.no_grad()
    def add(self, params: SmilParams, batch: Batch) -> None:
        """Add the errors of predictions `params`, in the frame of `batch`."""
        vertices = self._vertices(params)
        self._add_vertices(vertices, batch)
        self._add_silhouettes(vertices, params, batch)

    def compute(self) -> dict[str, float]:
        """Return the figures; one that no sample has the labels for is left out."""
        return self._tally.means()

    def per_sample(self) -> dict[str, SampleValues]:
        """Return the figures sample by sample."""
        return self._tally.by_sample()

    def _vertices(self, params: SmilParams) -> Float[Tensor, "batch n_verts 3"]:
        posed = self._model.pose(
            params,
            rest=self._body.rest_joints,
            propagate_scaling=self._body.propagate_scaling,
        )
        return posed.skin()

    def _add_vertices(self, predicted: Float[Tensor, "batch n_verts 3"], batch: Batch) -> None:
        known = torch.stack([batch.presence[label] for label in VERTEX_LABELS]).all(dim=0)
        # What is absent is NaN, and not counted.
        truth = true_params(batch, self._model).map(torch.nan_to_num)
        true = self._vertices(truth).double()
        predicted = predicted.double()
        valid = known[:, None].expand(true.shape[:2])
        distance = (align(predicted, true, valid) - true).norm(dim=-1).mean(dim=1)
        percent = distance * 100.0 / batch.body_length.double()
        self._tally.add("pa_mpvpe_pct_bl", percent, known)

    def _add_silhouettes(
        self, vertices: Float[Tensor, "batch n_verts 3"], params: SmilParams, batch: Batch
    ) -> None:
        known = batch.presence["mask"].cpu()
        found = torch.zeros(batch.size, dtype=torch.float64)
        if batch.mask is not None:
            camera = Camera.from_params(params, batch.intrinsics.nan_to_num(nan=0.5))
            xy, depth = (values.double().cpu() for values in camera.project(vertices))
            masks = batch.mask.cpu()
            faces = self._model.faces.cpu().numpy()
            height, width = batch.mask.shape[-2:]
            size = torch.tensor([width, height], dtype=torch.float64)
            for i in known.nonzero()[:, 0].tolist():
                true = masks[i, 0].numpy() >= HALF_COVERED
                pixels = (xy[i] * size).numpy()
                body = hard_mask(pixels, depth[i].numpy(), faces, height, width)
                found[i] = float((body & true).sum()) / max(1.0, float((body | true).sum()))
        self._tally.add("iou", found, known)
