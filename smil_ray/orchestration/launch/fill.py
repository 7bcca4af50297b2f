"""Fill the lines to edit of a shipped cluster file with a person's values.

The shipped files are the templates: their comments stay, and only the values change.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from smil_ray.errors import ConfigError

ROOT = Path(__file__).parents[3]
SCRIPTS = (".sh", ".sbatch", ".slurm")
FILES = (".yaml", ".yml")
WORD = r"[\w.:/@+~-]+"
FIND_IMAGE = (
    "aws", "ssm", "get-parameter", "--query", "Parameter.Value", "--output", "text", "--name",
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One value that a person fills in.

    Args:
        name: Of the value, and of its flag.
        question: What it is, in a few words.
        before: Regular expression of what stands before the value in the file.
        form: Regular expression of the value.
        example: Of a value, for messages.
    """

    name: str
    question: str
    before: str
    form: str
    example: str


REGION = Line("region", "region", r"\n  region: ", r"[a-z0-9-]+", "eu-central-1")
WORKERS = Line("max-workers", "workers at most", r"\nmax_workers: ", r"\d+", "8")
SHARED = Line(
    "shared",
    "NFS folder that all nodes see, or `none`",
    r"mount_shared\.sh ",
    rf"none|{WORD}:/\S*",
    "fs-ID.efs.eu-central-1.amazonaws.com:/",
)


@dataclass(frozen=True)
class Template:
    """A shipped file, its lines to edit, and the command that starts a cluster with it."""

    path: str
    lines: tuple[Line, ...]


TEMPLATES = {
    "aws": Template(
        "cluster.yaml",
        (
            REGION,
            Line(
                "image", "machine image", r"\n  image: &image ", r"ami-[0-9a-f]{8,17}", "ami-0a1b"
            ),
            SHARED,
            WORKERS,
        ),
    ),
    "gcp": Template(
        "clusters/gcp.yaml",
        (
            Line(
                "project",
                "project",
                r"\n  project_id: ",
                r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
                "my-lab",
            ),
            REGION,
            Line(
                "zone", "zone", r"\n  availability_zone: ", r"[a-z0-9-]+-[a-z]", "europe-west4-a"
            ),
            SHARED,
            WORKERS,
        ),
    ),
    "local": Template(
        "clusters/on_premise.yaml",
        (
            Line("head", "name or address of the head", r"\n  head_ip: ", WORD, "192.168.1.10"),
            Line(
                "workers",
                "names or addresses of the workers, with commas",
                r"\n  worker_ips: \[",
                rf"{WORD}(, ?{WORD})*",
                "192.168.1.11,192.168.1.12",
            ),
            Line(
                "shared",
                "folder that all machines see",
                r"SMIL_RAY_RESULTS=",
                r"/\S+",
                "/srv/smil-ray/mlflow",
            ),
            Line("user", "user who logs in by ssh", r"\n  ssh_user: ", WORD, "lab"),
            Line("key", "private key of ssh", r"\n  ssh_private_key: ", WORD, "~/.ssh/id_ed25519"),
        ),
    ),
    "kubernetes": Template(
        "clusters/kuberay_rayjob.yaml",
        (
            Line(
                "image", "image of clusters/Dockerfile", r"&image ", WORD, "my.registry/smil-ray:1"
            ),
            Line("claim", "volume claim", r"&claim ", r"[a-z0-9.-]+", "smil-ray-shared"),
            Line("data", "data on that volume", r"--data ", r"/\S+", "/shared/ants.h5"),
        ),
    ),
    "slurm": Template(
        "clusters/slurm.sh",
        (
            Line("partition", "partition", r"\n#SBATCH --partition=", r"[\w,-]+", "gpu"),
            Line("nodes", "nodes", r"\n#SBATCH --nodes=", r"[1-9]\d*", "2"),
            Line("gpus", "GPUs a node", r"\n#SBATCH --gpus-per-node=", r"\d+|\w+:\d+", "1"),
            Line(
                "time",
                "time, D-HH:MM:SS",
                r"\n#SBATCH --time=",
                r"(\d+-)?\d+(:\d\d){0,2}",
                "4:00:00",
            ),
        ),
    ),
}
"""Kind of cluster -> what is filled in, in the order of the file."""


def fill_cluster_file(kind: str, values: Mapping[str, str], output: Path, *, force: bool) -> None:
    """Write the shipped file of a kind with its lines filled in.

    Args:
        kind: A key of `TEMPLATES`.
        values: Name of a line -> what stands there; lines without a value stay as they are.
        output: The file to write.
        force: Whether a file that is there may be overwritten.

    Raises:
        ConfigError: A value does not fit, the output's name is one of another kind of file, or
            the output exists.
    """
    template = TEMPLATES[kind]
    check_suffix(kind, output)
    if output.exists() and not force:
        raise ConfigError(f"{output} exists", remedy="choose another --out, or give --force")
    text = read_template(kind)
    for line in template.lines:
        if line.name in values:
            text = _replaced(text, line, values[line.name])
    text = text.replace(template.path, str(output))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    output.chmod((ROOT / template.path).stat().st_mode)


def check_suffix(kind: str, output: Path) -> None:
    """Refuse a name by which `cluster check` would take the file for one of another kind.

    Raises:
        ConfigError: The suffix is another one.
    """
    suffixes = SCRIPTS if Path(TEMPLATES[kind].path).suffix in SCRIPTS else FILES
    if output.suffix not in suffixes:
        raise ConfigError(
            f"--out {output}",
            expected=f"a name that ends with {' or '.join(suffixes)} for {kind}",
            found=output.suffix or "a name without a suffix",
        )


def read_template(kind: str) -> str:
    """Return the text of the shipped file of a kind."""
    path = ROOT / TEMPLATES[kind].path
    if not path.is_file():
        raise ConfigError(
            f"{path} does not exist",
            remedy="cluster files come with the repository: install it from a clone, --editable",
        )
    return path.read_text(encoding="utf-8")


def present_value(kind: str, line: Line) -> str:
    """Return what stands in the shipped file."""
    found = re.search(f"{line.before}({line.form})", read_template(kind))
    return found[1] if found else ""


def suggestion(kind: str, name: str, values: Mapping[str, str]) -> str | None:
    """Return a value that the cloud's own command line knows here, else None.

    Args:
        kind: Of the cluster.
        name: Of the line.
        values: Lines that are filled in already.
    """
    commands: dict[tuple[str, str], Callable[[], tuple[str, ...]]] = {
        ("aws", "image"): lambda: (*FIND_IMAGE, "--region", values["region"]),
        ("gcp", "project"): lambda: ("gcloud", "config", "get-value", "project"),
    }
    if (kind, name) not in commands:
        return None
    try:
        found = subprocess.run(
            commands[kind, name](), capture_output=True, text=True, timeout=60, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def _replaced(text: str, line: Line, value: str) -> str:
    if re.fullmatch(line.form, value) is None:
        raise ConfigError(f"--{line.name}", expected=f"e.g. {line.example}", found=repr(value))
    pattern = re.compile(f"({line.before})[^\\s\\],]+(?:, ?[^\\s\\],]+)*")
    return pattern.sub(lambda found: found[1] + value, text, count=1)
