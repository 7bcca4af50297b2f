"""`clusters/slurm.sh` on a Slurm of two nodes: a sweep, `scancel`, and its end by `--resume`."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.bench import BIN, ROOT, Bench
from tests.cluster.test_ray_up import PREPROCESS, SWEEP, SYNTH, results

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3600)]

SCRIPT = Path(__file__).parent / "slurm.sh"
NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")


@dataclass(frozen=True)
class Slurm:
    """A Slurm whose nodes are the hosts of a bench."""

    folder: Path

    def run(self, *command: str) -> str:
        """Return what a command prints on the login node; it must succeed."""
        environment = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm/slurm.conf"),
            "SMIL_RAY_ENVIRONMENT": str(BIN.parent),
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/slurm_mlflow.db",
            "RAY_worker_niceness": "0",
            "OMP_NUM_THREADS": "1",
        }
        environment.pop("RAY_AUTH_MODE", None)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, *arguments: str) -> str:
        """Submit the shipped script, filled in for this cluster; return the job's number."""
        log = f"--output={self.folder}/job-%j.log"
        script = str(self.folder / "slurm.sh")
        return self.run("sbatch", "--parsable", log, script, *arguments).strip()

    def wait(self, job: str, seconds: float = 900) -> str:
        """Wait until a job has ended; return its log."""
        ends = time.monotonic() + seconds
        while self.run("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job):
            state = self.run("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job)
            if state.strip() in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", ""):
                break
            assert time.monotonic() < ends, self.log(job)
            time.sleep(2)
        return self.log(job)

    def log(self, job: str) -> str:
        path = self.folder / f"job-{job}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture(scope="module")
def slurm(bench: Bench) -> Iterator[Slurm]:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Slurm needs {', '.join(missing)} (Debian: slurmctld slurmd munge)")
    try:
        subprocess.run([str(SCRIPT), "up", str(bench.folder), "2"], check=True, timeout=120)
        cluster = Slurm(bench.folder)
        arguments = ("--partition", "gpu", "--nodes", "2", "--gpus", "0", "--time", "1:00:00")
        filled = ("--out", str(bench.folder / "slurm.sh"), *arguments)
        cluster.run(str(BIN / "smil-ray"), "cluster", "init", "slurm", *filled)
        yield cluster
    finally:
        subprocess.run([str(SCRIPT), "down", str(bench.folder)], check=True, timeout=60)


def test_sweep_on_slurm_is_cancelled_and_resumed(slurm: Slurm) -> None:
    place = slurm.folder / "slurm_job"
    place.mkdir()
    sweep = SWEEP.replace("trials: 6", "trials: 4").replace("epochs: 2", "epochs: 6")
    (place / "sweep.yaml").write_text(sweep, encoding="utf-8")
    pictures, data = str(place / "pictures"), str(place / "data.h5")
    tool = str(BIN / "smil-ray")
    slurm.run(tool, "synth", pictures, *SYNTH, "--num-workers", "1")
    slurm.run(tool, "preprocess", pictures, data, *PREPROCESS, "--num-workers", "1")
    given = (
        "--data",
        data,
        "--config",
        str(place / "sweep.yaml"),
        "--output",
        str(place / "runs"),
    )
    first = slurm.submit("experiments/tune_backbones.py", *given)
    while not any(path.read_text() for path in place.glob("runs/*/trials/*/metrics.jsonl")):
        state = slurm.run("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", first)
        assert state.strip() in ("PENDING", "CONFIGURING", "RUNNING"), slurm.log(first)
        time.sleep(1)
    slurm.run("scancel", first)
    slurm.wait(first)
    assert not list(place.glob("runs/*/report.html"))

    second = slurm.submit("experiments/tune_backbones.py", *given[2:], "--resume")
    said = slurm.wait(second)
    (report,) = place.glob("runs/*/report.html")
    assert str(report) in said
    assert len(results(place)) == 4
