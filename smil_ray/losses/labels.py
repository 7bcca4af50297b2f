"""Default loss weights cut down to what a data set can supervise."""

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
