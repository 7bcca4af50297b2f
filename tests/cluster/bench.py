"""Hosts in network namespaces of this machine, and commands of `ray up` against them."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from smil_ray.orchestration.launch.fill import fill_cluster_file

ROOT = Path(__file__).parents[2]
BIN = Path(sys.prefix) / "bin"
SCRIPT = Path(__file__).parent / "hosts.sh"
NEEDED = ("ip", "unshare", "ssh", "ssh-keygen", "rsync", "curl", "pgrep", "/usr/sbin/sshd")
RAY = ("raylet", "gcs_server", "mlflow", "ray::")


@dataclass(frozen=True)
class Bench:
    """A folder that all hosts see, in which a person's own machine is a folder too.

    Args:
        folder: What all hosts see.
        number: Of hosts; the first is the head.
    """

    folder: Path
    number: int

    @property
    def cluster_file(self) -> Path:
        """The shipped file for machines of one's own, with this bench's addresses filled in."""
        return self.folder / "lab.yaml"

    @classmethod
    def build(cls, folder: Path, number: int) -> "Bench":
        """Make the hosts and a person's machine with a key and a token."""
        bench = cls(folder, number)
        bench._script("up", str(folder), sys.executable, str(number))
        addresses = [f"10.83.0.{10 + host}" for host in range(1, number + 1)]
        values = {
            "head": addresses[0],
            "workers": ", ".join(addresses[1:]),
            "user": "root",
            "key": str(folder / "key"),
            "shared": str(folder / "mlflow"),
        }
        (folder / "client/.ray").mkdir(parents=True)
        (folder / "client/.ray/auth_token").write_text("0123456789abcdef" * 4)
        fill_cluster_file("local", values, bench.cluster_file, force=False)
        return bench

    def remove(self) -> None:
        """Take the hosts away, with all processes and files."""
        self._script("down", str(self.folder))

    def ray(self, command: str, *arguments: str, timeout: float = 1500) -> str:
        """Return what `ray COMMAND CLUSTER_FILE ARGUMENTS` prints; it must succeed."""
        done = subprocess.run(
            [str(BIN / "ray"), command, str(self.cluster_file), *arguments],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        return said

    def on(self, host: int, command: str, timeout: float = 120) -> str:
        """Return what a shell command prints on a host."""
        done = subprocess.run(
            self._login(host, command),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.stdout

    def begin(self, host: int, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start this environment's Python with arguments on a host, in the folder of its log."""
        words = shlex.join(["python", *arguments])
        command = f"{self._prepared()} cd {log.parent} && exec {words}"
        with log.open("wb") as file:
            return subprocess.Popen(
                self._login(host, command), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def start_ray(self, host: int, *, cpus: int, head: int = 1) -> None:
        """Start Ray on a host: the head of a cluster, or a worker of the one of `head`."""
        own = f"--node-ip-address=10.83.0.{10 + host} --num-cpus={cpus}"
        kind = f"--address=10.83.0.{10 + head}:6379"
        if host == head:
            slots = """--resources='{"trial_slot": 16}'"""
            kind = f"--head --port=6379 --dashboard-host=127.0.0.1 {slots}"
        said = self.on(host, f"{self._prepared()} ray start {kind} {own} 2>&1", timeout=180)
        assert "Ray runtime started" in said, said

    def stop_ray(self) -> None:
        """End Ray on all hosts; each sees its own processes only."""
        for host in range(1, self.number + 1):
            self.link(host, up=True)
            self.on(host, f"{self._prepared()} ray stop --force; rm -rf /tmp/ray")

    def link(self, host: int, *, up: bool) -> None:
        """Cut a host from the network, or connect it again."""
        state = "up" if up else "down"
        subprocess.run(["ip", "link", "set", f"smilveth{host}", state], check=True)

    def _login(self, host: int, command: str) -> list[str]:
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-q")
        key = str(self.folder / "key")
        return ["ssh", "-i", key, *options, f"root@10.83.0.{10 + host}", command]

    @staticmethod
    def _prepared() -> str:
        return f"export PATH={BIN}:$PATH PYTHONPATH={ROOT} RAY_AUTH_MODE=disabled;"

    def wait_for_nodes(self, number: int, seconds: float = 180) -> None:
        """Wait until Ray has so many nodes."""
        count = "import ray; ray.init('auto', log_to_driver=False, logging_level='ERROR'); " + (
            "print('nodes', sum(n['Alive'] for n in ray.nodes()))"
        )
        ends = time.monotonic() + seconds
        said = ""
        while time.monotonic() < ends:
            said = self.ray("exec", f'python -c "{count}"')
            if f"nodes {number}" in said:
                return
            time.sleep(2)
        raise AssertionError(f"not {number} nodes after {seconds:.0f} s: {said}")

    def processes(self) -> list[str]:
        """Return the processes of Ray and MLflow on all hosts."""
        lines = []
        for host in range(1, self.number + 1):
            for line in self.on(host, "ps -eo args").splitlines():
                if any(word in line for word in RAY):
                    lines.append(f"{host}: {line[:150]}")
        return lines

    def _environment(self) -> dict[str, str]:
        home = self.folder / "client"
        return os.environ | {
            "HOME": str(home),
            "RAY_TMPDIR": str(home),
            "TMPDIR": str(home),
            "RAY_UP_enable_autoscaler_v2": "0",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    def _script(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(SCRIPT), *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr


def skip_without_bench() -> None:
    """Skip a test where hosts cannot be made, and say why."""
    if os.geteuid() != 0:
        pytest.skip("hosts in network namespaces need root")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"hosts in network namespaces need {', '.join(missing)}")
    probe = "ip netns add smilprobe && ip netns delete smilprobe"
    made = subprocess.run(["sh", "-c", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()}")
