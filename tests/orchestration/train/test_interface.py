"""Which network interface the processes of a training use."""

import pytest

from smil_ray.orchestration.train import _interface
from smil_ray.orchestration.train._interface import VARIABLE, choose_interface, interface_of


def test_interface_is_found_by_its_address() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.7") is None


def test_interface_that_a_person_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_interface.ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.setenv(VARIABLE, "remembered, so that it is put back")
    monkeypatch.delenv(VARIABLE)
    choose_interface()
    assert _interface.os.environ[VARIABLE] == "lo"
    monkeypatch.setenv(VARIABLE, "eth7")
    choose_interface()
    assert _interface.os.environ[VARIABLE] == "eth7"
