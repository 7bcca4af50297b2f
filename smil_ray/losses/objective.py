"""Body, camera, terms and weights together: (SmilParams, Batch, epoch) -> total and its parts."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import BodyConfig, LossConfig, ModelConfig
from smil_ray.core.batch import Batch
from smil_ray.core.params import SmilParams
from smil_ray.errors import ConfigError
from smil_ray.losses.curriculum import used_terms, weights_at
from smil_ray.losses.prior import ParameterPrior
from smil_ray.losses.regularisation import no_prior
from smil_ray.losses.terms import LOSS_TERMS, TERM_LABELS, TermInputs
from smil_ray.render.camera import Camera

_NEEDS_JOINTS = frozenset({"keypoint_2d", "keypoint_3d", "silhouette"})
NEEDS_PRIOR = frozenset({"pose_prior", "shape_prior"})
_OPTIONAL_OUTPUTS = {
    "keypoint_heatmap": "keypoint_logits",
    "keypoint_place": "keypoint_xy",
    "keypoint_confidence": "keypoint_scale",
}
"""Terms that count only where the network gives this output: heads that look at each joint do,
heat maps while they train."""
_NEEDS_MODEL = {
    "log_beta_scales": ("joint_scales", "scaledirs"),
    "limb_scale": ("joint_scales", None),
    "betas_trans": ("joint_translations", "transdirs"),
    "joint_limit": (None, "joint_limits"),
}
"""What a term needs of `model.*` (not `ignore`) and of the SMIL model (not None)."""


@dataclass(frozen=True)
class LossResult:
    """One batch's loss.

    Attributes:
        total: Weighted sum of the terms, with gradient.
        terms: Every computed term, not weighted, detached.
        weights: Every weight at this epoch; terms with weight 0 are not computed.
    """

    total: Tensor
    terms: dict[str, Tensor]
    weights: dict[str, float]


class Objective:
    """The training loss. Vertices are computed only while the silhouette has a weight.

    Raises:
        ConfigError: A joint name in `loss` is unknown, or no joint is left.
    """

    def __init__(
        self,
        model: SmilModel,
        loss: LossConfig,
        body: BodyConfig,
        model_config: ModelConfig,
        prior: ParameterPrior | None = None,
    ) -> None:
        self.model = model
        self.loss = loss
        self.body = body
        self.model_config = model_config
        self.prior = prior
        self.joint_weights = _joint_weights(model, loss)

    def ignored_joints(self) -> str | None:
        """Return which joints the loss ignores and how many are left, None where it need not."""
        if not (self.loss.verbose_ignored_joints and self.loss.ignored_joints):
            return None
        kept, every = int((self.joint_weights > 0).sum()), self.model.skeleton.n_joints
        names = ", ".join(self.loss.ignored_joints)
        return f"ignored joints: {names}; {kept} of {every} joints are supervised"

    def without_weight(self) -> str | None:
        """Return which of the default terms never count, None where all do.

        A configuration that names some of `loss.base_weights` leaves the others without one.
        """
        unused = [term for term in LossConfig().base_weights if term not in used_terms(self.loss)]
        return f"loss terms without a weight: {', '.join(unused)}" if unused else None

    def check(self, presence_counts: Mapping[str, int]) -> None:
        """Refuse a loss that these labels or this model cannot provide.

        Args:
            presence_counts: Label group -> number of training samples that have it.

        Raises:
            ConfigError: A term has a weight at some epoch but no sample has its label, there is
                no prior, the network or the SMIL model lacks what it needs, or epoch 0 has no
                weight at all.
        """
        for term in sorted(used_terms(self.loss)):
            label = TERM_LABELS[term]
            if label is not None and not presence_counts.get(label):
                having = sorted(name for name, count in presence_counts.items() if count)
                raise ConfigError(
                    f"loss weight {term}",
                    expected=f"data with the label {label!r}",
                    found=f"labels {', '.join(having) or 'none'}",
                    remedy=f"set loss.base_weights.{term} (and in stages) to 0 or use other data",
                )
            if term in NEEDS_PRIOR and self.prior is None:
                raise no_prior(term)
            self._check_model(term)
        if not any(weight > 0 for weight in weights_at(self.loss, 0.0).values()):
            raise ConfigError(
                "loss.base_weights", expected="a positive weight at epoch 0", found="none"
            )

    def to(self, device: torch.device | str) -> "Objective":
        """Move the constants to `device`; return self."""
        self.model = self.model.to(device)
        self.joint_weights = self.joint_weights.to(device)
        self.prior = None if self.prior is None else self.prior.to(device)
        return self

    def __call__(self, params: SmilParams, batch: Batch, epoch: float | int) -> LossResult:
        """Return the loss of `params` for `batch` with the weights of `epoch`, in float32."""
        weights = weights_at(self.loss, epoch)
        active = [term for term, weight in weights.items() if weight > 0]
        active = [term for term in active if _can_be_had(term, params)]
        with torch.autocast(params.betas.device.type, enabled=False):
            inputs = self.inputs(params, batch, active)
            terms = {term: LOSS_TERMS[term](inputs) for term in active}
            # Terms may be constant (the camera in the camera frame); the graph must not be.
            total = params.fov.sum() * 0.0
            for term, value in terms.items():
                total = total + weights[term] * value
        detached = {term: value.detach() for term, value in terms.items()}
        return LossResult(total, detached, weights)

    def inputs(
        self, params: SmilParams, batch: Batch, active: list[str] | tuple[str, ...]
    ) -> TermInputs:
        """Return what the terms `active` need, computing nothing else.

        Raises:
            ConfigError: The batch is in another reference frame than the network's.
        """
        if batch.reference_frame != self.model_config.reference_frame:
            raise ConfigError(
                "model.reference_frame",
                expected=self.model_config.reference_frame,
                found=f"a batch in the {batch.reference_frame} frame",
            )
        if params.betas.device != self.joint_weights.device:
            self.to(params.betas.device)
        joints = xy = silhouette = None
        if _NEEDS_JOINTS.intersection(active):
            joints, xy, silhouette = self._pose(params, batch, "silhouette" in active)
        return TermInputs(
            params=params,
            batch=batch,
            model=self.model,
            joint_weights=self.joint_weights,
            unseen_weight=self.loss.unseen_joint_weight,
            normalise=self.loss.normalise,
            joints=joints,
            xy=xy,
            silhouette=silhouette,
            prior=self.prior,
        )

    def posed(
        self, params: SmilParams, batch: Batch
    ) -> tuple[Float[Tensor, "batch n_joints 3"], Float[Tensor, "batch n_joints 2"]]:
        """Return joints (reference frame, model units) and their fractions of the picture."""
        joints, xy, _ = self._pose(params, batch, with_silhouette=False)
        return joints, xy

    def _pose(
        self, params: SmilParams, batch: Batch, with_silhouette: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        posed = self.model.pose(
            params,
            rest=self.body.rest_joints,
            propagate_scaling=self.body.propagate_scaling,
        )
        camera = Camera.from_params(params, batch.intrinsics.nan_to_num(nan=0.5))
        xy, _ = camera.project(posed.joints)
        if not with_silhouette:
            return posed.joints, xy, None
        # Imported here, because its kernels take seconds to load and most runs need none.
        from smil_ray.render.silhouette.soft import soft_silhouette

        size = self.loss.silhouette_size
        points, depth = camera.project(posed.skin())
        silhouette = soft_silhouette(
            points, depth, self.model.faces, size, size, sigma=self.loss.silhouette_sigma
        )
        return posed.joints, xy, silhouette

    def _check_model(self, term: str) -> None:
        setting, part = _NEEDS_MODEL.get(term, (None, None))
        if setting is not None and getattr(self.model_config, setting) == "ignore":
            raise ConfigError(
                f"loss weight {term}",
                expected=f"model.{setting} other than ignore",
                found="ignore",
                remedy=f"set model.{setting} (e.g. pca) or the weight to 0",
            )
        if part is not None and getattr(self.model, part) is None:
            raise ConfigError(
                f"loss weight {term}",
                expected=f"a SMIL model with {part}",
                found=f"{self.model.name} without",
                remedy="set the weight to 0 or choose another body.model",
            )


def _can_be_had(term: str, params: SmilParams) -> bool:
    output = _OPTIONAL_OUTPUTS.get(term)
    return output is None or getattr(params, output) is not None


def _joint_weights(model: SmilModel, loss: LossConfig) -> Float[Tensor, " n_joints"]:
    skeleton = model.skeleton
    weights = torch.ones(skeleton.n_joints)
    for name, importance in loss.joint_importance.items():
        weights[torch.from_numpy(skeleton.mask([name], "loss.joint_importance"))] = importance
    ignored = torch.from_numpy(skeleton.mask(loss.ignored_joints, "loss.ignored_joints"))
    weights[ignored] = 0.0
    if not bool((weights > 0).any()):
        raise ConfigError("loss.ignored_joints", expected="some joint left", found="none")
    return weights
