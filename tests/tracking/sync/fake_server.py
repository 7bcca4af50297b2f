"""A tracking server that is none."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from smil_ray.tracking.models.files import ModelFiles
from smil_ray.tracking.sync.metrics import MetricPoint, RejectedError, TrackingError
from smil_ray.tracking.sync.tags import DataInput


class FakeServer:
    """Keeps what it is sent; `away` refuses, `lose_answer` accepts but answers with an error."""

    uri = "fake://one"

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.away = False
        self.rejects = False
        self.lose_answer = False
        self.takes_no_models = False

    def _check(self) -> None:
        if self.away:
            raise TrackingError("the server is away")
        if self.rejects:
            raise RejectedError("the server refuses")

    def ui_command(self) -> str:
        return "open fake"

    def find_or_create_run(
        self,
        key: str,
        name: str,
        *,
        parent: str | None = None,
        tags: Mapping[str, Any] = {},
        started_ms: int | None = None,
    ) -> str:
        self._check()
        new = {"name": name, "parent": parent, "points": [], "files": Counter()}
        new |= {"params": {}, "tags": dict(tags)}
        self.runs.setdefault(f"id-{key}", {**new, "status": "RUNNING"})
        return f"id-{key}"

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        self._check()
        self.runs[run_id]["params"].update(params)

    def log_metrics(self, run_id: str, points: Iterable[MetricPoint]) -> None:
        self._check()
        self.runs[run_id]["points"] += [(point.key, point.step) for point in points]
        if self.lose_answer:
            self.lose_answer = False
            raise TrackingError("the answer was lost")

    def last_steps(self, run_id: str) -> dict[str, int]:
        self._check()
        steps: dict[str, int] = {}
        for key, step in self.runs[run_id]["points"]:
            steps[key] = max(step, steps.get(key, -1))
        return steps

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        self._check()
        self.runs[run_id]["files"][f"{folder or '.'}/{path.name}"] += 1

    def log_data(self, run_id: str, data: DataInput) -> None:
        self._check()
        self.runs[run_id].setdefault("data", []).append(data)

    def log_model(self, run_id: str, model: ModelFiles) -> str:
        self._check()
        if self.takes_no_models:
            raise TrackingError("no such endpoint")
        self.runs[run_id].setdefault("models", []).append(model)
        return f"m-{len(self.runs[run_id]['models'])}"

    def set_tags(self, run_id: str, tags: Mapping[str, Any]) -> None:
        self._check()
        self.runs[run_id]["tags"].update(tags)

    def finish(
        self,
        run_id: str,
        status: str,
        reason: str | None = None,
        *,
        ended_ms: int | None = None,
    ) -> None:
        self._check()
        self.runs[run_id].update(status=status, reason=reason)


def write_network(run: Path, kind: str) -> None:
    """Write what a run of this kind leaves of its network; weights are empty files."""
    best = run / "checkpoints" / "epoch_0002"
    best.mkdir(parents=True)
    (run / "inputs").mkdir()
    (run / "inputs" / "body_model-0.npz").touch()
    for name in ("model.safetensors", "state.pt"):
        (best / name).touch()
    (best / "meta.json").write_text('{"step": 8, "epoch": 2}')
    index = {"best": "epoch_0002", "last": "epoch_0003"}
    (run / "checkpoints" / "index.json").write_text(json.dumps(index))
    (run / "run.json").write_text(json.dumps({"kind": kind, "name": "r"}))
