"""The report of a sweep: complete, self-contained, honest about failures."""

import html
import json
import re
import shlex
import statistics
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from smil_ray.errors import DataError
from smil_ray.results.ranking.leaderboard import SAMPLE_ERRORS_FILE, Leaderboard, RankedConfig
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.results.report._axes import Axis
from smil_ray.results.report._plots import Curve, pareto_front
from smil_ray.results.report._rows import seeds_remark
from smil_ray.results.report.page import write_report

METRIC = "val/pa_mpjpe_pct_bl"


def add_trial(folder: Path, index: int, metric: float, **settings: Any) -> TrialRecord:
    name = f"trial_{index:03d}"
    run = folder / "trials" / name
    run.mkdir(parents=True)
    rows = [
        {"step": e, "epoch": float(e), "time": 1.0, "metrics": {METRIC: metric + 3 - e}}
        for e in (1, 2, 3)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = {"model.head.type": ["mlp", "<b>"][index % 2], "optim.learning_rate": 10.0**-index}
    values = {"status": "finished", "seconds": 10.0 * (index + 1), "epochs": 3.0, "labels": labels}
    return TrialRecord(
        name=name, index=index, metric=metric, folder=f"trials/{name}", **{**values, **settings}
    )


def write_errors(folder: Path, index: int, shift: float) -> None:
    generator = np.random.default_rng(7)
    base = generator.normal(5.0, 2.0, 60)
    noise = np.random.default_rng(index).normal(0.0, 0.3, 60)
    errors = {f"s{i}": float(base[i] + noise[i] + shift) for i in range(60)}
    path = folder / "trials" / f"trial_{index:03d}" / SAMPLE_ERRORS_FILE
    path.write_text(json.dumps({"metric": METRIC, "errors": errors}))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    trials = [add_trial(tmp_path, index, 5.0 + index) for index in range(3)]
    failed = add_trial(tmp_path, 3, 0.1, status="failed", reason="CUDA out of <memory>")
    for index, shift in enumerate((0.0, 0.01, 2.0)):
        write_errors(tmp_path, index, shift)
    plots = tmp_path / "final" / "plots"
    plots.mkdir(parents=True)
    (tmp_path / "final" / "checkpoints").mkdir()
    cv2.imwrite(str(plots / "best.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "final" / "config.yaml").write_text("train: {epochs: 9}\n")
    figures = {
        "network": {"pa_mpjpe_pct_bl": 5.0, "pck@0.10_bbox": 0.8},
        "mean pose": {"pa_mpjpe_pct_bl": 7.0, "pck@0.10_bbox": 0.3},
    }
    metrics = {"split": "test", "n_samples": 9, "figures": figures, "picture": "plots/best.png"}
    metrics["body_chain"] = "b_a_5 - b_t - b_h"
    final = {"folder": "final", "trial": "trial_000", "metric": 4.9, "metrics": metrics}
    Leaderboard("demo", METRIC, "min", (*trials, failed), final).save(tmp_path)
    return tmp_path


def test_report_needs_no_other_file_and_no_network(sweep: Path) -> None:
    page = write_report(sweep).read_text()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    assert all(link.startswith("data:image/") for link in links)
    assert "<script" not in page
    assert "http" not in page


def test_report_is_well_formed_and_escapes_what_trials_say(sweep: Path) -> None:
    page = write_report(sweep).read_text()

    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in ("meta", "img", "br"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert "CUDA out of &lt;memory&gt;" in page
    assert "<b>," not in page


def test_report_says_which_ones_cannot_be_told_apart(sweep: Path) -> None:
    page = write_report(sweep).read_text()
    assert page.count("not distinguishable") == 1
    assert "On the validation samples trial_001 cannot be told apart from it." in page


def test_report_says_which_one_is_better_on_single_samples(sweep: Path) -> None:
    write_errors(sweep, 2, -2.0)
    page = write_report(sweep).read_text()
    assert "On single validation samples trial_002 is better than it." in page
    assert "better than each other one" not in page


def test_report_shows_what_networks_read_beside_the_ranking(sweep: Path) -> None:
    board = Leaderboard.load(sweep)
    trials = tuple(
        replace(
            record,
            metrics={
                "val/rot_deg_joint": 30.0 + record.index,
                "val/rot_joint_of_mean_pose": 0.98 + 0.01 * record.index,
            },
        )
        for record in board.trials
    )
    page = write_report(sweep, board=replace(board, trials=trials)).read_text()
    assert '<th class="number">joint rot. [deg]</th>' in page
    assert '<td class="number">31.0</td>' in page
    assert '<td class="number worse">32.0</td>' in page
    assert "root rot." not in page


def test_lead_smaller_than_the_spread_of_seeds_is_warned_of() -> None:
    def config(index: int, *metrics: float) -> RankedConfig:
        records = tuple(
            TrialRecord(name=f"t{index}", index=index, repeat=repeat, metric=metric)
            for repeat, metric in enumerate(metrics)
        )
        spread = statistics.stdev(metrics) if len(metrics) > 1 else None
        return RankedConfig(index, statistics.fmean(metrics), spread, records)

    near = seeds_remark([config(0, 0.8, 1.0), config(1, 0.9, 1.0)])
    assert "Its lead of 0.050 over the second is smaller" in near
    assert seeds_remark([config(0, 0.8, 0.81), config(1, 0.9, 1.0)]) == ""
    assert seeds_remark([config(0, 0.8), config(1, 0.81)]) == ""
    assert seeds_remark([config(0, 0.8, 1.0)]) == ""


def test_report_shows_winner_baselines_and_commands(sweep: Path) -> None:
    page = write_report(sweep).read_text()
    assert "9 held-out samples (test split)" in page
    assert f"smil-ray predict {sweep.resolve()}/final" in page
    assert f"--config {sweep.resolve()}/final/config.yaml" in page
    assert "100 % of body length: b_a_5 - b_t - b_h." in page
    assert "has not learnt" not in page


def test_commands_in_the_report_are_quoted_for_the_shell(sweep: Path) -> None:
    folder = sweep.parent / "my sweep's"
    sweep.rename(folder)
    page = html.unescape(write_report(folder).read_text())
    commands = [line for line in re.findall(r"<pre>(.+)</pre>", page) if "final" in line]
    final = str(folder.resolve() / "final")
    assert [shlex.split(command) for command in commands] == [
        ["smil-ray", "predict", final, "IMAGE...", "--out", "predictions"],
        ["smil-ray", "rerun", final],
        ["python", "experiments/train.py", "--config", f"{final}/config.yaml"],
    ]


def test_report_warns_when_the_winner_is_no_better_than_the_mean_pose(sweep: Path) -> None:
    board = Leaderboard.load(sweep)
    assert board.final is not None
    board.final["metrics"]["figures"]["network"]["pa_mpjpe_pct_bl"] = 7.5
    board.save(sweep)
    page = write_report(sweep).read_text()
    assert "but not in all (PA-MPJPE [% body length] 7.50 against 7.00)" in page


def test_report_of_a_sweep_in_which_all_failed_still_says_why(tmp_path: Path) -> None:
    failed = add_trial(tmp_path, 0, 1.0, status="failed", reason="disk is full")
    Leaderboard("demo", METRIC, "min", (failed,)).save(tmp_path)
    page = write_report(tmp_path).read_text()
    assert "No trial can be ranked" in page
    assert "disk is full" in page


def test_report_of_an_interrupted_sweep_says_so(tmp_path: Path) -> None:
    trial = add_trial(tmp_path, 0, 1.0)
    Leaderboard("demo", METRIC, "min", (trial,), interrupted=True).save(tmp_path)
    assert "was interrupted" in write_report(tmp_path).read_text()


def test_report_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leaderboard"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1.0, 5.0], ["1", "2", "3", "4", "5"]),
        ([1e-4, 1e-1], ["0.0001", "0.001", "0.01", "0.1"]),
        (["b", "a", None], ["a", "b", "not set"]),
        ([3, 1, 1], ["1", "3"]),
        ([True, False], ["False", "True"]),
        ([2.0, 2.0], ["1.9", "1.95", "2", "2.05", "2.1"]),
    ],
)
def test_axis_writes_round_numbers_or_categories(values: list[Any], labels: list[str]) -> None:
    axis = Axis.of(values)
    written = [label for _, label in axis.ticks()]
    assert all(0.0 <= place <= 1.0 for place, _ in axis.ticks())
    if axis.categories or axis.is_log:
        assert written == labels
    else:
        assert set(written) & set(labels)


def test_pareto_front_holds_what_nothing_beats() -> None:
    pairs = [(10.0, 5.0), (20.0, 6.0), (20.0, 4.0), (30.0, 4.0), (40.0, 1.0)]
    curves = [Curve(str(i), i, metric, seconds) for i, (seconds, metric) in enumerate(pairs)]
    assert [curve.name for curve in pareto_front(curves, "min")] == ["0", "2", "4"]
    assert [curve.name for curve in pareto_front(curves, "max")] == ["0", "1"]
