"""For tests that kill parts of a search: a tiny real one, its driver, what it left, processes."""

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.folder import load_sweep
from smil_ray.orchestration.tune.job import SweepHooks, run_sweep
from smil_ray.orchestration.tune.journal import Journal
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.report.page import write_report
from smil_ray.tracking.run_dir import RunDir
from smil_ray.tracking.sync.metrics import entity_name
from smil_ray.training.checkpoint.files import load_checkpoint
from smil_ray.training.checkpoint.folder import best_entry
from tests.memory_data import SIZE, TINY

METRIC = "val/mpjpe_ra_pct_bl"
PATIENCE_S = 400.0
"""Longer than anything here takes on a busy machine."""
MARK = "SMIL_RAY_TEST_MARK"
TIMES = ("cost/", "system/", "train/epoch/seconds", "train/epoch/samples_per_s")
TIMES += ("train/epoch/data_wait_share",)
"""How the names of figures begin that differ from run to run."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["tests.orchestration.tune.sweep_kills", "smil_ray.tracking.tracker"]
)


def tiny_search(data: Path, **settings: Any) -> dict[str, Any]:
    """Return a search over eight heads on a frozen backbone, which stops most of them early."""
    return {
        "name": "kills",
        "search": "grid",
        "max_concurrent_trials": 1,
        "scheduler": {"type": "asha", "grace_epochs": 1, "reduction_factor": 2},
        "base": {
            **TINY,
            "data": {**TINY["data"], "path": str(data), "feature_cache": "fp32"},
            "model": {
                **TINY["model"],
                "backbone": {"name": "test_vit", "input_size": SIZE, "freeze": True},
            },
            "train": {
                **TINY["train"],
                "select_metric": METRIC,
                "epochs": 6,
                "overlay_samples": 0,
            },
            "tracking": {"enabled": False},
        },
        "space": {
            "optim.learning_rate": {"choice": [1e-4, 1e-3, 1e-5, 5e-3]},
            "model.head.type": {"choice": ["mlp", "transformer_decoder"]},
        },
        **settings,
    }


def as_sweep(search: dict[str, Any]) -> SweepConfig:
    return sweep_from_dict(search)


def drive(place: Path, mark: str, address: str, *, report: bool) -> None:
    """Begin the search of a folder or go on with it; in a process of its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ[MARK] = mark
    os.setsid()
    os.chdir(place)
    with (place / "out.log").open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    hooks = SweepHooks(report=write_report if report else None)
    begun = [path.parent for path in place.glob("*/sweep.yaml")]
    if begun:
        run_sweep(load_sweep(begun[0]), address=address, resume=begun[0], hooks=hooks)
    else:
        sweep = as_sweep(json.loads((place / "sweep.json").read_text()))
        run_sweep(sweep, output_dir=place, address=address, hooks=hooks)


class Driver:
    """A search in a process of its own, in a folder that is only its own.

    Processes are forked from one that has imported everything, which saves seconds for each.
    """

    def __init__(self, place: Path, search: dict[str, Any]) -> None:
        self.place = place
        self.mark = f"{place}-{os.getpid()}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "sweep.json").write_text(json.dumps(search))
        self._process: Any = None

    @property
    def folder(self) -> Path:
        (found,) = [path.parent for path in self.place.glob("*/sweep.yaml")]
        return found

    def start(self, address: str = "local", *, report: bool = False) -> None:
        """Begin the search, or go on with it."""
        self._process = _FORKS.Process(
            target=drive, args=(self.place, self.mark, address), kwargs={"report": report}
        )
        self._process.start()

    def interrupt(self) -> None:
        """Press Ctrl-C: the whole process group gets the signal."""
        os.killpg(self._process.pid, signal.SIGINT)

    def kill(self, *, group: bool) -> None:
        """Kill the driver, or its process group."""
        kill = os.killpg if group else os.kill
        kill(self._process.pid, signal.SIGKILL)
        self._process.join(PATIENCE_S)

    def wait_for(self, is_time: Callable[[], bool]) -> None:
        """Wait while the driver is at work."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_time():
            if not self._process.is_alive() or time.monotonic() > deadline:
                raise AssertionError(f"it ended before its time:\n{self.log()}")
            time.sleep(0.002)

    def finish(self) -> None:
        """Wait for the end of the search."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode == 0, self.log()

    def log(self) -> str:
        return (self.place / "out.log").read_text(errors="replace")[-4000:]

    def epochs(self) -> int:
        """Return how many epochs of its trials lie on the disk."""
        text = [path.read_text() for path in self.place.glob("*/trials/*/metrics.jsonl")]
        return sum(part.count(f'"{METRIC}"') for part in text)


