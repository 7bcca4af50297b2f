"""Many runs in one process on one stream of cached features; each ends as it would alone.

A head on a frozen backbone is small: most of the time of a run goes into reading, starting up and
keeping books. Runs that see the same batches in the same order share all of that. Every run takes
its steps through the very code that it takes alone, one after the other on each batch, with its
own seeds, loss, optimiser, checkpoints and metrics, so that the results are equal to the bit.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from smil_ray.config import Config
from smil_ray.losses.curriculum import used_terms
from smil_ray.training.batches.stream import BatchReply, BatchRequest, BatchStream
from smil_ray.training.checkpoint.files import Checkpoint
from smil_ray.training.loop import SINGLE, reproducible
from smil_ray.training.parts import Parts
from smil_ray.training.reports import FitResult, Hooks
from smil_ray.training.run import Steps, TrainingRun
from smil_ray.training.step import NonFiniteStepError, non_finite_error
from smil_ray.training.world import World


@dataclass(frozen=True)
class Member:
    """One run of a pack.

    Attributes:
        parts: Its network and loss; data and features are those of the whole pack.
        config: Its resolved configuration.
        folder: Its run folder.
        hooks: What to call on its way.
        resume: Where it goes on; None starts anew.
    """

    parts: Parts
    config: Config
    folder: Path
    hooks: Hooks
    resume: Checkpoint | None = None


@dataclass(frozen=True)
class MemberEnd:
    """How a member ended; its share of the time of the pack, in seconds."""

    result: FitResult | None
    error: Exception | None
    seconds: float


def fit_packed(
    members: Sequence[Member],
    ended: Callable[[int, MemberEnd], None],
    *,
    tolerated: tuple[type[Exception], ...] = (),
    world: World = SINGLE,
) -> None:
    """Train every member to its end; a member that fails leaves the others alone.

    Args:
        members: Runs with the same `packs.stream_key` and the same cached features.
        ended: Called with a member's number when it ends.
        tolerated: Errors that end only the member that raises them.
        world: The device; packs have one process.
    """
    if not members:
        return
    with reproducible(members[0].config.train.deterministic, world.device):
        _Pack(members, ended, (*tolerated, NonFiniteStepError), world).train()


class _Pack:
    """The members under way, what each requests next, and the time each has cost."""

    def __init__(
        self,
        members: Sequence[Member],
        ended: Callable[[int, MemberEnd], None],
        tolerated: tuple[type[Exception], ...],
        world: World,
    ) -> None:
        self._members = members
        self._ended = ended
        self._tolerated = tolerated
        self._world = world
        self._stream = BatchStream(members[0].parts, _stream_config(members), world)
        self._steps: dict[int, Steps] = {}
        self._requests: dict[int, BatchRequest] = {}
        self._seconds = dict.fromkeys(range(len(members)), 0.0)

    def train(self) -> None:
        for number in range(len(self._members)):
            self._advance(number, None)
        while self._requests:
            # The hindmost first: those that were resumed earlier catch up and then go along.
            request = min(self._requests.values())
            waiting = [number for number, own in self._requests.items() if own == request]
            reply = self._stream.take(request)
            share = reply.waited / len(waiting)
            for number in waiting:
                self._seconds[number] += share
                self._advance(number, BatchReply(reply.batch, share))

    def _advance(self, number: int, reply: BatchReply | None) -> None:
        """Let a member go on to its next batch, or to its end."""
        began = time.perf_counter()
        result, error = None, None
        try:
            if reply is None:
                self._steps[number] = self._begin(number)
                self._requests[number] = next(self._steps[number])
            else:
                self._requests[number] = self._steps[number].send(reply)
        except StopIteration as end:
            result = end.value
        except self._tolerated as problem:
            error = problem
            if isinstance(problem, NonFiniteStepError):
                error = non_finite_error(problem, self._members[number].folder)
        self._seconds[number] += time.perf_counter() - began
        if result is not None or error is not None:
            self._requests.pop(number, None)
            self._steps.pop(number, None)
            self._ended(number, MemberEnd(result, error, self._seconds[number]))

    def _begin(self, number: int) -> Steps:
        member = self._members[number]
        torch.manual_seed(member.config.train.seed)
        run = TrainingRun(
            member.parts,
            member.config,
            member.folder,
            member.hooks,
            self._world,
            self._stream.counts,
        )
        if member.resume is not None:
            run.restore(member.resume)
        return run.steps()


def _stream_config(members: Sequence[Member]) -> Config:
    """Return the settings of the common stream: with masks if any member needs them."""

    def needs_masks(member: Member) -> bool:
        return "silhouette" in used_terms(member.config.loss)

    return next(filter(needs_masks, members), members[0]).config
