"""Machines that come late, and machines whose link is cut: the results stay the same."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smil_ray.data.hdf5.store import Hdf5Source
from smil_ray.training.checkpoint.files import load_checkpoint
from tests.cluster.bench import ROOT, Bench
from tests.cluster.test_ray_up import SWEEP, results
from tests.insect_data import write_insects
from tests.memory_data import SIZE

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

HOSTS = (1, 2, 3)
TUNE, TRAIN = (str(ROOT / "experiments" / name) for name in ("tune_backbones.py", "train.py"))
EPOCHS = 40
TRAINING = (
    *("--backbone", "test_vit", "--batch_size", "4", "--num-epochs", str(EPOCHS)),
    *("--set", f"model.backbone.input_size={SIZE}", "--set", "model.head.type=mlp"),
    *("--set", "run.num_workers=2", "--set", "data.feature_cache=off"),
    *("--set", "tracking.enabled=false", "--set", "train.overlay_samples=0"),
    *("--set", "train.plots=false", "--fresh"),
)


@pytest.fixture
def hosts(bench: Bench) -> Iterator[Bench]:
    """The bench, without a Ray before and after the test."""
    yield bench
    bench.stop_ray()


@pytest.fixture(scope="module")
def data(bench: Bench) -> Path:
    return write_insects(bench.folder / "insects.h5")


@pytest.fixture(scope="module")
def alone(bench: Bench, data: Path) -> Path:
    """The training with two workers on one host."""
    bench.start_ray(3, cpus=2, head=3)
    place = folder(bench, "two_workers_on_one_host")
    finish(bench.begin(3, place / "log", TRAIN, *training(data, place)), place / "log")
    bench.stop_ray()
    return place


def folder(bench: Bench, name: str) -> Path:
    place = bench.folder / name
    place.mkdir()
    return place


def training(data: Path, place: Path) -> list[str]:
    return [
        *("--data", str(data), "--output", str(place / "runs")),
        "--address",
        "auto",
        *TRAINING,
    ]


def finish(job: subprocess.Popen[bytes], log: Path, seconds: float = 900) -> float:
    """Wait for a command that must succeed; return for how long."""
    began = time.monotonic()
    assert job.wait(seconds) == 0, log.read_text()[-4000:]
    return time.monotonic() - began


def wait_until(
    true: Callable[[], bool], job: subprocess.Popen[bytes], log: Path, seconds: float = 300
) -> None:
    """Wait for something that must be while a command runs."""
    ends = time.monotonic() + seconds
    while not true():
        assert job.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < ends, log.read_text()[-4000:]
        time.sleep(0.3)


def say(what: str, seconds: float) -> None:
    sys.stdout.write(f"{what}: {seconds:.0f} s\n")


def epochs_of(place: Path) -> float:
    """Return how many epochs a training has finished."""
    lines = [
        json.loads(line)
        for path in place.glob("runs/*/metrics.jsonl")
        for line in path.read_text().splitlines()[:-1]
    ]
    return max((line["epoch"] for line in lines), default=0.0)


def assert_same_training(one: Path, other: Path) -> None:
    """Compare last weights and all metrics, each step once."""
    (first,), (second,) = (list(place.glob("runs/*/")) for place in (one, other))
    last = f"checkpoints/epoch_{EPOCHS:04d}"
    found, expected = (load_checkpoint(run / last) for run in (first, second))
    assert found.weights.keys() == expected.weights.keys()
    assert all(value.equal(expected.weights[name]) for name, value in found.weights.items())
    assert losses(first) == losses(second)


def losses(run: Path) -> list[tuple[int, float]]:
    key = "train/loss/total"
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(row["step"], row["metrics"][key]) for row in rows if key in row["metrics"]]


def sweep(place: Path, data: Path, *, trials: int, epochs: int) -> list[str]:
    rates = ", ".join(f"{number + 1}.0e-4" for number in range(trials))
    text = SWEEP.replace("trials: 6", f"trials: {trials}").replace(
        "epochs: 2", f"epochs: {epochs}"
    )
    head, _, _ = text.partition("choice:")
    head = head.replace("final_epochs: 1", "final_epochs: 0")
    (place / "sweep.yaml").write_text(f"{head}choice: [{rates}]\n", encoding="utf-8")
    given = ("--config", str(place / "sweep.yaml"), "--data", str(data))
    return [*given, "--output", str(place / "runs"), "--set", "tracking.enabled=false"]


def journal(place: Path) -> list[dict]:
    texts = (path.read_text() for path in place.glob("runs/*/journal.jsonl"))
    return [json.loads(line) for text in texts for line in text.split("\n")[:-1]]


def test_two_nodes_train_the_weights_of_two_workers_on_one(
    hosts: Bench, data: Path, alone: Path
) -> None:
    for host in (1, 2):
        hosts.start_ray(host, cpus=1)
    place = folder(hosts, "two_hosts")
    log = place / "log"
    say("two hosts", finish(hosts.begin(1, log, TRAIN, *training(data, place)), log))
    assert_same_training(place, alone)


def test_training_of_two_workers_outlives_a_cut_link(
    hosts: Bench, data: Path, alone: Path
) -> None:
    for host in HOSTS:
        hosts.start_ray(host, cpus=1)
    place = folder(hosts, "cut_training")
    log = place / "log"
    job = hosts.begin(1, log, TRAIN, *training(data, place))
    wait_until(lambda: epochs_of(place) >= 3, job, log)
    busy = [host for host in HOSTS if "RayTrainWorker" in hosts.on(host, "ps -eo args")]
    assert len(busy) == 2
    hosts.link(busy[-1], up=False)
    at = epochs_of(place)
    assert at < EPOCHS
    say(f"training, cut after epoch {at:g}", finish(job, log))
    assert_same_training(place, alone)


def test_sweep_outlives_a_cut_link_and_runs_each_trial_once(hosts: Bench, data: Path) -> None:
    for host in HOSTS:
        hosts.start_ray(host, cpus=1)
    place, quiet = folder(hosts, "cut_sweep"), folder(hosts, "quiet_sweep")
    log = place / "log"
    search = sweep(place, data, trials=6, epochs=12)
    job = hosts.begin(1, log, TUNE, *search, "--address", "auto")

    def trains_on_host_2() -> bool:
        files = place.glob("runs/*/trials/*/run.json")
        busy = (path.parent for path in files if '"host": "smilhost2"' in path.read_text())
        return any("val/" in (run / "metrics.jsonl").read_text() for run in busy)

    wait_until(trains_on_host_2, job, log)
    ended = sum(event["event"] == "end" for event in journal(place))
    hosts.link(2, up=False)
    say(f"sweep, cut after {ended} of 6 trials", finish(job, log))
    ends = [event["trial"] for event in journal(place) if event["event"] == "end"]
    assert sorted(ends) == [f"trial_{number:03d}" for number in range(6)]
    hosts.stop_ray()

    hosts.start_ray(1, cpus=2)
    log = quiet / "log"
    search = sweep(quiet, data, trials=6, epochs=12)
    finish(hosts.begin(1, log, TUNE, *search, "--address", "auto"), log)
    assert results(place) == results(quiet)


def test_preprocessing_outlives_a_cut_link(hosts: Bench) -> None:
    place = folder(hosts, "cut_preprocess")
    pictures = place / "pictures"
    here = (sys.executable, "-m", "smil_ray")
    synth = ("synth", str(pictures), "--samples", "240", "--image-size", "64")
    subprocess.run([*here, *synth, "--num-workers", "1"], check=True, capture_output=True)
    work = ("--image-size", "256", "--chunk-size", "4", "--min-visible-keypoints", "0")
    command = ("preprocess", str(pictures), str(place / "quiet.h5"), *work)
    subprocess.run([*here, *command, "--num-workers", "1"], check=True, capture_output=True)
    for host in HOSTS:
        hosts.start_ray(host, cpus=1)
    log, output = place / "log", place / "cut.h5"
    command = ("preprocess", str(pictures), str(output), *work, "--address", "auto")
    job = hosts.begin(1, log, "-m", "smil_ray", *command)
    wait_until(lambda: len(list(place.glob("cut.h5.parts/*.json"))) > 5, job, log)
    hosts.link(2, up=False)
    done = len(list(place.glob("cut.h5.parts/*.json"))) - 1
    assert done < 60
    say(f"preprocessing, cut after {done} of 60 shards", finish(job, log))
    assert Hdf5Source(output).info.content_hash == (
        Hdf5Source(place / "quiet.h5").info.content_hash
    )


def test_sweep_grows_with_hosts_that_come_after_it_has_started(hosts: Bench, data: Path) -> None:
    hosts.start_ray(1, cpus=1)
    place = folder(hosts, "growing")
    log = place / "log"
    search = sweep(place, data, trials=12, epochs=12)
    job = hosts.begin(1, log, TUNE, *search, "--address", "auto")
    wait_until(lambda: bool(journal(place)), job, log)
    came = []
    for host in (2, 3):
        hosts.start_ray(host, cpus=1)
        came.append(time.time())
    say("growing sweep", finish(job, log))
    going, most = 0, {False: 0, True: 0}
    for event in sorted(journal(place), key=lambda event: event["time"]):
        going += {"start": 1, "end": -1}.get(event["event"], 0)
        late = event["time"] > came[-1]
        most[late] = max(most[late], going)
    sys.stdout.write(f"at once: {most[False]} before the last host came, then {most[True]}\n")
    assert most[True] == 3
    first = next(event for event in journal(place) if event["event"] == "start")
    assert first["time"] < came[0]
    used = {
        node["host"]
        for path in itertools.chain(place.glob("runs/*/trials/*/run.json"))
        for node in json.loads(path.read_text()).get("nodes", [])
    }
    assert used == {"smilhost1", "smilhost2", "smilhost3"}
