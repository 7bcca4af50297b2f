"""What a training run writes into its folder: facts, metrics, status, pictures."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from smil_ray.config import Config
from smil_ray.errors import CheckpointError
from smil_ray.models.describe import NetworkSize, describe
from smil_ray.models.latency import measure_latency
from smil_ray.orchestration.train._pictures import (
    write_alignment_plot,
    write_overlays,
    write_plots,
)
from smil_ray.storage.mirror import address_of, push
from smil_ray.tracking.run_dir import RunDir
from smil_ray.training.checkpoint.files import Checkpoint
from smil_ray.training.checkpoint.inputs import (
    keep_backbone,
    keep_body_model,
    keep_parent,
    keep_prior,
)
from smil_ray.training.optim import chosen_precision
from smil_ray.training.parts import Parts
from smil_ray.training.reports import EpochReport, Hooks, Predictions, Progress

STATUS_EVERY_S = 2.0
SENT_EVERY_S = 30.0
"""Seconds between two sendings of a run to an object store while an epoch lasts."""


class Recorder:
    """Writes what the loop says into the run folder.

    Args:
        run: The run folder.
        config: The run's configuration.
        parts: The run's parts.
        display: Shows a progress line.
        plots: Draw the curves of the run as well, if its configuration wants them.
    """

    def __init__(
        self,
        run: RunDir,
        config: Config,
        parts: Parts,
        display: Callable[[str], None] | None,
        *,
        plots: bool = True,
    ) -> None:
        self._run = run
        self._config = config
        self._parts = parts
        self._display = display
        self._plots = plots and config.train.plots
        self._written = 0.0

    def hooks(self, base: Hooks) -> Hooks:
        """Return the caller's hooks with those that write."""
        return Hooks(
            report=base.report,
            log=self._log,
            flush=self._run.sync_metrics,
            progress=self._progress,
            draw=self._draw,
            stop=base.stop,
        )

    def _log(self, step: int, epoch: float, metrics: dict[str, float]) -> None:
        self._run.append_metrics(step, metrics, epoch=epoch, sync=False)

    def _progress(self, progress: Progress) -> None:
        if self._display is not None:
            self._display(progress.line())
        if time.monotonic() - self._written >= STATUS_EVERY_S:
            self._written = time.monotonic()
            values = {k: v for k, v in vars(progress).items() if v is not None}
            self._run.set_status("running", line=progress.line(), **values)

    def _draw(self, predictions: Predictions | None) -> None:
        run, model = self._run, self._parts.model
        if predictions is not None:
            write_overlays(predictions, model.skeleton, run.overlays)
        if self._plots:
            write_plots(run, self._config)
            if predictions is not None:
                write_alignment_plot(predictions, model, self._config.body, run.plots)


def kept_in_store(folder: Path, base: Hooks, *, pause_s: float = 0.0) -> Hooks:
    """Return hooks that also send a run's folder to its place in an object store, if it has one.

    That is done before an epoch is reported, so that what others know of is not lost with this
    machine, and every `SENT_EVERY_S` seconds.

    Args:
        folder: The run folder.
        base: The run's hooks.
        pause_s: Seconds between two sendings at least, for runs that lose nothing by it.
    """
    if address_of(folder) is None:
        return base
    sent = time.monotonic()

    def send(after_s: float) -> None:
        nonlocal sent
        if time.monotonic() - sent >= after_s:
            push(folder)
            sent = time.monotonic()

    def report(state: EpochReport) -> None:
        send(pause_s)
        base.report(state)

    def progress(state: Progress) -> None:
        base.progress(state)
        send(SENT_EVERY_S)

    return replace(base, report=report, progress=progress)


def record_start(
    run: RunDir, parts: Parts, resume: Checkpoint | None, beside: RunDir | None = None
) -> str:
    """Write what is known before the first step; drop metrics that are going to be repeated.

    Args:
        run: The run folder.
        parts: The run's parts.
        resume: Where it goes on.
        beside: A run with the same backbone on the same device, whose figures of the backbone
            are taken over: for a large one they take seconds.

    Returns:
        What a person wants to know before the first step: the size of the network, along which
        joints the body length runs, and which joints the loss ignores; a line each.
    """
    known = {} if beside is None else beside.facts()["network"]
    run.truncate_metrics(0 if resume is None else resume.meta["step"])
    run.write_json("splits.json", parts.splits.names(parts.data.names))
    keep_body_model(run.path, parts.model)
    if parts.prior is not None:
        keep_prior(run.path, parts.prior)
    if parts.parent is not None:
        keep_parent(run.path, parts.parent.checkpoint)
    backbone = parts.regressor.backbone
    pretrained = run.load_config().model.backbone.weights != "none"
    if resume is None and pretrained and not backbone.always_frozen:
        keep_backbone(run.path, backbone)
    size = describe(parts.regressor, known.get("backbone_gflops"))
    latency = measure_latency(
        parts.regressor, parts.model.device, known.get("backbone_latency_ms")
    )
    opening = _opening(size, parts)
    run.update_facts(
        {
            "opening": opening,
            "data_hash": parts.data.content_hash,
            "model_hash": parts.model.content_hash,
            "input_size": parts.data.input_size,
            "crop": parts.data.crop.model_dump(mode="json"),
            "samples": {name: len(kept) for name, kept in vars(parts.splits).items()},
            "network": {
                "summary": str(size),
                **size.as_dict(),
                "latency_ms": latency.total_ms,
                "backbone_latency_ms": latency.backbone_ms,
            },
            "device": str(parts.model.device),
            "precision": chosen_precision(run.load_config().optim.precision, parts.model.device),
            "features": parts.feature_note,
            "mean_pose": parts.mean_pose,
            **({"sources": _source_facts(parts)} if parts.sources else {}),
            **({} if parts.parent is None else {"init_from": parts.parent.as_facts()}),
        }
    )
    run.set_status("running")
    return opening


def _source_facts(parts: Parts) -> dict[str, dict[str, Any]]:
    return {
        source.name: {
            "weight": source.weight,
            "samples": {name: len(kept) for name, kept in vars(source.splits).items()},
            "mean_pose": source.mean_pose,
        }
        for source in parts.sources
    }


def _opening(size: NetworkSize, parts: Parts) -> str:
    chain = parts.model.skeleton.describe_chain()
    objective = parts.objective
    lines = [str(size), f"100 % of body length: {chain}", objective.ignored_joints()]
    return "\n".join(line for line in (*lines, objective.without_weight()) if line)


def check_same_data(resume: Checkpoint | None, parts: Parts) -> None:
    """Refuse to go on with other data or another body model.

    Raises:
        CheckpointError: They differ from the checkpoint's.
    """
    if resume is None:
        return
    for name, found in (
        ("data_hash", parts.data.content_hash),
        ("model_hash", parts.model.content_hash),
    ):
        expected = resume.meta[name]
        same = parts.model.matches(expected) if name == "model_hash" else found == expected
        if not same:
            raise CheckpointError(
                f"Run {resume.path.parents[1]} cannot go on: its {name} differs",
                expected=expected,
                found=found,
                remedy="give the same data and body model, or start a new run",
            )
