"""RAY_ADDRESS and Ray jobs: work joins the Ray that is there, and no second one starts."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from smil_ray.orchestration.cluster import chosen_address

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SYNTH = ("synth", "--samples", "40", "--num-workers", "2", "--image-size", "64")


def test_none_stands_for_ray_address_and_then_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert chosen_address(None) == "local"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert chosen_address(None) == "10.0.0.1:6379"
    assert chosen_address("local") == "local"
    assert chosen_address("auto") == "auto"


def test_server_of_jobs_is_no_cluster_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert chosen_address(None) == "local"


@dataclass(frozen=True)
class Head:
    """A Ray that `ray start --head` has started for these tests.

    Args:
        address: Where Ray is joined.
        jobs: Where `ray job submit` sends jobs.
        folder: Ray's temporary folder; every Ray that starts below makes a session in it.
    """

    address: str
    jobs: str
    folder: Path

    def sessions(self) -> list[str]:
        """Return the sessions of Ray that have ever been started here."""
        return sorted(path.name for path in self.folder.glob("ray/session_20*"))

    def run(self, *command: str, **environment: str) -> str:
        """Return the output of a command of this environment; it must succeed."""
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=environment_of(self.folder) | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def environment_of(folder: Path) -> dict[str, str]:
    return os.environ | {
        "RAY_TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }


def free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def short_folder() -> Iterator[Path]:
    """A folder whose name is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="smil_ray_", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def head(short_folder: Path) -> Iterator[Head]:
    port, dashboard, client, agent = free_ports(4)
    log = short_folder / "head.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                *(str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address=127.0.0.1"),
                *(f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=2"),
                *(f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}"),
                "--dashboard-host=127.0.0.1",
            ],
            env=environment_of(short_folder),
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while "--block" not in log.read_text():
            assert process.poll() is None, log.read_text()
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        yield Head(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard}", short_folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.ray
@pytest.mark.slow
def test_command_joins_the_ray_that_ray_address_names(head: Head) -> None:
    before = head.sessions()
    assert len(before) == 1
    head.run("smil-ray", *SYNTH, str(head.folder / "joined"), RAY_ADDRESS=head.address)
    assert len(list((head.folder / "joined").glob("*.json"))) >= 40
    assert head.sessions() == before


@pytest.mark.ray
@pytest.mark.slow
def test_ray_job_uses_the_ray_in_which_it_runs(head: Head) -> None:
    before = head.sessions()
    out = head.folder / "job"
    said = head.run(
        *("ray", "job", "submit", "--address", head.jobs, "--working-dir", str(ROOT), "--"),
        *("python", "-m", "smil_ray", *SYNTH, str(out)),
    )
    assert "succeeded" in said
    assert len(list(out.glob("*.json"))) >= 40
    assert head.sessions() == before


@pytest.mark.ray
@pytest.mark.slow
def test_address_local_starts_a_second_ray_even_so(head: Head) -> None:
    """What the other tests rule out can be seen by the way in which they look for it."""
    before = head.sessions()
    out = str(head.folder / "alone")
    head.run("smil-ray", *SYNTH, out, "--address", "local", RAY_ADDRESS=head.address)
    assert len(head.sessions()) == len(before) + 1
