"""`smil-ray compare` and `rerun` on real, tiny runs: from folders and from MLflow."""

import json
import shutil
from pathlib import Path

import pytest

from smil_ray.cli.main import main
from smil_ray.orchestration import rerun
from smil_ray.orchestration.tune.board import read_board
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.later import send_later
from tests.insect_data import train_insects

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")
METRIC = "val/pa_mpjpe_pct_bl"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def runs(insect_file: Path, tmp_path_factory: pytest.TempPathFactory, uri: str) -> Path:
    """A folder with two runs, which MLflow has as well."""
    folder = tmp_path_factory.mktemp("runs")
    for rate in (1e-3, 1e-5):
        settings = {
            "optim": {"learning_rate": rate},
            "tracking": {"uri": uri, "experiment": "ants"},
            "run": {"output_dir": str(folder), "name": f"rate_{rate:g}", "use_gpu": "no"},
        }
        train_insects(insect_file, folder, **settings)
    send_later([folder])
    return folder


def run_ids(runs: Path) -> dict[str, str]:
    """Return MLflow's identifiers by the names of the run folders."""
    states = (json.loads(path.read_text()) for path in runs.glob("*/mlflow_sync.json"))
    return {state["name"]: state["run_id"] for state in states}


def copy_sweep(runs: Path, folder: Path) -> Path:
    """Make a sweep of the two runs, as its driver leaves it when it is killed."""
    events = []
    for number, run in enumerate(sorted(runs.glob("rate_*"))):
        name = f"trial_{number:03d}"
        shutil.copytree(run, folder / "trials" / name)
        (best,) = [
            row["metrics"][METRIC]
            for row in RunDir.open(run).read_metrics()
            if METRIC in row["metrics"]
        ]
        labels = {"optim.learning_rate": RunDir.open(run).load_config().optim.learning_rate}
        place = {"folder": f"trials/{name}", "labels": labels, "point": {}, "digest": ""}
        events.append({"event": "start", "trial": name, "index": number, "repeat": 0, **place})
        end = {"status": "finished", "metric": best, "epoch": 1.0, "epochs": 1.0, "seconds": 2.0}
        events.append({"event": "end", "trial": name, **end})
    (folder / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "sweep.yaml").write_text("name: small\nspace: {}\n")
    shutil.copy(folder / "trials" / "trial_000" / "config.yaml", folder / "config.yaml")
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_compare_a_sweep_by_another_metric_writes_table_and_page(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = copy_sweep(runs, tmp_path / "sweep")
    page = tmp_path / "pages" / "by_pixels.html"
    assert main(["compare", str(sweep), "--metric", "kp2d_px_input", "--out", str(page)]) == 0
    text = said(capsys)
    assert "small: best val/kp2d_px_input (min)" in text
    assert "trial_000" in text
    assert "trial_001" in text
    html = page.read_text()
    assert "2D error [px at input size]" in html
    # Errors of single samples were not there; they are measured and give an interval.
    assert "to the first" in html
    assert "Error of every joint" in html


def test_compare_of_a_sweep_that_was_killed_mends_nothing(runs: Path, tmp_path: Path) -> None:
    sweep = copy_sweep(runs, tmp_path)
    journal = sweep / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"event": "sta')
    before = journal.read_bytes()
    board = read_board(sweep)
    assert (len(board.ranked), board.interrupted) == (2, True)
    assert journal.read_bytes() == before


def test_compare_an_experiment_finds_its_runs_in_mlflow(
    runs: Path, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = runs.with_name("moved")
    page = str(tmp_path / "report.html")
    command = ["compare", "ants", "--uri", uri, "--out", page]
    assert main(command) == 0
    with_folders = said(capsys)
    runs.rename(hidden)
    try:
        assert main(command) == 0
    finally:
        hidden.rename(runs)
    text = said(capsys)
    for name in run_ids(runs):
        assert name[:12] in with_folders
        assert name[:12] in text
    # Without the folders there are no errors of single samples, and that is said.
    assert "no intervals for" in text
    assert "no intervals for" not in with_folders
    assert "Learning curves" in Path(page).read_text()


def test_compare_a_folder_of_runs(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(runs), "--out", str(tmp_path / "r.html"), "--no-samples"]
    assert main(command) == 0
    assert "best val/pose_score (min)" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "ant"], "did you mean ants"),
        (["compare", "{runs}", "--metric", "val/loss/betas"], "loss weights"),
        (["compare", "{empty}"], "holds no run"),
        (["rerun", "{empty}"], "is not a run folder"),
        (["rerun", "0123456789abcdef0123456789abcdef"], "not found"),
        (["rerun", "runs/none"], "There is no run folder runs/none, and MLflow at"),
        (["sync", "{empty}"], "holds no run"),
    ],
)
def test_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    message: str,
    runs: Path,
    uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main([word.format(runs=runs, empty=tmp_path) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_database_that_is_not_there_is_said_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "mlflow.db"
    assert main(["compare", "ants", "--uri", f"sqlite:///{gone}"]) == 2
    assert "There is no MLflow database" in capsys.readouterr().err
    assert not gone.exists()


def test_rerun_from_mlflow_gives_the_same_figures_to_the_last_bit(
    runs: Path,
    uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, run_id = next(iter(run_ids(runs).items()))
    # Somebody may change the code while the tests run.
    patch = runs / name / "diff.patch"
    code = (RunDir.open(runs / name).facts(), patch.read_text() if patch.is_file() else "")
    monkeypatch.setattr(rerun, "code_version", lambda _: code)
    hidden = runs.with_name("away")
    runs.rename(hidden)  # What MLflow holds is enough.
    try:
        assert main(["rerun", run_id, "--uri", uri, "--output", str(tmp_path)]) == 0
    finally:
        hidden.rename(runs)
    text = said(capsys)
    assert "everything is as it was" in text
    assert "equal the first run's to the last bit" in text
    (folder,) = tmp_path.glob("rerun_*")
    assert final_metrics(folder) == final_metrics(runs / name)
    facts = RunDir.open(folder).facts()
    assert facts["rerun_of"] == run_id
    assert any("cost/seconds" in row["metrics"] for row in RunDir.open(folder).read_metrics())


def final_metrics(folder: Path) -> dict[str, float]:
    rows = [row["metrics"] for row in RunDir.open(folder).read_metrics()]
    validated = [row for row in rows if METRIC in row][-1]
    return {key: value for key, value in validated.items() if key.startswith("val/")}


def test_rerun_says_what_is_not_as_it_was(
    runs: Path, insect_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(next(runs.glob("rate_*")), run)
    old = {"data_hash": "1" * 64, "git_commit": "2" * 40, "packages": {"torch": "1.0"}}
    RunDir.open(run).update_facts(old)
    moved = tmp_path / "moved.h5"
    shutil.copy(insect_file, moved)
    command = ["rerun", str(run), "--strict", "--data", str(moved), "--set", "train.seed=99"]
    assert main(command) == 1
    text = said(capsys)
    for part in (
        "data_hash: was 111111111111, is ",
        "git_commit: was 222222222222, is ",
        "package torch: was 1.0, is ",
        "setting train.seed: was 13, is 99",
        "setting data.path: was ",
    ):
        assert part in text
    assert "run folder" not in text


def test_rerun_of_another_seed_says_how_far_figures_differ(tmp_path: Path, runs: Path) -> None:
    first, second = sorted(runs.glob("rate_*"))
    found = rerun.agreement(first, second)
    assert found.different
    assert "differ from the first run's" in str(found)
    assert not rerun.agreement(first, first).different
    assert rerun.agreement(first, tmp_path).figures == 0


def test_rerun_of_a_sweep_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = RunDir.open(next(runs.glob("rate_*"))).load_config()
    RunDir.create_at(tmp_path, config, "sweep")
    assert main(["rerun", str(tmp_path)]) == 2
    assert "is a sweep" in capsys.readouterr().err


def test_board_of_a_finished_sweep_is_its_leaderboard(tmp_path: Path) -> None:
    Leaderboard("s", METRIC, "min", ()).save(tmp_path)
    assert read_board(tmp_path).sweep == "s"
