"""The report of a run: evaluate's figures, one file, commands that a shell takes, no surprise."""

import base64
import html
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.cli.main import main
from smil_ray.results.evaluation.captions import digits
from smil_ray.results.uncertainty.conformal import INTERVALS_FILE
from tests.insect_data import write_insects
from tests.memory_data import make_samples


@pytest.fixture(scope="module")
def run(insect_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my runs") / "ant's"
    shutil.copytree(insect_run, folder)
    (folder / INTERVALS_FILE).unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["report", str(run), "--device", "cpu"]) == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    return (run / "report.html").read_text()


def figures_of(page: str) -> dict[str, Any]:
    (found,) = re.findall(r'href="data:application/json;base64,([^"]+)"', page)
    return json.loads(base64.b64decode(found))


def test_figures_are_those_of_evaluate(run: Path, page: str, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    assert main(["evaluate", str(run), "--device", "cpu", "--json", str(path)]) == 0
    expected = json.loads(path.read_text())
    assert figures_of(page) == expected
    (row,) = re.findall(r"<tr><td>PA-MPJPE \[% body length\].*?</tr>", page, re.DOTALL)
    for name in ("network", "mean pose", "nearest neighbour"):
        low, high = expected["intervals"][name]["pa_mpjpe_pct_bl"]
        assert f">{digits(expected['metrics'][name]['pa_mpjpe_pct_bl'])}<br>" in row
        assert f"[{digits(low)}, {digits(high)}]" in row


def test_page_has_every_part_and_needs_no_network(page: str) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Figures beside baselines",
        "Predictions",
        "Calibration of the intervals",
        "Learning curves",
        "Error of every joint",
        "What was trained on what",
        "Use it",
    ]
    links = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^"\s>)]+)', page)
    assert len(links) >= 4
    assert all(re.match(r"data:(image|application)/", link) for link in links)
    assert not re.search(r"https?://|//cdn|@import|<script|<link|<iframe", page)


def test_commands_are_quoted_and_say_what_was_measured(
    run: Path, page: str, insect_file: Path
) -> None:
    commands = re.findall(r"<pre>(smil-ray .+)</pre>", html.unescape(page))
    given = ["--data", str(insect_file), "--split", "test", "--json", "evaluation.json"]
    assert [shlex.split(command) for command in commands] == [
        ["smil-ray", "predict", str(run), "IMAGE...", "--out", "predictions"],
        ["smil-ray", "rerun", str(run)],
        ["smil-ray", "evaluate", str(run), *given],
    ]


def test_page_says_what_was_trained_on_what(run: Path, page: str, insect_file: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    found = dict(re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td></tr>", page))
    assert found["data"] == str(insect_file)
    assert found["content hash of the data"] == facts["data_hash"]
    assert "no parent run" in found["first weights"]
    assert found["samples"].endswith(f"{facts['samples']['test']} test")
    assert found["machine"].startswith(facts["nodes"][0]["host"] if "nodes" in facts else "cpu")
    assert "These are not the data" not in page


def test_intervals_are_checked_where_the_run_has_them(
    run: Path, page: str, tmp_path: Path
) -> None:
    assert f"The run has no intervals: `smil-ray calibrate {run}` makes them." in html.unescape(
        page
    )
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["calibrate", str(copy), "--device", "cpu", "--split", "all"]) == 0
    assert main(["report", str(copy), "--device", "cpu"]) == 0
    found = (copy / "report.html").read_text()
    assert re.search(r"<td>all</td><td class=\"number\">\d+\.\d %</td>", found)
    assert "smil-ray calibrate" not in found


def test_other_data_are_said_to_be_others(run: Path, tmp_path: Path) -> None:
    other = write_insects(tmp_path / "other.h5", make_samples(SmilModel.builtin(), 8))
    arguments = ["--data", str(other), "--split", "all", "--out", str(tmp_path / "new" / "a.html")]
    assert main(["report", str(run), "--device", "cpu", *arguments]) == 0
    found = (tmp_path / "new" / "a.html").read_text()
    assert "These are not the data that the network was trained on" in found
    assert "8 samples (all split), seen in training or not" in found
