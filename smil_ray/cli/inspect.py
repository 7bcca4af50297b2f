"""`smil-ray inspect`: what is in a data set, as text and as a sheet of samples."""

import argparse
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command, count


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
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
