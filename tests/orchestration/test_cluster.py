from pathlib import Path

import pytest

from smil_ray.errors import SmilRayError
from smil_ray.orchestration import cluster


def test_short_temp_folder_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert cluster._short_temp_folder() is None


def test_long_temp_folder_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 20)))
    assert len(str(cluster._short_temp_folder())) < cluster.LONGEST_SOCKET_FOLDER


@pytest.mark.ray
def test_start_ray_nested_uses_the_running_one() -> None:
    import ray

    with cluster.start_ray("local", num_cpus=1, resources={"slot": 2.0}):
        address = ray.get_runtime_context().gcs_address
        with cluster.start_ray(None):
            assert ray.get_runtime_context().gcs_address == address
        assert ray.is_initialized()
        assert cluster.cluster_resources()["slot"] == 2.0
    assert not ray.is_initialized()


def test_start_ray_at_an_address_without_a_cluster_says_so() -> None:
    with (
        pytest.raises(SmilRayError, match=r"127\.0\.0\.1:1.*ray status"),
        cluster.start_ray("127.0.0.1:1"),
    ):
        pass
