"""Several runs with frozen backbones trained in one process; see `training.packing.loop`.

Every run has its own folder, which it fills as if it were alone.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from smil_ray.config import Config
from smil_ray.core.device import find_device
from smil_ray.data.features.build import BuildHooks
from smil_ray.errors import ConfigError, SmilRayError
from smil_ray.orchestration.train.build_notes import write_build_note
from smil_ray.orchestration.train.recorder import (
    Recorder,
    check_same_data,
    kept_in_store,
    record_start,
)
from smil_ray.orchestration.train.worker import OpenData, compute_threads, fix_workspaces
from smil_ray.storage.mirror import push
from smil_ray.tracking.run_dir import CLUSTER_LOCK_S, RunDir
from smil_ray.training.assemble import assemble, assemble_beside, open_data
from smil_ray.training.batches.features import with_cached_features
from smil_ray.training.checkpoint.folder import load_newest
from smil_ray.training.checkpoint.inputs import open_body_model
from smil_ray.training.loop import fit
from smil_ray.training.packing.compatibility import stream_key
from smil_ray.training.packing.loop import Member, MemberEnd, fit_packed
from smil_ray.training.parts import Parts
from smil_ray.training.reports import EpochReport, Hooks
from smil_ray.training.world import World

SENT_AFTER_S = 10.0
"""Seconds between two sendings of a run to an object store."""


@dataclass(frozen=True)
class PackedRun:
    """One run of a pack.

    Attributes:
        folder: Its run folder; it goes on from the newest checkpoint in it.
        config: Its configuration, data path absolute.
        report: Called after each of its epochs.
    """

    folder: Path
    config: Config
    report: Callable[[EpochReport], None]


def train_pack(
    runs: Sequence[PackedRun],
    ended: Callable[[int, MemberEnd], None],
    *,
    tolerated: tuple[type[Exception], ...] = (SmilRayError,),
    open_data: OpenData = open_data,
) -> None:
    """Train runs that differ in head, loss, optimiser or number of epochs.

    Where features are not cached (`auto` finds that it does not pay off or that the disk is too
    small), they are trained one after the other.

    Args:
        runs: Runs with the same `packs.stream_key`.
        ended: Called with a run's number when it ends.
        tolerated: Errors that end only the run that raises them.
        open_data: Opens the data set.

    Raises:
        ConfigError: Two runs do not fit into one pack.
    """
    config = runs[0].config
    if len({stream_key(run.config) for run in runs}) > 1:
        raise ConfigError(
            "pack",
            expected="runs that differ in head, loss, optimiser or epochs only",
            remedy="train them apart",
        )
    world = World(device=find_device("cpu" if config.run.use_gpu == "no" else "auto"))
    fix_workspaces(config, world)
    with contextlib.ExitStack() as held:
        held.enter_context(compute_threads(config, world))
        for run in runs:
            held.enter_context(RunDir.open(run.folder).lock(CLUSTER_LOCK_S))
        began = time.perf_counter()
        pack = _Setup(runs, ended, tolerated, open_data, world)
        members = pack.members()
        pack.seconds = (time.perf_counter() - began) / len(runs)
        if pack.is_cached:
            fit_packed(
                list(members.values()),
                pack.on_member_end(members),
                tolerated=tolerated,
                world=world,
            )
        else:
            pack.one_by_one(members)


class _Setup:
    """Makes members of runs; one that cannot begin ends there and then."""

    def __init__(
        self,
        runs: Sequence[PackedRun],
        ended: Callable[[int, MemberEnd], None],
        tolerated: tuple[type[Exception], ...],
        open_data: OpenData,
        world: World,
    ) -> None:
        self._runs = runs
        self._ended = ended
        self._tolerated = tolerated
        self._open_data = open_data
        self._world = world
        self._first: Parts | None = None
        self._recorded: RunDir | None = None
        self.seconds = 0.0

    @property
    def is_cached(self) -> bool:
        """Whether the members have cached features."""
        return self._first is not None and self._first.features is not None

    def members(self) -> dict[int, Member]:
        """Return the members by the number of their run."""
        found: dict[int, Member] = {}
        for number, run in enumerate(self._runs):
            try:
                found[number] = self._member(run)
            except self._tolerated as error:
                self._end(number, MemberEnd(None, error, 0.0))
        return found

    def on_member_end(self, members: dict[int, Member]) -> Callable[[int, MemberEnd], None]:
        """Return what translates a member's place in the pack to the number of its run."""
        numbers = list(members)
        return lambda place, end: self._end(numbers[place], end)

    def one_by_one(self, members: dict[int, Member]) -> None:
        """Train each member alone."""
        for number, member in members.items():
            began = time.perf_counter()
            result, error = None, None
            try:
                result = fit(
                    member.parts,
                    member.config,
                    folder=member.folder,
                    hooks=member.hooks,
                    resume=member.resume,
                    world=self._world,
                )
            except self._tolerated as problem:
                error = problem
            self._end(number, MemberEnd(result, error, time.perf_counter() - began))

    def _member(self, packed: PackedRun) -> Member:
        run, config = RunDir.open(packed.folder), packed.config
        resume = load_newest(run.checkpoints)
        if self._first is None:
            model = open_body_model(config, packed.folder)
            data = self._open_data(config, model)
            parts = assemble(config, data, model, self._world.device, resume=resume)
            hooks = BuildHooks(announce=partial(write_build_note, run))
            parts = with_cached_features(parts, config, self._world.device, hooks=hooks)
            self._first = parts
        else:
            parts = assemble_beside(self._first, config, resume)
        check_same_data(resume, parts)
        record_start(run, parts, resume, self._recorded)
        self._recorded = self._recorded or run
        run.update_facts({"packed_with": len(self._runs) - 1})
        # Drawing curves would take longer than training a head on them.
        recorder = Recorder(run, config, parts, None, plots=False)
        hooks = recorder.hooks(Hooks(report=packed.report))
        # What a pack's process loses is trained again in seconds.
        hooks = kept_in_store(run.path, hooks, pause_s=SENT_AFTER_S)
        return Member(parts, config, packed.folder, hooks, resume)

    def _end(self, number: int, end: MemberEnd) -> None:
        result = end.result
        if result is not None:
            run = RunDir.open(self._runs[number].folder)
            run.set_status(result.status, result.reason, epoch=result.epoch, step=result.step)
        push(self._runs[number].folder)
        self._ended(number, MemberEnd(result, end.error, self.seconds + end.seconds))
