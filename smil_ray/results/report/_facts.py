"""The run report's table of what was trained on what, where and how."""

import shlex
from typing import Any

from smil_ray.config import Config
from smil_ray.results.evaluation.captions import digits
from smil_ray.results.ranking.leaderboard import format_duration
from smil_ray.tracking.cost import SECONDS, cost_of
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import read_metrics
from smil_ray.training.checkpoint.loading import LoadedRegressor


def fact_rows(run: RunDir, loaded: LoadedRegressor) -> list[tuple[str, str]]:
    """Return names and texts of what is known of a run; what is not known is left out.

    Args:
        run: The run folder.
        loaded: One of its checkpoints.
    """
    facts, config = run.facts(), run.load_config()
    seconds = cost_of(read_metrics(run.path)).get(SECONDS)
    rows = [
        ("network", facts.get("network", {}).get("summary", "")),
        ("first weights", _first_weights(config, facts)),
        ("checkpoint", _checkpoint(loaded)),
        ("data", "; ".join(config.data.paths)),
        ("content hash of the data", facts.get("data_hash", "")),
        ("samples", _samples(facts)),
        ("pictures", _pictures(facts, config)),
        ("body model", f"{config.body.model}, hash {facts.get('model_hash', 'not known')}"),
        ("training", _training(config)),
        ("sweep", f"{facts['sweep']}, {facts['trial']}" if "trial" in facts else ""),
        ("started", f"{facts['created']} by {shlex.join(facts['command'])}"),
        ("training time", "" if seconds is None else format_duration(seconds)),
        ("machine", _machine(facts)),
        ("software", _software(facts)),
        ("code", _code(facts)),
    ]
    return [(name, text) for name, text in rows if text]


def _first_weights(config: Config, facts: dict[str, Any]) -> str:
    parent, backbone = facts.get("init_from"), config.model.backbone
    trained = "frozen" if backbone.freeze else "trained"
    if parent is not None:
        return (
            f"the run {parent['run']} after {parent['step']} steps (weights "
            f"{parent['weights_sha256'][:16]}); backbone {trained}"
        )
    return f"backbone: {backbone.weights}, {trained}; head: random; no parent run"


def _checkpoint(loaded: LoadedRegressor) -> str:
    meta = loaded.meta
    text = f"{loaded.path.name}, after {meta['step']} steps"
    value = meta.get("select_value")
    return text if value is None else f"{text}; {meta['select_metric']} {digits(value)}"


def _samples(facts: dict[str, Any]) -> str:
    def counted(samples: dict[str, int]) -> str:
        return ", ".join(f"{count} {split}" for split, count in samples.items())

    found = [counted(facts.get("samples", {}))]
    for name, source in facts.get("sources", {}).items():
        found.append(f"{name} (weight {source['weight']:g}): {counted(source['samples'])}")
    return "; ".join(filter(None, found))


def _pictures(facts: dict[str, Any], config: Config) -> str:
    size, mode = facts.get("input_size"), facts.get("crop", {}).get("mode", "none")
    crop = "whole pictures" if mode == "none" else f"cut out by {mode}"
    changed = "augmented" if config.data.augment.enabled else "not augmented"
    return "" if size is None else f"{size} x {size} px, {crop}, {changed}"


def _training(config: Config) -> str:
    train, optim = config.train, config.optim
    return (
        f"{train.epochs} epochs, batches of {config.data.batch_size}, learning rate "
        f"{optim.learning_rate:g} ({optim.schedule}), seed {train.seed}, "
        f"{len(config.loss.stages)} curriculum stages"
    )


def _machine(facts: dict[str, Any]) -> str:
    hosts = dict.fromkeys(node["host"] for node in facts.get("nodes", []))
    found = [*hosts, facts.get("device"), facts.get("precision"), facts.get("platform")]
    return ", ".join(filter(None, found))


def _software(facts: dict[str, Any]) -> str:
    packages = [f"{name} {version}" for name, version in facts.get("packages", {}).items()]
    return ", ".join([f"Python {facts['python']}", *packages])


def _code(facts: dict[str, Any]) -> str:
    commit = facts.get("git_commit")
    if not commit:
        return ""
    return f"commit {commit}" + (" with uncommitted changes" if facts.get("git_dirty") else "")
