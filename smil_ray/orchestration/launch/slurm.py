"""Scripts for Slurm's `sbatch`: shell syntax, and the #SBATCH lines that sbatch would read."""

import re
import subprocess
from pathlib import Path

from smil_ray.errors import ConfigError, nearest
from smil_ray.orchestration.launch.plan import ClusterPlan, NodeGroup

TIME = r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}"
NUMBER = r"[1-9]\d*"
OPTIONS = {
    "account": r"\S+",
    "chdir": r"\S+",
    "constraint": r"\S+",
    "cpus-per-task": NUMBER,
    "error": r"\S+",
    "exclude": r"\S+",
    "exclusive": r"(user|mcs)?",
    "gpus-per-node": r"\S+",
    "gpus-per-task": r"\S+",
    "gres": r"\S+",
    "job-name": r"\S+",
    "mail-type": r"\S+",
    "mail-user": r"\S+",
    "mem": r"\d+[KMGT]?",
    "mem-per-cpu": r"\d+[KMGT]?",
    "nodelist": r"\S+",
    "nodes": NUMBER,
    "ntasks": NUMBER,
    "ntasks-per-node": NUMBER,
    "open-mode": r"append|truncate",
    "output": r"\S+",
    "partition": r"\S+",
    "qos": r"\S+",
    "requeue": "",
    "reservation": r"\S+",
    "signal": r"([BR]:)?\w+(@\d+)?",
    "time": TIME,
}
"""Option of sbatch -> what its value looks like; those that a job of Ray can use."""


def check_batch_script(path: Path) -> ClusterPlan:
    """Return what `sbatch` would start.

    Raises:
        ConfigError: The shell cannot parse the script, or sbatch would refuse or overlook a line.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist", remedy="check the path")
    parsed = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    if parsed.returncode:
        raise ConfigError(f"{path}: bash cannot parse it: {parsed.stderr.splitlines()[0]}")
    text = path.read_text(encoding="utf-8")
    options = _options(path, text)
    if not options:
        raise ConfigError(f"{path}", expected="lines that begin with #SBATCH --", found="none")
    nodes = int(options.get("nodes", 1))
    asked = [f"{key} {options[key]}" for key in ("partition", "gpus-per-node") if key in options]
    time = options.get("time", "the partition's limit")
    problems = []
    if "ray start" in text and "RAY_AUTH_MODE=token" not in text:
        problems.append(
            "Ray listens on the network and runs what anybody sends it; export "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN before `ray start`"
        )
    if "time" not in options:
        problems.append("#SBATCH --time is missing: many clusters refuse or delay such jobs")
    return ClusterPlan(
        schema="bash's syntax and the options of sbatch",
        groups=[NodeGroup("node", nodes, nodes, ", ".join(asked) or "any")],
        start=f"sbatch {path} SCRIPT ARGUMENTS...",
        problems=problems,
        charge=f"{nodes} node hours of your account; the job ends after {time}",
    )


def _options(path: Path, text: str) -> dict[str, str]:
    """Return the options of a script's #SBATCH lines; sbatch stops at the first command."""
    found: dict[str, str] = {}
    has_begun = False
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{path}: line {number}"
        if not line.startswith("#SBATCH"):
            has_begun = has_begun or bool(line.strip() and not line.startswith("#"))
            continue
        if has_begun:
            raise ConfigError(
                f"{where}: sbatch overlooks #SBATCH lines after the first command",
                remedy="move it up",
            )
        match = re.fullmatch(r"#SBATCH\s+--([a-z-]+)(?:=(\S*))?", line.rstrip())
        if match is None:
            raise ConfigError(where, expected="#SBATCH --option=value", found=line)
        name, value = match[1], match[2] or ""
        if name not in OPTIONS:
            near = nearest(name, OPTIONS)
            raise ConfigError(f"{where}: unknown option --{name}; the nearest is --{near}")
        if re.fullmatch(OPTIONS[name], value) is None:
            raise ConfigError(f"{where}: --{name}: {value!r} is not a value of this option")
        found[name] = value
    return found
