"""The command that says what is wrong with a data set."""

import argparse
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command, count
from smil_ray.cli.labels import add_label_arguments, label_config
from smil_ray.cli.progress import progress_bar


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_doctor(commands)


def _add_doctor(commands: Commands) -> None:
    doctor = add_command(
        commands,
        "doctor",
        _doctor,
        "Say what a trainer would trip over in a data set. Exit code 1 if anything.",
        "smil-ray doctor demo_data --json findings.json --fix-list good.txt",
    )
    doctor.add_argument("data", type=Path, help="replicAnt folder, or labels of photographs")
    doctor.add_argument(
        "--model", default="builtin", help="`builtin` or a .pkl/.npz file that labels shall fit"
    )
    doctor.add_argument("--json", type=Path, help="write every finding to this file")
    doctor.add_argument("--fix-list", type=Path, help="write the names of good samples")
    doctor.add_argument("--limit", type=count, help="only the first N samples")
    doctor.add_argument(
        "--num-workers", type=count, help="processes (default: one a core, one for few samples)"
    )
    doctor.add_argument("--address", default="local", help="Ray cluster; `auto` for a running one")
    add_label_arguments(doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.orchestration.doctor import examine_in_parallel

    with progress_bar("examining") as update:
        report = examine_in_parallel(
            arguments.data,
            SmilModel.open(arguments.model),
            num_workers=arguments.num_workers,
            address=arguments.address,
            progress=update,
            limit=arguments.limit,
            labels=label_config(arguments),
        )
    Console(soft_wrap=True).print(report.table(), highlight=False, markup=False)
    if arguments.json is not None:
        arguments.json.write_text(report.to_json(), encoding="utf-8")
    if arguments.fix_list is not None:
        arguments.fix_list.write_text("\n".join([*report.good_names, ""]), encoding="utf-8")
    return report.exit_code
