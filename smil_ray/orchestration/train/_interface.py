"""The network interface by which Gloo's processes on several nodes find one another.

Gloo asks for the address of the host's name, which on Debian and Ubuntu is 127.0.1.1: a process on
another node would then connect to itself. Ray knows the address that nodes reach one another by.
"""

import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch.config import TorchConfig, _TorchBackend

VARIABLE = "GLOO_SOCKET_IFNAME"
_GET_ADDRESS = 0x8915
"""SIOCGIFADDR of Linux: the IPv4 address of an interface."""


@dataclass
class ClusterTorchConfig(TorchConfig):
    """Ray Train's settings of PyTorch's process group, connected by Ray's own network."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What connects the workers."""
        return _ClusterBackend


class _ClusterBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        """Choose the interface in each worker, then connect them."""
        worker_group.execute(choose_interface)
        super().on_start(worker_group, backend_config)


def choose_interface() -> None:
    """Let Gloo use the interface with the address of this Ray node; a person's choice stays."""
    name = interface_of(ray.util.get_node_ip_address())
    if name is not None:
        os.environ.setdefault(VARIABLE, name)


def interface_of(address: str) -> str | None:
    """Return the name of the interface with an IPv4 address; None where that is not known."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, _GET_ADDRESS, struct.pack("256s", name.encode()))
            except OSError:
                continue  # It has no such address, or this is no Linux.
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return None
