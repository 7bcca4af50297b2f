"""What several tests of searches share: data, a Ray that runs already, quick run folders."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.tune.job import SLOTS
from smil_ray.orchestration.tune.trials.resources import TRIAL_SLOT
from smil_ray.tracking import run_dir
from tests.insect_data import write_insects


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of insects."""
    return write_insects(tmp_path_factory.mktemp("data") / "insects.h5")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray that outlives the drivers that use it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMIL_RAY_CACHE", str(tmp_path_factory.mktemp("caches")))
        with start_ray("local", num_cpus=2, resources={TRIAL_SLOT: SLOTS}):
            yield ray.get_runtime_context().gcs_address


@pytest.fixture
def quick_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let run folders not look for the code's version: two calls of git each."""
    monkeypatch.setattr(run_dir, "code_version", lambda _: ({}, ""))
    monkeypatch.setattr(run_dir, "package_versions", dict)
