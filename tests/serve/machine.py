"""A machine of its own: a folder and an environment that have no `smil_ray`, and its servers."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Answer = TypeVar("Answer")
SECONDS_TO_START = 300
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Machine:
    """A folder with an environment that has all packages but this one.

    Attributes:
        folder: Where its processes start.
        python: Its interpreter.
    """

    folder: Path
    python: Path

    @classmethod
    def make(cls, folder: Path) -> "Machine":
        """Make an environment without copying packages: those of this one lie on its path.

        Editable installations are found by other files of `site-packages`, so this package is not.
        """
        place = folder / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
        python = place / "bin" / "python"
        (packages,) = place.glob("lib/python*/site-packages")
        (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
        uvicorn = place / "bin" / "uvicorn"
        uvicorn.write_text(f"#!{python}\nfrom uvicorn.main import main\nmain()\n")
        uvicorn.chmod(0o755)
        return cls(folder, python)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of its processes."""
        kept = ("HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS", "MLFLOW_DISABLE_TELEMETRY")
        path = f"{self.python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return {name: os.environ[name] for name in kept if name in os.environ} | {
            "PATH": path,
            **more,
        }

    def run(self, *arguments: str, **more: str) -> str:
        """Return what the interpreter prints."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def serving(
        self, arguments: list[str], port: int, alive: str, **more: str
    ) -> Iterator["Server"]:
        """Run a server until the block ends; `alive` is a path that it answers."""
        process = subprocess.Popen(
            [str(self.python), *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            start_new_session=True,
        )
        try:
            server = Server(process.pid, port)
            end = time.monotonic() + SECONDS_TO_START
            while not server.answers(alive):
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.5)
            yield server
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@dataclass(frozen=True)
class Server:
    """A server that answers at a port of this machine."""

    pid: int
    port: int

    def answers(self, path: str) -> bool:
        try:
            return self.ask("GET", path)[0] == 200
        except OSError:
            return False

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def announce(self, head: str, chunks: int = 0) -> str:
        """Send a request's head and so many chunks of 1 MiB of its body; return the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(head.encode())
            for _ in range(chunks):
                connection.sendall(b"100000\r\n" + b"x" * 2**20 + b"\r\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def peak_of(self, request: Callable[[], Answer]) -> tuple[Answer, int]:
        """Return an answer, and by how much its processes' peak memory rose meanwhile, MiB."""
        pids = (self.pid, *_below(self.pid))
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # Peak memory counts from now on.
        before = {pid: _peak(pid) for pid in pids}
        answer = request()
        return answer, round(sum(_peak(pid) - before[pid] for pid in pids) / 1024)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _below(pid: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for text in children.read_text().split():
            found += [int(text), *_below(int(text))]
    return found


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
