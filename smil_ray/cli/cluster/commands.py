"""Commands about cluster files: init fills one in, check says what it would start."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command
from smil_ray.errors import ConfigError

KINDS = ("aws", "gcp", "local", "kubernetes", "slurm")


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    cluster = commands.add_parser(
        "cluster",
        help="Fill in a file that starts a cluster, or check one offline.",
        description="Fill in a file that starts a cluster, or check one offline.",
    )
    actions = cluster.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = add_command(
        actions,
        "init",
        _init,
        "Fill in the lines to edit of a shipped cluster file: from flags, or by asking.",
        "smil-ray cluster init local --head 10.0.0.1 --workers 10.0.0.2,10.0.0.3 --user lab",
    )
    init.add_argument("kind", choices=KINDS)
    init.add_argument("--out", type=Path, help="file to write (default: my_KIND.yaml or .sh)")
    init.add_argument("--force", action="store_true", help="overwrite a file that is there")
    init.add_argument("--region", help="aws, gcp: where the machines stand")
    init.add_argument(
        "--image", help="aws: machine image (default: asks `aws`); kubernetes: image"
    )
    init.add_argument(
        "--shared", help="aws, gcp: NFS folder or `none`; local: folder of all machines"
    )
    init.add_argument("--max-workers", help="aws, gcp: workers at most")
    init.add_argument("--project", help="gcp (default: asks `gcloud`)")
    init.add_argument("--zone", help="gcp")
    init.add_argument("--head", help="local: name or address of the head")
    init.add_argument("--workers", help="local: names or addresses, with commas")
    init.add_argument("--user", help="local: who logs in by ssh")
    init.add_argument("--key", help="local: private key of ssh")
    init.add_argument("--claim", help="kubernetes: volume claim that all pods see")
    init.add_argument("--data", help="kubernetes: data on that volume")
    init.add_argument("--partition", help="slurm")
    init.add_argument("--nodes", help="slurm")
    init.add_argument("--gpus", help="slurm: GPUs a node; 0: none")
    init.add_argument("--time", help="slurm: D-HH:MM:SS")
    check = add_command(
        actions,
        "check",
        _check,
        "Validate a cluster file offline; say what it starts. Exit code 1 for a problem.",
        "smil-ray cluster check cluster.yaml",
    )
    check.add_argument("file", type=Path, help="for ray up, KubeRay or sbatch")
    check.add_argument(
        "--crd",
        type=Path,
        help="KubeRay's own schema, from `kubectl get crd rayjobs.ray.io -o yaml`",
    )


def _init(arguments: argparse.Namespace) -> int:
    from smil_ray.orchestration.launch.fill import (
        TEMPLATES,
        check_suffix,
        fill_cluster_file,
        present_value,
        suggestion,
    )

    kind = arguments.kind
    lines = TEMPLATES[kind].lines
    output = arguments.out or Path(f"my_{kind}{Path(TEMPLATES[kind].path).suffix}")
    _refuse_strange_flags(arguments, {line.name for line in lines})
    check_suffix(kind, output)
    values: dict[str, str] = {}
    for line in lines:
        given = getattr(arguments, line.name.replace("-", "_"))
        if given is None:
            default = suggestion(kind, line.name, values) or present_value(kind, line)
            given = _asked(line.question, default)
        values[line.name] = given
    fill_cluster_file(kind, values, output, force=arguments.force)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"written: {output}")
    return _say_what_it_starts(output, None, console)


def _refuse_strange_flags(arguments: argparse.Namespace, known: set[str]) -> None:
    """Raise ConfigError for a flag that belongs to another kind of cluster."""
    others = {"action", "command", "run", "kind", "out", "force"}
    for name, value in vars(arguments).items():
        flag = name.replace("_", "-")
        if value is not None and flag not in known | others:
            raise ConfigError(
                f"--{flag} is no setting of {arguments.kind}",
                expected=", ".join(f"--{name}" for name in sorted(known)),
            )


def _asked(question: str, default: str) -> str:
    """Return what a person answers; the default where nobody is there to ask."""
    if not sys.stdin.isatty():
        return default
    return input(f"{question} [{default}]: ").strip() or default


def _check(arguments: argparse.Namespace) -> int:
    return _say_what_it_starts(
        arguments.file, arguments.crd, Console(soft_wrap=True, highlight=False, markup=False)
    )


def _say_what_it_starts(path: Path, crd: Path | None, console: Console) -> int:
    from smil_ray.orchestration.launch.check import check_cluster_file

    plan = check_cluster_file(path, crd)
    console.print(f"valid for {plan.schema}")
    console.print(f"starts: {'; '.join(map(str, plan.groups))}")
    if plan.most_workers is not None:
        console.print(f"workers at most, of all kinds together: {plan.most_workers}")
    console.print(f"an hour costs at most: {plan.cost()}")
    for note in plan.notes:
        console.print(f"note: {note}")
    for problem in plan.problems:
        console.print(f"problem: {problem}")
    console.print(f"start it with: {plan.start}")
    return 1 if plan.problems else 0
