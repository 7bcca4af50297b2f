"""Fixtures for every test; Ray and MLflow are told to stay quiet, local and offline."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

for _name, _value in {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}.items():
    os.environ.setdefault(_name, _value)

# Tests never meet a person's cluster.
os.environ.pop("RAY_ADDRESS", None)

# Feature caches of tests never meet a person's; processes that tests start share the folder.
_CACHE = tempfile.mkdtemp(prefix="smil_ray_test_cache_")
os.environ["SMIL_RAY_CACHE"] = _CACHE
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that start Ray: the longest ones, so that both cores end together."""
    starts_ray = {item.path for item in items if item.get_closest_marker("ray")}
    shares_ray = {item.path for item in items if _shares_ray(item)}
    items.sort(key=lambda item: (item.path not in starts_ray, item.path not in shares_ray))


def _shares_ray(item: pytest.Item) -> bool:
    return "shared_ray" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="module", autouse=True)
def _no_ray_of_another_file(request: pytest.FixtureRequest) -> None:
    """Stop the shared Ray before a file that has a cluster of its own."""
    items = (item for item in request.session.items if item.path == request.path)
    if "tests.shared_ray" in sys.modules and not any(map(_shares_ray, items)):
        sys.modules["tests.shared_ray"].stop()


@pytest.fixture(scope="module")
def shared_ray() -> str:
    """The address of a Ray with two CPUs and the slots of trials, which other files use too."""
    from tests import shared_ray

    return shared_ray.start()


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ObjectStore]":
    """An S3 server with an empty bucket; skipped where moto is not installed."""
    from tests import object_store

    store = object_store.start(tmp_path_factory.mktemp("store") / "requests.log")
    yield store
    object_store.stop(store)


def pytest_sessionfinish() -> None:
    """Stop what `shared_ray` has started."""
    if "tests.shared_ray" in sys.modules:
        sys.modules["tests.shared_ray"].stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real replicAnt samples (`data/replicant`) and a real model (`models/`)."""
    places = [os.environ.get("SMIL_RAY_REAL_DATA"), Path(__file__).parents[1].parent / "shared"]
    for place in places:
        if place and (Path(place) / "data" / "replicant").is_dir():
            return Path(place)
    pytest.skip("no real replicAnt samples: set SMIL_RAY_REAL_DATA to a folder that has them")


@pytest.fixture(scope="session")
def insect_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HDF5 file of 16 built-in insects, whose joints are dots on the pictures."""
    from tests.insect_data import write_insects

    return write_insects(tmp_path_factory.mktemp("insects") / "insects.h5")


@pytest.fixture(scope="session")
def insect_run(insect_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a tiny network trained on `insect_file` for one epoch."""
    from tests.insect_data import train_insects

    return train_insects(insect_file, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount disks of some kilobytes where this is allowed."""
    mounted: list[Path] = []

    def mount(kilobytes: int) -> Path:
        place = tmp_path / f"disk_{kilobytes}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
        if (
            shutil.which("mount") is None
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("a small disk cannot be mounted without privileges")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
