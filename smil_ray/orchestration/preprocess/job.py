"""replicAnt folders and files of labels -> one HDF5 file, in parallel on Ray Data.

Each shard of consecutive entries becomes one file, written by the task itself under a temporary
name, synced and renamed, its manifest last. The driver copies the shards into the output, in the
order of the sorted names. Killed at any moment, `resume` makes only what is missing; the content
hash of the result depends on the input and the settings, not on workers or interruptions.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
import ray
import ray.data

from smil_ray.body.smil_model import SmilModel
from smil_ray.config.addresses import absolute_place
from smil_ray.core.batch import LABELS
from smil_ray.data.entries import check_joints, entry_from_record, entry_record
from smil_ray.data.filters import REASONS
from smil_ray.data.hdf5.files import check_replaceable
from smil_ray.data.hdf5.schema import StoreInfo, count
from smil_ray.data.hdf5.store import Hdf5Source
from smil_ray.errors import DataError, SmilRayError
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.preprocess._parts import PartsFolder
from smil_ray.orchestration.preprocess._progress import Progress
from smil_ray.orchestration.preprocess.plan import (
    PreprocessOptions,
    Shard,
    make_plan,
)
from smil_ray.orchestration.preprocess.shard import ShardManifest, make_shard_at
from smil_ray.storage.node_cache import local_place
from smil_ray.storage.store import NothingThereError

_PLAN = "plan"


@dataclass(frozen=True)
class PreprocessReport:
    """What came out.

    Attributes:
        output: The file; of one in an object store this node's copy.
        kept: Samples in the file.
        dropped: Reason -> number of samples left out; reasons as in `data.filters.REASONS`.
        notes: Note -> number of samples it holds for, for instance labels that do not fit.
        labels: Label of `core.batch.LABELS` -> number of samples that have it.
        resumed: Entries whose shards an earlier run had finished.
    """

    output: Path
    content_hash: str
    kept: int
    dropped: dict[str, int]
    notes: dict[str, int]
    labels: dict[str, int]
    entries: int
    resumed: int
    seconds: float


@dataclass
class _Counts:
    """Counts while shards come in."""

    total: int
    manifests: dict[int, ShardManifest] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(manifest.entries for manifest in self.manifests.values())

    @property
    def kept(self) -> int:
        return sum(manifest.size.samples for manifest in self.manifests.values())

    @property
    def reasons(self) -> dict[str, int]:
        return count(d.reason for m in self.manifests.values() for d in m.drops)

    @property
    def errors(self) -> int:
        return sum(manifest.errors for manifest in self.manifests.values())


def preprocess(
    inputs: Sequence[Path],
    output: Path | str,
    options: PreprocessOptions,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> PreprocessReport:
    """Turn replicAnt folders and labels into one HDF5 file and return what was kept and left out.

    Args:
        inputs: Folders and files; with several, sample names start with the input's name.
        output: File to write; replicAnt folders and the output may be in an object store.
        options: Settings.
        progress: Called after every shard.

    Raises:
        ConfigError: An ignored joint is unknown, or the joint map does not fit.
        DataError: An input or the output is unusable, too many entries cannot be read, nothing
            is left after filtering, or `resume` meets parts made with other settings.
        StorageError: The object store does not answer.
    """
    start = perf_counter()
    output = absolute_place(output)
    check_replaceable(output)
    if options.model != "builtin":  # Workers have another working directory.
        options = options.model_copy(update={"model": absolute_place(options.model)})
    model = SmilModel.open(options.model)
    model.skeleton.mask(options.ignored_joints)
    for path in inputs:
        check_joints(Path(path), model.skeleton, options.labels)
    plan = make_plan(inputs, options)
    shards, total = plan.shards, plan.n_entries
    settings = options.content_settings(model)
    key = plan.key(settings)
    parts = PartsFolder(output)
    if options.resume and not parts.exists() and _is_result_of(output, key):
        return _report(local_place(output), total, total, perf_counter() - start)
    parts.prepare(settings, resume=options.resume)
    tally = _Counts(total, parts.finished(shards))
    resumed = tally.done
    missing = [shard for shard in shards if shard.index not in tally.manifests]
    _check_errors(tally, options)
    for manifest in _run(missing, parts.home or str(parts.path), options):
        tally.manifests[manifest.index] = manifest
        _check_errors(tally, options)
        if progress is not None:
            dropped = sum(tally.reasons.values())
            seconds = perf_counter() - start
            progress(Progress(tally.done, total, tally.kept, dropped, resumed, seconds))
    _check_something_is_left(tally, inputs)
    made_with = {**settings, _PLAN: key, "model": options.model}
    info = StoreInfo.of(model, options.size, made_with)
    parts.merge(plan, tally.manifests, info)
    parts.remove()
    return _report(parts.output, total, resumed, perf_counter() - start)


def _run(shards: list[Shard], folder: str, options: PreprocessOptions) -> Iterator[ShardManifest]:
    """Make shards on Ray Data; give their manifests as they are finished."""
    if not shards:
        return
    # Ray Data gives a task of one CPU to each CPU of the cluster, those included that come later.
    with start_ray(options.address, num_cpus=options.num_workers):
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = [{"shard": _packed(shard)} for shard in shards]
        make = partial(_make_shard_of_row, folder=folder, options=options.model_dump(mode="json"))
        made = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            make, compute=ray.data.TaskPoolStrategy(size=options.num_workers), num_cpus=1
        )
        for row in made.iter_rows():
            if row["error"]:
                raise DataError(row["error"])
            manifest = ShardManifest.parse(row["manifest"])
            if manifest is None:
                raise DataError(
                    "preprocess: a worker told of no shard",
                    found=row["manifest"][:100],
                    remedy="let all nodes have the same version of smil_ray",
                )
            yield manifest


def _make_shard_of_row(
    row: dict[str, Any], *, folder: str, options: dict[str, Any]
) -> dict[str, str]:
    """Make one shard in a Ray task; a failure comes back as a sentence, not as a traceback."""
    values = orjson.loads(row["shard"])
    entries = tuple(entry_from_record(record) for record in values["entries"])
    shard = Shard(values["index"], values["key"], entries)
    try:
        manifest = make_shard_at(shard, folder, PreprocessOptions(**options))
    except SmilRayError as error:
        return {"manifest": "", "error": str(error)}
    return {"manifest": manifest.as_json(), "error": ""}


def _packed(shard: Shard) -> bytes:
    records = [entry_record(entry) for entry in shard.entries]
    return orjson.dumps({"index": shard.index, "key": shard.key, "entries": records})


def _check_errors(tally: _Counts, options: PreprocessOptions) -> None:
    if tally.errors > options.max_error_fraction * tally.total:
        raise DataError(
            f"preprocess: {tally.errors} of {tally.total} entries cannot be read",
            expected=f"at most {options.max_error_fraction:.0%}",
            found=_sentence(tally.reasons),
            remedy="look with `smil-ray doctor`, or allow more with --max-error-fraction",
        )


def _check_something_is_left(tally: _Counts, inputs: Sequence[Path]) -> None:
    if tally.kept == 0:
        raise DataError(
            f"preprocess: no sample of {', '.join(map(str, inputs))} is left",
            found=_sentence(tally.reasons),
            remedy="lower --silhouette-threshold or --min-visible-keypoints",
        )


def _sentence(reasons: dict[str, int]) -> str:
    return ", ".join(f"{n} x {REASONS.get(slug, slug)}" for slug, n in reasons.items())


def _is_result_of(output: str, key: str) -> bool:
    """Return whether the output is complete already, so that there is nothing to resume."""
    try:
        path = local_place(output)
        return path.is_file() and Hdf5Source(path).info.settings.get(_PLAN) == key
    except (DataError, NothingThereError):
        return False


def _report(output: Path, entries: int, resumed: int, seconds: float) -> PreprocessReport:
    source = Hdf5Source(output)
    have = source.presence.sum(axis=0)
    return PreprocessReport(
        output=output,
        content_hash=source.info.content_hash,
        kept=len(source),
        dropped=source.info.drop_counts,
        notes=source.info.notes,
        labels={label: int(n) for label, n in zip(LABELS, have, strict=True)},
        entries=entries,
        resumed=resumed,
        seconds=seconds,
    )
