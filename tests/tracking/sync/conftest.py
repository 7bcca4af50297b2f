"""A run folder, and a server that it is sent to."""

from pathlib import Path

import pytest

from tests.tracking.sync.fake_server import FakeServer, write_network


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("optim:\n  learning_rate: 0.001\n")
    return run


@pytest.fixture
def winner(folder: Path) -> Path:
    """A run that has ended and is no trial."""
    write_network(folder, "train")
    return folder
