"""experiments/adapt.py: every row of its table, on few samples, and a second start."""

import json
from pathlib import Path

import pytest

from tests.experiments.script import run_script

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
