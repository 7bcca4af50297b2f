"""Default loss weights and selection metric cut down to what a data set has labels for."""

from collections.abc import Mapping

from smil_ray.config import Config
from smil_ray.losses.terms import TERM_LABELS


def weights_for_labels(
    config: Config, presence_counts: Mapping[str, int]
) -> tuple[Config, tuple[str, ...]]:
    """Return `config` without default terms whose label the data lacks, and those terms.

    Weights that were written down anywhere are left alone: asking for a term that the data cannot
    supervise is an error that `Objective.check` reports.

    Args:
        config: The configuration as it was loaded.
        presence_counts: Label group -> number of samples that have it.
    """
    if "loss" in config.model_fields_set and "base_weights" in config.loss.model_fields_set:
        return config, ()
    absent = tuple(
        term
        for term in config.loss.base_weights
        if TERM_LABELS[term] is not None and not presence_counts.get(TERM_LABELS[term] or "")
    )
    kept = {term: w for term, w in config.loss.base_weights.items() if term not in absent}
    loss = config.loss.model_copy(update={"base_weights": kept})
    return config.model_copy(update={"loss": loss}), absent


POSE_LABELS = ("global_rot", "joint_rot", "trans", "camera", "keypoints_3d")
"""What `val/pose_score` needs: a mean pose, and 3D joints to measure it and the network by."""
METRIC_2D = "val/pck_auc_bbox"


def metric_for_labels(config: Config, presence_counts: Mapping[str, int]) -> tuple[Config, str]:
    """Return `config` that selects by 2D joints where the data have no poses, and the reason.

    A metric that was written down anywhere is left alone. The reason is empty where nothing
    changes.

    Args:
        config: The configuration as it was loaded.
        presence_counts: Label group -> number of samples that have it.
    """
    given = "train" in config.model_fields_set and {"select_metric", "select_mode"} & (
        config.train.model_fields_set
    )
    absent = [label for label in POSE_LABELS if not presence_counts.get(label)]
    if given or not absent:
        return config, ""
    changes = {"select_metric": METRIC_2D, "select_mode": "max"}
    train = config.train.model_copy(update=changes)
    reason = f"no labels of {', '.join(absent)} in the data: checkpoints are chosen by {METRIC_2D}"
    return config.model_copy(update={"train": train}), reason