def rungs(folder: Path) -> dict[int, list[tuple[str, float]]]:
    """Return what early stopping saw at each rung, in its order."""
    found: dict[int, list[tuple[str, float]]] = {}
    for event in Journal(folder, mend=False).rungs():
        found.setdefault(event["rung"], []).append((event["trial"], event["value"]))
    return found


def ends(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return how each trial ended, as often as it did."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for event in Journal(folder, mend=False).events("end"):
        result = tuple(event[key] for key in ("status", "metric", "epoch", "epochs", "reason"))
        found.setdefault(event["trial"], []).append(result)
    return found


def lines_of(trial: Path) -> list[tuple[Any, ...]]:
    """Return what a trial wrote, less times and costs."""
    found = []
    for row in RunDir.open(trial).read_metrics():
        figures = {
            name: value for name, value in row["metrics"].items() if not name.startswith(TIMES)
        }
        if figures:
            found.append((row["step"], row["epoch"], figures))
    return found


def winner(folder: Path) -> tuple[str, float | None, dict[str, Tensor]]:
    """Return name, metric and weights of the best trial."""
    board = Leaderboard.load(folder)
    assert board.best is not None
    entry = best_entry(folder / board.best.folder / "checkpoints", board.mode)
    assert entry is not None
    return board.best.name, board.best.metric, load_checkpoint(entry.path).weights


def assert_same_search(found: Path, expected: Path) -> None:
    """Each trial ended once and as expected, with each step once; early stopping saw the same."""
    assert rungs(found) == rungs(expected)
    assert ends(found) == ends(expected)
    assert all(len(results) == 1 for results in ends(found).values())
    for name in ends(expected):
        trial = Path("trials", name)
        assert lines_of(found / trial) == lines_of(expected / trial), name
    (name, metric, weights), best = winner(found), winner(expected)
    assert (name, metric) == best[:2]
    assert weights.keys() == best[2].keys()
    assert all(weights[key].equal(value) for key, value in best[2].items())


def assert_tracked_once(database: Path, sweep: Path) -> None:
    """The server has each figure of the sweep and its trials once, and every run has ended."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as found:
        names = dict(found.execute("SELECT run_uuid, name FROM runs"))
        statuses = dict(found.execute("SELECT name, status FROM runs"))
        sent = Counter(
            (names[run], key, step)
            for run, key, step in found.execute("SELECT run_uuid, key, step FROM metrics")
        )
    folders = {path.name: path for path in (sweep / "trials").iterdir()} | {sweep.name: sweep}
    assert sorted(names.values()) == sorted(folders)
    written = Counter(
        (name, entity_name(key), row["step"])
        for name, folder in folders.items()
        for row in RunDir.open(folder).read_metrics()
        for key in row["metrics"]
    )
    assert sent == written
    assert set(written.values()) == {1}
    assert set(statuses.values()) == {"FINISHED"}


def marked_processes(mark: str) -> list[int]:
    """Return the processes that a driver with this mark has left, Ray's own among them."""
    return _processes(lambda folder: f"{MARK}={mark}\0".encode() in _read(folder / "environ"))


def trial_processes(root: int | None = None) -> list[int]:
    """Return the processes below `root`, by default this one, that run a trial on Ray."""
    root = root or os.getpid()

    def runs_trial(folder: Path) -> bool:
        command = _read(folder / "cmdline")
        is_trial = command.startswith(b"ray::") and b"ImplicitFunc" in command
        return is_trial and root in _ancestors(int(folder.name))

    return _processes(runs_trial)


def kill_trials(root: int | None = None) -> list[int]:
    """Kill the processes below `root` that run a trial; return them."""
    found = trial_processes(root)
    for number in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return found


def wait_until_gone(processes: Callable[[], list[int]]) -> None:
    """Wait until there is no such process any more."""
    deadline = time.monotonic() + 60.0
    while found := processes():
        assert time.monotonic() < deadline, [_read(Path(f"/proc/{n}/cmdline")) for n in found]
        time.sleep(0.1)


def _processes(is_wanted: Callable[[Path], bool]) -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if is_wanted(folder)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _ancestors(number: int) -> list[int]:
    found: list[int] = []
    while number > 1:
        stat = _read(Path(f"/proc/{number}/stat")).decode(errors="replace")
        number = int(stat.rpartition(")")[2].split()[1]) if stat else 0
        found.append(number)
    return found
