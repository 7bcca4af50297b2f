"""A configuration and a data set become the parts of a run, checked before the first step."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config, DataConfig, source_of_metric
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.mixed import MixedData
from smil_ray.errors import CheckpointError, ConfigError
from smil_ray.losses.objective import Objective
from smil_ray.losses.prior import ParameterPrior
from smil_ray.models.backbones import Backbone, backbone_spec
from smil_ray.models.decoder import ScaleBasis, TargetStatistics
from smil_ray.models.heads.build import finest_stride
from smil_ray.models.kinematics import Kinematics
from smil_ray.models.regressor import Regressor, build_regressor
from smil_ray.storage.node_cache import local_place
from smil_ray.training import means
from smil_ray.training.apparent_size import log_extent_of_keypoints
from smil_ray.training.batches.lifting import LabelledPoses
from smil_ray.training.checkpoint.files import Checkpoint
from smil_ray.training.checkpoint.frozen_weights import FrozenWeights
from smil_ray.training.data_splits import split_data
from smil_ray.training.parts import Parts, SampleSource
from smil_ray.training.validation.mean_pose import (
    MOST_SAMPLES,
    POSE_SCORE,
    RELATIVE,
    mean_pose_figures,
    training_labels,
)
from smil_ray.training.warm_start import inherited_prior, parent_of, start_checkpoint

STATISTICS_SAMPLES = 512
"""Means of field of view and extent are taken over at most this many training samples."""
FALLBACK = TargetStatistics(fov_deg=30.0, log_extent=1.0)
"""Starting estimate for data without cameras and without 2D labels."""


def open_data(config: Config, model: SmilModel) -> SmilDataset | MixedData:
    """Return the data set of `data.path`, or those of `data.sources` as one.

    Its images are of the backbone's size.

    Raises:
        ConfigError: No path is set, or a file is to be cut.
        DataError: Nothing readable is there.
    """
    each = config.data.each()
    main = config.data.main_source(config.train.select_metric)
    if main is None:
        return _open_one(config, config.data, model)
    return MixedData({n: _open_one(config, data, model) for n, data in each.items()}, main)


def _open_one(config: Config, settings: DataConfig, model: SmilModel) -> SmilDataset:
    if settings.path is None:
        raise ConfigError("data.path is not set", remedy="give --data FILE.h5")
    backbone = config.model.backbone
    path = local_place(settings.path).absolute()
    if settings.crop.mode != "none" and path.is_file():
        raise ConfigError(
            "data.crop is for replicAnt folders",
            found=f"the file {path.name}",
            remedy="leave it out, and cut with `smil-ray preprocess --crop bbox`",
        )
    return SmilDataset.from_path(
        path,
        model=model,
        rotation_representation=config.model.rotation_representation,
        backbone_name=backbone.name,
        input_size=backbone_spec(backbone.name, backbone.input_size).input_size,
        reference_frame=config.model.reference_frame,
        crop=settings.crop,
    )


def assemble(
    config: Config,
    data: SampleSource,
    model: SmilModel,
    device: torch.device | str = "cpu",
    *,
    resume: Checkpoint | None = None,
) -> Parts:
    """Return network, loss and data of a run, checked against each other.

    The network's initial weights depend on `train.seed` alone, or are those of `train.init_from`.

    Args:
        config: The resolved configuration.
        data: The data set.
        model: The body model.
        device: Where the run computes.
        resume: The checkpoint that the run goes on from.

    Raises:
        CheckpointError: The run of `train.init_from` has no readable checkpoint.
        ConfigError: A loss has a weight and the data lacks its label, a name is unknown, a mode
            needs what the body model lacks, a split is empty, or `train.init_from` has another
            network or body model.
    """
    model = model.to(device)
    _check_cameras(config, data)
    split = split_data(config, data)
    splits, whole = split.used, split.whole
    start = resume or start_checkpoint(config, model)
    # Of the whole training split, so that runs on parts of it are measured alike.
    labels = training_labels(data, whole.train)
    prior = inherited_prior(start)
    if prior is None:
        prior = ParameterPrior.fit(labels.target.joint_rot, labels.target.betas)
    objective = _objective(config, data, model, prior)

    def mean_pose_on(val: np.ndarray) -> dict[str, float]:
        return mean_pose_figures(labels, data, val, model, config.body)

    mean_pose = mean_pose_on(whole.val)
    sources = tuple(replace(s, mean_pose=mean_pose_on(s.splits.val)) for s in split.sources)
    measured = {s.name: s.mean_pose for s in sources if len(s.splits.val)}
    _check_metric(config, {None: mean_pose} | measured)
    if start is None:
        statistics = target_statistics(data, splits.train, model)
    else:
        statistics = TargetStatistics(**start.meta["statistics"])
    # Asking for the backbone's facts draws random numbers, but only the first time.
    settings = config.model.backbone
    backbone_spec(settings.name, settings.input_size, finest_stride(config.model))
    regressor = _regressor(config, model, statistics, start=start)
    frozen = FrozenWeights() if regressor.backbone.always_frozen else None
    return Parts(
        regressor,
        objective,
        model,
        data,
        splits,
        statistics,
        frozen=frozen,
        mean_pose=mean_pose,
        parent=None if start is None or resume is not None else parent_of(start),
        sources=sources,
        prior=prior,
        poses=_poses_to_lift(config, data, splits.train, model),
    )


def assemble_beside(first: Parts, config: Config, resume: Checkpoint | None = None) -> Parts:
    """Return the parts of another run on the same data, frozen backbone and features.

    Network and loss are what `assemble` would make of `config`; the rest is shared.

    Args:
        first: The parts of the run beside it.
        config: May differ from that run's only as `packs.stream_key` allows.
        resume: The checkpoint that this run goes on from.

    Raises:
        ConfigError: See `assemble`.
    """
    objective = _objective(config, first.data, first.model, first.prior)
    backbone = first.regressor.backbone
    start = resume or start_checkpoint(config, first.model)
    regressor = _regressor(config, first.model, first.statistics, backbone, start)
    return replace(first, regressor=regressor, objective=objective)


def _poses_to_lift(
    config: Config, data: SampleSource, train: np.ndarray, model: SmilModel
) -> LabelledPoses | None:
    frame = config.model.reference_frame
    chosen = means.evenly(train, MOST_SAMPLES)
    return LabelledPoses.of(means.labels_of(data, chosen, frame), model.skeleton)


def _check_metric(config: Config, mean_poses: Mapping[str | None, dict[str, float]]) -> None:
    """Refuse to select by a figure of no source, or relative to a mean pose that is not there.

    Args:
        config: The configuration.
        mean_poses: Figures of the mean pose on each source that is validated on, and under None
            on all samples.
    """
    metric = config.train.select_metric
    _, _, figure = metric.rpartition("/")
    source = source_of_metric(metric)
    if source not in mean_poses:
        names = [f"val/{name}/{figure}" for name in mean_poses if name is not None]
        raise ConfigError(
            f"train.select_metric: {metric}",
            expected=" or ".join([*names, f"val/{figure}"]),
            found=f"no source {source} with validation samples in data.sources",
        )
    if mean_poses[source] or figure not in (POSE_SCORE, *RELATIVE):
        return
    raise ConfigError(
        f"train.select_metric: {metric}",
        expected="training samples with rotations and cameras, validation samples with 3D joints",
        found="data without them",
        remedy="select by a 2D figure: --set train.select_metric=val/pck_auc_bbox "
        "--set train.select_mode=max",
    )


def _objective(
    config: Config, data: SampleSource, model: SmilModel, prior: ParameterPrior | None
) -> Objective:
    objective = Objective(model, config.loss, config.body, config.model, prior)
    objective.check(data.presence_counts())
    return objective


def _regressor(
    config: Config,
    model: SmilModel,
    statistics: TargetStatistics,
    backbone: Backbone | None = None,
    start: Checkpoint | None = None,
) -> Regressor:
    torch.manual_seed(config.train.seed)
    settings = config.model
    if start is not None:
        # The weights are in the checkpoint: nothing must be downloaded or found again.
        source = settings.backbone.model_copy(update={"weights": "none"})
        settings = settings.model_copy(update={"backbone": source})
    regressor = build_regressor(
        settings,
        n_joints=model.n_joints,
        n_betas=model.n_betas,
        statistics=statistics,
        basis=ScaleBasis(model.scaledirs, model.transdirs),
        kinematics=Kinematics(model, config.body),
        backbone=backbone,
    )
    if start is not None:
        _load(regressor, start)
    return regressor


def _load(regressor: Regressor, start: Checkpoint) -> None:
    try:
        regressor.load_state_dict(start.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"Checkpoint {start.path} does not fit the configuration: {error}",
            remedy="resume with the configuration of the run, or start a new run",
        ) from error


def _check_cameras(config: Config, data: SampleSource) -> None:
    """Refuse a network that is told the camera where some samples have none."""
    having = data.presence_counts().get("camera", 0)
    if config.model.camera == "known" and having < len(data.names):
        raise ConfigError(
            "model.camera: known",
            expected="a camera for every sample",
            found=f"{having} of {len(data.names)} samples with one",
            remedy="set model.camera: predicted, or give the field of view of the pictures to "
            "`smil-ray preprocess --fov-deg`",
        )


def target_statistics(data: SampleSource, train: np.ndarray, model: SmilModel) -> TargetStatistics:
    """Return the means of camera, pose and shape over training samples that have them.

    Where none has a camera, the extent is that at which the resting animal has the size of the
    2D labels. No image is read.
    """
    batch = means.labels_of(data, means.evenly(train, STATISTICS_SAMPLES))
    target = batch.target
    fov_deg, depth = target.fov[:, 0], target.trans[:, 2]
    log_extent = (depth * torch.tan(torch.deg2rad(fov_deg) / 2)).log()
    cameras = means.finite_rows(torch.stack([fov_deg.log(), log_extent], dim=1))
    seen = FALLBACK
    if len(cameras):
        log_fov, extent = cameras.mean(dim=0)
        seen = TargetStatistics(fov_deg=float(log_fov.exp()), log_extent=float(extent))
    elif (size := log_extent_of_keypoints(batch, model)) is not None:
        seen = replace(FALLBACK, log_extent=size)
    return replace(
        seen,
        root_rot=_vectors(means.mean_axis_angle(target.global_rot[:, None])),
        joint_rot=_vectors(means.mean_axis_angle(target.joint_rot)),
        betas=tuple(means.mean_or_zero(target.betas).tolist()),
    )


def _vectors(rows: Float[Tensor, "n 3"] | None) -> tuple[tuple[float, ...], ...] | None:
    return None if rows is None else tuple(tuple(row) for row in rows.tolist())
