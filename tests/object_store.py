"""An S3 server on this machine (moto), and what was asked of it."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

BUCKET = "lab"
_LINE = re.compile(r'"\S*?(?P<method>GET|HEAD|PUT|POST|DELETE) (?P<path>\S+) HTTP')


@dataclass
class ObjectStore:
    """A server that runs.

    Attributes:
        address: Of its only bucket.
        log: Where it writes what it is asked.
    """

    address: str
    log: Path
    process: subprocess.Popen[bytes]

    def requests(self, method: str, name: str) -> int:
        """Return how many requests of a kind were about objects that end with `name`."""
        found = (_LINE.search(line) for line in self.log.read_text().splitlines())
        asked = ((m["method"], m["path"].partition("?")[0]) for m in found if m is not None)
        return sum(kind == method and path.endswith(name) for kind, path in asked)

    def put_folder(self, folder: Path, address: str) -> str:
        """Copy a folder into the store and return its address."""
        from smil_ray.storage.store import upload

        for path in folder.rglob("*"):
            if path.is_file():
                upload(path, f"{address}/{path.relative_to(folder).as_posix()}")
        return address


def start(log: Path) -> ObjectStore:
    """Start a server with one bucket, and let this process and its children find it.

    Skips the test where moto is not installed.
    """
    program = Path(os.environ.get("SMIL_RAY_MOTO", Path(sys.prefix) / "bin/moto_server"))
    if not program.is_file():
        pytest.skip("an S3 server needs moto: pip install 'moto[s3]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = f"http://127.0.0.1:{port}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(program), "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    os.environ.update(
        AWS_ENDPOINT_URL=server,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
    )
    ends = time.monotonic() + 120
    while True:
        try:
            make = urllib.request.Request(f"{server}/{BUCKET}", method="PUT")
            urllib.request.urlopen(make, timeout=5).close()
            break
        except OSError:
            if time.monotonic() > ends or process.poll() is not None:
                process.kill()
                process.wait()
                raise
            time.sleep(0.2)
    return ObjectStore(f"s3://{BUCKET}", log, process)


def stop(store: ObjectStore) -> None:
    """Stop the server."""
    store.process.terminate()
    store.process.wait(20)
    os.environ.pop("AWS_ENDPOINT_URL", None)
