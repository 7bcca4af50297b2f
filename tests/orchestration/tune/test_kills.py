"""Searches whose driver or trial is killed with SIGKILL: they end as if nothing had happened."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from smil_ray.orchestration.tune.job import run_sweep
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.tracking.run_dir import RunDir
from tests.orchestration.tune.sweep_kills import (
    METRIC,
    PATIENCE_S,
    Driver,
    as_sweep,
    assert_same_search,
    assert_tracked_once,
    ends,
    kill_trials,
    marked_processes,
    rungs,
    tiny_search,
    trial_processes,
    wait_until_gone,
)

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def undisturbed(cluster: str, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sweep = as_sweep(tiny_search(data, pack=1))
    return run_sweep(sweep, output_dir=tmp_path_factory.mktemp("undisturbed")).folder


def test_undisturbed_search_stops_some_early_at_each_rung(undisturbed: Path) -> None:
    """What the others are compared with is worth it."""
    assert list(rungs(undisturbed)) == [1, 2, 4]
    statuses = [status for ((status, *_),) in ends(undisturbed).values()]
    assert len(statuses) == 8
    assert {"finished", "stopped"} == set(statuses)
    assert statuses[0] == "finished"


def tracked(search: dict[str, Any], database: Path) -> dict[str, Any]:
    search["base"]["tracking"] = {"uri": f"sqlite:///{database}"}
    return search


EARLY, MIDDLE, LATE = (0.0, 0.2), (0.3, 0.7), (0.8, 0.98)
"""When a driver is killed: shares of all epochs of the search, to draw a moment from."""


@pytest.mark.parametrize(
    ("pack", "seed", "shares"),
    [(1, 0, (EARLY, MIDDLE, LATE)), (4, 1, (MIDDLE,))],
    ids=["alone", "packed"],
)
def test_search_whose_driver_is_killed_ends_like_an_undisturbed_one(
    undisturbed: Path,
    cluster: str,
    data: Path,
    tmp_path: Path,
    pack: int,
    seed: int,
    shares: tuple[tuple[float, float], ...],
) -> None:
    """The first driver of the trials alone has a Ray of its own, which must die with it."""
    database = tmp_path / "mlflow.db"
    driver = Driver(tmp_path / "killed", tracked(tiny_search(data, pack=pack), database))
    chance = random.Random(seed)
    whole = sum(record[3] for (record,) in ends(undisturbed).values())
    moments = [max(1, int(whole * chance.uniform(*share))) for share in shares]
    for moment in moments:
        driver.start("local" if pack == 1 and moment == moments[0] else cluster)
        driver.wait_for(lambda moment=moment: driver.epochs() >= moment)
        time.sleep(chance.uniform(0.0, 0.1))
        driver.kill(group=moment == moments[-1])
    driver.start(cluster)
    driver.finish()
    assert_same_search(driver.folder, undisturbed)
    assert_tracked_once(database, driver.folder)
    wait_until_gone(lambda: marked_processes(driver.mark))
    wait_until_gone(trial_processes)


def test_search_whose_trial_is_killed_ends_like_an_undisturbed_one(
    undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_at_the_third_epoch() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not killed:
            files = tmp_path.glob("*/trials/trial_000/metrics.jsonl")
            if sum(path.read_text().count(METRIC) for path in files) >= 3:
                killed.extend(kill_trials())
            time.sleep(0.01)

    thread = threading.Thread(target=kill_at_the_third_epoch)
    thread.start()
    search = tracked(tiny_search(data, pack=1), tmp_path / "mlflow.db")
    outcome = run_sweep(as_sweep(search), output_dir=tmp_path)
    thread.join()
    assert killed
    assert_same_search(outcome.folder, undisturbed)
    assert_tracked_once(tmp_path / "mlflow.db", outcome.folder)


def test_search_that_is_interrupted_reports_what_is_there_and_goes_on(
    undisturbed: Path, cluster: str, data: Path, tmp_path: Path
) -> None:
    """Ctrl-C reaches the driver and everything that it has started."""
    database = tmp_path / "mlflow.db"
    driver = Driver(tmp_path / "interrupted", tracked(tiny_search(data, pack=1), database))
    driver.start("local", report=True)
    driver.wait_for(lambda: driver.epochs() >= 8)
    driver.interrupt()
    driver.finish()
    board = Leaderboard.load(driver.folder)
    assert board.interrupted
    assert board.best is not None
    assert RunDir.open(driver.folder).status()["state"] == "stopped"
    page = (driver.folder / "report.html").read_text(encoding="utf-8")
    assert "interrupted" in page
    assert board.best.name in page
    wait_until_gone(lambda: marked_processes(driver.mark))
    driver.start(cluster)
    driver.finish()
    assert_same_search(driver.folder, undisturbed)
    assert_tracked_once(database, driver.folder)
