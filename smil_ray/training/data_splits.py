"""Which samples of a run's data, or of each of its sources, are trained on and held out."""

from dataclasses import replace

import numpy as np

from smil_ray.config import Config, DataConfig
from smil_ray.data.mixed import MixedData, SourceData
from smil_ray.data.splits import Splits, share_of_groups, split_indices
from smil_ray.errors import ConfigError
from smil_ray.training.parts import RunSplits, SampleSource, SourceSplits


def split_data(config: Config, data: SampleSource) -> RunSplits:
    """Return the splits of a run; every source is split as if it were the only data set.

    Raises:
        ConfigError: Nothing is validated on.
        DataError: A data set has too few groups.
    """
    settings = config.data
    if isinstance(data, MixedData):
        found = _mixed(settings, data)
    else:
        whole = _whole(settings, data)
        found = RunSplits(whole, _limited(whole, settings, data))
    if not len(found.used.val):
        raise ConfigError(
            "data.val_fraction",
            expected="some validation samples, by which the best checkpoint is chosen",
            found=f"none of {len(data.names)}",
            remedy="raise it",
        )
    return found


def _mixed(settings: DataConfig, data: MixedData) -> RunSplits:
    each = settings.each()
    weights = {source.name: source.weight for source in settings.sources}
    wholes, sources = [], []
    for segment in data.segments:
        own, source = each[segment.name], data.sources[segment.name]
        whole = _whole(own, source)
        wholes.append(_moved(whole, segment.first))
        used = _moved(_limited(whole, own, source), segment.first)
        sources.append(SourceSplits(segment.name, weights[segment.name], used))
    return RunSplits(_joined(wholes), _joined([s.splits for s in sources]), tuple(sources))


def _whole(settings: DataConfig, data: SourceData) -> Splits:
    return split_indices(
        data.names,
        data.groups,
        settings.val_fraction,
        settings.test_fraction,
        settings.split_seed,
    )


def _limited(splits: Splits, settings: DataConfig, data: SourceData) -> Splits:
    """Return the splits with as much training data as is wanted; held-out samples stay."""
    train = splits.train
    if settings.train_fraction < 1:
        train = share_of_groups(train, data.groups, settings.train_fraction, settings.split_seed)
    return replace(splits, train=train[: settings.limit])


def _moved(splits: Splits, first: int) -> Splits:
    return Splits(**{name: indices + first for name, indices in vars(splits).items()})


def _joined(parts: list[Splits]) -> Splits:
    names = ("train", "val", "test")
    return Splits(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})
