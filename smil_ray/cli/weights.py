"""`smil-ray weights`: which pretrained backbones this machine can have, and what a file fits."""

import argparse
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from smil_ray.cli.arguments import Commands, add_command
from smil_ray.errors import ConfigError

WORDS = {
    "shipped": "installed",
    "cached": "in the hub's cache",
    "download": "downloaded when needed",
    "not here": "not on this machine",
    "none": "never published",
}
"""What each kind of source is called in the list."""


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
    for heading in ("backbone", "pretrained weights", "from"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "from")
    sources = list(find_all_pretrained(names))
    for source in sources:
        table.add_row(source.name, WORDS[source.kind], source.place)
    console.print(table)
    for kind in ("not here", "none"):
        remedies = [source.remedy for source in sources if source.kind == kind]
        if remedies:
            # A package of its own is named in the table.
            console.print(f"{WORDS[kind]}: {min(filter(None, remedies), key=len)}.")
    return 0


def _check(name: str, path: Path, console: Console) -> int:
    from smil_ray.models.weights.create import create_from_file

    _, taken_off = create_from_file(name, path)
    after = f" after taking off {taken_off}" if taken_off else ""
    console.print(f"{path} fits {name}{after}; set model.backbone.weights to it")
    return 0
