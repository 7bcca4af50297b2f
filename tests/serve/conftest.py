"""A server on this machine, run in a thread, and what asks it."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest
import uvicorn

from smil_ray.data.dataset import SmilDataset
from smil_ray.serve.app import make_app
from smil_ray.serve.session import Session
from smil_ray.training.checkpoint.loading import LoadedRegressor
from tests.results.prediction.told_network import told_network


@dataclass
class Client:
    """Asks a server."""

    session: Session
    port: int

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def json(self, method: str, path: str, body: Any = None) -> Any:
        status, data = self.ask(method, path, body)
        assert status == 200, data
        return json.loads(data)

    def send(self, name: str, data: bytes) -> tuple[int, Any]:
        status, answer = self.ask("POST", f"/api/files?name={quote(name)}", data)
        return status, json.loads(answer)


@contextmanager
def running(loaded: LoadedRegressor, token: str | None = None) -> Iterator[Client]:
    """Run a server on a free port of this machine."""
    with Session(loaded) as session, socket.create_server(("127.0.0.1", 0)) as listening:
        app = make_app(session, token)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Client(session, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def told(insect_run: Path) -> LoadedRegressor:
    return told_network(insect_run)


@pytest.fixture(scope="module")
def server(told: LoadedRegressor) -> Iterator[Client]:
    with running(told) as client:
        yield client


@pytest.fixture
def client(server: Client) -> Client:
    """The server of the module without files."""
    for number in list(server.session.files):
        server.json("DELETE", f"/api/files/{number}")
    return server


@pytest.fixture(scope="session")
def photo(insect_file: Path) -> np.ndarray:
    return cv2.resize(SmilDataset.from_path(insect_file).sample(0).image, (64, 64))


@pytest.fixture(scope="session")
def png(photo: np.ndarray) -> bytes:
    return cv2.imencode(".png", photo[..., ::-1])[1].tobytes()
