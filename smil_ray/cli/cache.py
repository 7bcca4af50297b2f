"""Commands on caches of backbone features: cache ls, cache build, cache rm."""

import argparse
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from smil_ray.cli.arguments import (
    Commands,
    add_address,
    add_command,
    add_device,
    count,
    count_or_zero,
    positive,
)
from smil_ray.cli.progress import progress_bar
from smil_ray.config.addresses import absolute_place
from smil_ray.errors import ConfigError

if TYPE_CHECKING:
    from smil_ray.data.features.folder import CacheEntry


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    cache = commands.add_parser(
        "cache",
        help="List, build and remove cached features of frozen backbones.",
        description="Features of frozen backbones are computed once and shared by all runs.",
    )
    actions = cache.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = add_command(actions, "ls", _list, "Show what is cached.", "smil-ray cache ls")
    _add_folder(listed)
    _add_build(actions)
    removed = add_command(
        actions, "rm", _remove, "Delete caches.", "smil-ray cache rm vit_base_patch16_224-3fa9"
    )
    removed.add_argument("names", nargs="*", metavar="NAME", help="a cache, or how it begins")
    removed.add_argument("--incomplete", action="store_true", help="those never finished")
    removed.add_argument("--all", action="store_true", help="every cache")
    _add_folder(removed)


def _add_build(actions: Commands) -> None:
    job = add_command(
        actions,
        "build",
        _build,
        "Compute the features of a data set on all devices; runs find them then.",
        "smil-ray cache build --data demo.h5 --backbone vit_base_patch16_224 --weights pretrained",
    )
    job.add_argument("--data", type=Path, help="HDF5 file, also s3://; replicAnt folder")
    job.add_argument("--config", type=Path, help="YAML file of the runs to come")
    job.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override")
    job.add_argument("--backbone", "--backbone-name", help="timm name")
    job.add_argument("--weights", help="pretrained, none or a file")
    job.add_argument("--precision", choices=("fp32", "fp16", "bf16"), help="default fp16")
    job.add_argument(
        "--views", type=count_or_zero, help="changes of each picture, with data.augment.enabled"
    )
    job.add_argument("--cache-limit-gb", type=positive, help="most that all caches may take")
    job.add_argument("--num-workers", type=count, help="processes (default: one a GPU)")
    job.add_argument(
        "--storage",
        type=Path,
        metavar="s3://...",
        help="where runs will lie in an object store: nodes find the features there",
    )
    add_address(job)
    add_device(job, "auto: all GPUs, where there are some; cuda:N: that one, in this process")
    _add_folder(job)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dir", type=Path, help="folder of the caches (default: SMIL_RAY_CACHE, or the user's)"
    )


def _list(arguments: argparse.Namespace) -> int:
    from smil_ray.data.features.folder import list_caches
    from smil_ray.storage.node_cache import cache_root

    root = cache_root(arguments.dir)
    entries = list_caches(root)
    table = Table(title=f"feature caches in {root}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("name", "samples", "views", "px", "type", "size", "last used", "done"):
        is_name = heading == "name"
        table.add_column(heading, no_wrap=not is_name, overflow="fold" if is_name else "ellipsis")
    for entry in entries:
        key = entry.key
        used = datetime.fromtimestamp(entry.used).astimezone()
        done = "yes" if entry.complete else "no"
        values = (key.samples, key.views, key.input_size, key.precision, decimal(entry.bytes))
        table.add_row(entry.folder.name, *map(str, values), f"{used:%Y-%m-%d}", done)
    console = Console()
    console.print(table)
    console.print(_summary(entries))
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from smil_ray.config.reading import load_config
    from smil_ray.orchestration.features import build_features

    given = {
        "data.path": arguments.data and absolute_place(arguments.data),
        "model.backbone.name": arguments.backbone,
        "model.backbone.weights": arguments.weights,
        "data.feature_cache": arguments.precision,
        "data.feature_views": arguments.views,
        "data.feature_cache_limit_gb": arguments.cache_limit_gb,
        "data.feature_cache_dir": arguments.dir and arguments.dir.absolute(),
        "run.output_dir": arguments.storage and absolute_place(arguments.storage),
    }
    overrides = [f"{name}={value}" for name, value in given.items() if value is not None]
    config = load_config(arguments.config, [*arguments.set, *overrides])
    console = Console()
    with progress_bar("computing features", console) as update:
        report = build_features(
            config,
            address=arguments.address,
            num_workers=arguments.num_workers,
            device=arguments.device,
            progress=update,
            announce=lambda line: console.print(line, highlight=False, soft_wrap=True),
        )
    how = f"{report.seconds:.1f} s" if report.workers else "was there already"
    for folder in report.folders:
        console.print(str(folder), soft_wrap=True)
    console.print(f"{report.rows} rows, {decimal(report.bytes)}, {how}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from smil_ray.data.features.folder import list_caches, remove_cache
    from smil_ray.storage.node_cache import cache_root

    root = cache_root(arguments.dir)
    entries = list_caches(root)
    chosen = {
        entry.folder: entry
        for entry in entries
        if arguments.all
        or (arguments.incomplete and not entry.complete)
        or any(entry.folder.name.startswith(name) for name in arguments.names)
    }
    for name in arguments.names:
        if not any(folder.name.startswith(name) for folder in chosen):
            raise ConfigError(
                f"No cache in {root} is named {name}", remedy="see smil-ray cache ls"
            )
    if not (arguments.names or arguments.all or arguments.incomplete):
        raise ConfigError("No cache to remove", remedy="give a NAME, --incomplete or --all")
    for entry in chosen.values():
        remove_cache(entry)
    Console().print(f"removed {_summary(chosen.values())}")
    return 0


def _summary(entries: "Collection[CacheEntry]") -> str:
    noun = "cache" if len(entries) == 1 else "caches"
    size = decimal(sum(entry.bytes for entry in entries))
    return f"{len(entries)} {noun}, {size}"
