"""Files for `ray up`: against Ray's own schema, and against what it does not look at."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler._private.util import prepare_config, validate_config

from smil_ray.errors import ConfigError
from smil_ray.orchestration.launch.plan import ClusterPlan, NodeGroup, unfilled
from smil_ray.orchestration.launch.schema import check_schema

NEEDED = {
    "aws": ("region",),
    "gcp": ("project_id", "region", "availability_zone"),
    "local": ("head_ip", "worker_ips"),
}
"""Provider -> its settings without which `ray up` fails only after it has begun."""

MACHINE = {"aws": "InstanceType", "gcp": "machineType"}
TOKEN = "~/.ray/auth_token"


def check_launcher_file(path: Path, values: dict[str, Any]) -> ClusterPlan:
    """Return what `ray up` would start.

    Raises:
        ConfigError: Ray would refuse the file.
    """
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    # `ray up` moves this one away before it looks at its schema, for machines of one's own.
    shown = {key: value for key, value in values.items() if key != "min_workers"}
    check_schema(path, shown, json.loads(schema.read_text(encoding="utf-8")))
    provider = values["provider"]
    kind = provider.get("type")
    if kind not in NEEDED:
        raise ConfigError(
            f"{path}: provider.type", expected=f"one of {', '.join(NEEDED)}", found=repr(kind)
        )
    for name in NEEDED[kind]:
        if not provider.get(name):
            raise ConfigError(f"{path}: provider.{name}", expected="a value", found="none")
    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    try:
        prepared = prepare_config(values)
        validate_config(prepared)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    before = "RAY_UP_enable_autoscaler_v2=0 " if kind == "local" else ""
    return ClusterPlan(
        schema=f"the schema of Ray {ray.__version__}'s launcher (provider {kind})",
        groups=_groups(prepared, kind),
        start=f"{before}ray up {path}",
        most_workers=prepared["max_workers"],
        charge=None if kind in MACHINE else "nothing: they are your own machines",
        problems=[*unfilled(path.read_text(encoding="utf-8")), *_open_ports(values)],
        notes=_missing_here(values),
    )


def _groups(prepared: Mapping[str, Any], kind: str) -> list[NodeGroup]:
    provider = prepared["provider"]
    if kind == "local":
        workers = provider["worker_ips"]
        least = prepared["available_node_types"][prepared["head_node_type"]]["min_workers"]
        return [
            NodeGroup("head", 1, 1, provider["head_ip"]),
            NodeGroup("worker", least, prepared["max_workers"], ", ".join(workers)),
        ]
    found = []
    for name, node in prepared["available_node_types"].items():
        config = node["node_config"]
        machine = config.get(MACHINE[kind], "machine type not named")
        spot = "spot" in json.dumps(config).lower()
        if name == prepared["head_node_type"]:
            found.insert(0, NodeGroup(name, 1, 1, machine, spot))
        else:
            most = min(node["max_workers"], prepared["max_workers"])
            found.append(NodeGroup(name, node["min_workers"], most, machine, spot))
    return found


def _open_ports(values: Mapping[str, Any]) -> list[str]:
    """Return what lets strangers of the network run code on the nodes."""
    problems = []
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for command in values.get(key, []):
            if "ray start" in command and "RAY_AUTH_MODE=token" not in command:
                problems.append(
                    f"{key}: Ray listens on the network and runs what anybody sends it; put "
                    "RAY_AUTH_MODE=token in front of `ray start`"
                )
            if "--dashboard-host=0.0.0.0" in command:
                problems.append(f"{key}: the dashboard is open to the network; use 127.0.0.1")
    if TOKEN not in values.get("file_mounts", {}):
        problems.append(f'file_mounts: nodes lack the token; add "{TOKEN}": "{TOKEN}"')
    return problems


def _missing_here(values: Mapping[str, Any]) -> list[str]:
    """Return which files `ray up` sends along that this machine does not have."""
    sources = [*values.get("file_mounts", {}).values()]
    key = values.get("auth", {}).get("ssh_private_key")
    remedies = {TOKEN: "`ray get-auth-token --generate` makes it"}
    return [
        f"not on this machine: {source}; {remedies.get(source, 'ray up needs it here')}"
        for source in [*sources, *([key] if key else [])]
        if not Path(source).expanduser().exists()
    ]
