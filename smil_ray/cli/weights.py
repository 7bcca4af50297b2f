"""`smil-ray weights`: which pretrained backbones this machine can have, and what a file fits."""

import argparse
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from smil_ray.cli.arguments import Commands, add_command
from smil_ray.errors import ConfigError


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    weights = add_command(
        commands,
        "weights",
        _weights,
        "List where the pretrained weights of backbones can be had on this machine.",
        "smil-ray weights 'vit_small*'",
    )
    weights.add_argument(
        "backbone", nargs="?", help="timm name, a part of one, or a pattern (default: tested ones)"
    )
    weights.add_argument(
        "--file", type=Path, help="check whether this file or run folder fits BACKBONE"
    )


def _weights(arguments: argparse.Namespace) -> int:
    from smil_ray.models.weights.sources import matching_backbones

    names = matching_backbones(arguments.backbone)
    if not names:
        raise ConfigError(
            f"timm has no backbone like {arguments.backbone}",
            remedy="give a part of a name, such as vit_small",
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if arguments.file is None:
        return _list(names, console)
    if len(names) != 1:
        raise ConfigError(
            "--file needs one backbone",
            found=f"{len(names)} names",
            remedy="smil-ray weights NAME --file FILE",
        )
    return _check(names[0], arguments.file, console)


def _list(names: list[str], console: Console) -> int:
    from smil_ray.models.weights.sources import find_all_pretrained

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("backbone", "pretrained weights", "file, or what to do"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "backbone")
    for source in find_all_pretrained(names):
        table.add_row(source.name, source.state, str(source.path or source.remedy or ""))
    console.print(table)
    return 0


def _check(name: str, path: Path, console: Console) -> int:
    from smil_ray.models.weights.create import create_from_file

    _, taken_off = create_from_file(name, path)
    after = f" after taking off {taken_off}" if taken_off else ""
    console.print(f"{path} fits {name}{after}; set model.backbone.weights to it")
    return 0
