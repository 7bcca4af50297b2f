"""The commands that say what is in a data set, and what is wrong with it."""

import argparse
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_address, add_command, count
from smil_ray.cli.labels import add_label_arguments, label_config
from smil_ray.cli.progress import progress_bar


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_doctor(commands)
    _add_inspect(commands)


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
    add_address(doctor)
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


def _add_inspect(commands: Commands) -> None:
    inspect = add_command(
        commands,
        "inspect",
        _inspect,
        "Print what is in an HDF5 file (or folder) and draw samples with their labels.",
        "smil-ray inspect demo.h5 --out sheet.png",
    )
    inspect.add_argument("data", type=Path, help="HDF5 file, predecessor's file or folder")
    inspect.add_argument("--model", help="body model the labels must fit (a folder: `builtin`)")
    inspect.add_argument("--out", type=Path, help="write samples with keypoints and masks here")
    inspect.add_argument("--samples", type=count, default=16, help="on the sheet (default 16)")
    inspect.add_argument("--image-size", type=count, help="pixels (default: as stored)")
    inspect.add_argument(
        "--verify", action="store_true", help="read every byte and compare all checksums"
    )


def _inspect(arguments: argparse.Namespace) -> int:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.data.dataset import SmilDataset
    from smil_ray.data.hdf5.store import verify
    from smil_ray.data.image_io import write_png
    from smil_ray.data.inspection import describe, label_sheet
    from smil_ray.errors import DataError

    model = SmilModel.open(arguments.model) if arguments.model else None
    dataset = SmilDataset.from_path(arguments.data, model=model, input_size=arguments.image_size)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(describe(dataset, arguments.data))
    if arguments.verify:
        if arguments.data.is_dir():
            raise DataError(
                f"{arguments.data}",
                expected="an HDF5 file to --verify",
                found="a folder, which has no checksums",
                remedy="use smil-ray doctor",
            )
        verify(arguments.data)
        console.print("every checksum fits")
    if arguments.out is not None:
        write_png(arguments.out, label_sheet(dataset, arguments.samples))
        console.print(f"samples with their labels: {arguments.out}")
    return 0
