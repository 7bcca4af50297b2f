"""What poses and shapes are likely for the animals of a run."""

import numpy as np
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.synthetic.animal import capsules_of
from smil_ray.data.synthetic.poses.source import open_pose_source
from smil_ray.fitting.prior import PosePrior
from smil_ray.training.checkpoint.inputs import kept_prior
from smil_ray.training.checkpoint.loading import LoadedRegressor

POSES = 2000
_SEED = 0
_drawn: dict[str, PosePrior] = {}
"""Content hash of a body model -> its synthetic prior, which takes some seconds."""


def prior_of(loaded: LoadedRegressor) -> PosePrior:
    """Return the prior of what a run was trained on, else of the poses that `synth` draws.

    Runs of earlier versions keep no prior for fits.

    Raises:
        CheckpointError: The run's prior is damaged.
    """
    kept = kept_prior(loaded.path.absolute().parents[1])
    if kept is None or kept.angle_mean is None or kept.angle_covariance is None:
        return synthetic_prior(loaded.model)
    factor = torch.linalg.cholesky(kept.angle_covariance.double()).float()
    return PosePrior(kept.angle_mean, factor, kept.betas_mean, kept.betas_spread)


def synthetic_prior(model: SmilModel) -> PosePrior:
    """Return the prior of the poses that `synth` draws of a body model, and of its shapes."""
    if model.content_hash not in _drawn:
        _drawn[model.content_hash] = _draw(model)
    return _drawn[model.content_hash]


def _draw(model: SmilModel) -> PosePrior:
    rng = np.random.default_rng(_SEED)
    source = open_pose_source(model, capsules_of(model))
    poses = torch.from_numpy(np.stack([source.draw(rng) for _ in range(POSES)])).float()
    cov = model.source.shape_cov
    shapes = np.eye(model.n_betas) if cov is None else np.asarray(cov)
    spread = np.sqrt(np.clip(np.diag(shapes), 0.0, None))
    betas = model.shape_mean.numpy() + spread * rng.standard_normal((POSES, model.n_betas))
    return PosePrior.fit(poses, torch.from_numpy(betas).float())
