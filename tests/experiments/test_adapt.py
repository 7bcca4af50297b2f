"""experiments/adapt.py: each row of its table on few samples, a second start, interruption."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from smil_ray.orchestration.train import job
from tests.experiments.script import EXPERIMENTS, run_script

FEW = {
    "--samples": "24",
    "--frames": "16",
    "--held-out": "6",
    "--epochs": "1",
    "--adapt-epochs": "1",
    "--draws": "16",
}
ROWS = {"no adaptation", "adapted", "without prior", "without synthetic", "from scratch"}


@pytest.mark.slow
def test_every_recipe_has_its_figures_and_a_second_start_repeats_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--output", str(tmp_path), *(word for pair in FEW.items() for word in pair)]
    assert run_script("adapt", *arguments) == 0
    first = capsys.readouterr().out
    figures = json.loads((tmp_path / "adapt.json").read_text(encoding="utf-8"))
    assert set(figures) == ROWS
    for row in figures.values():
        assert {"kp2d_px_input", "pa_mpjpe_pct_bl"} <= set(row)
    assert first.count("as expected") == 2
    assert "2D error" in first
    assert "PA-MPJPE" in first
    lab_runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert run_script("adapt", *arguments) == 0
    assert capsys.readouterr().out.count("(trained earlier)") == len(ROWS)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == lab_runs
    assert json.loads((tmp_path / "adapt.json").read_text(encoding="utf-8")) == figures


def test_nothing_is_adapted_from_a_training_that_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("adapt", EXPERIMENTS / "adapt.py")
    assert spec is not None
    assert spec.loader is not None
    adapt = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "adapt", adapt)
    spec.loader.exec_module(adapt)
    stopped = SimpleNamespace(
        status="stopped", reason="asked to", run_dir=SimpleNamespace(path=tmp_path)
    )
    monkeypatch.setattr(job, "run_training", lambda *_, **__: stopped)
    monkeypatch.setattr(adapt, "_make_data", lambda *_: tmp_path / "data.h5")
    assert adapt.main(["--output", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "synthetic was stopped: asked to; give the same command again: it goes on" in told
