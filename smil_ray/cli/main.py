"""`smil-ray COMMAND`: each command reads its arguments and calls one function of the package.

A person's mistake ends in one sentence on stderr and exit code 2; a check that found something
wrong (doctor, check-ground-truth) ends in exit code 1.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from smil_ray import __version__
from smil_ray.cli import (
    cache,
    compare,
    doctor,
    labels,
    model,
    predict,
    preprocess,
    results,
    runs,
    synth,
    weights,
)
from smil_ray.cli.cluster import commands as cluster
from smil_ray.cli.exit import exit_code

MODULES = (
    synth,
    doctor,
    preprocess,
    labels,
    cache,
    model,
    weights,
    results,
    predict,
    compare,
    runs,
    cluster,
)
EPILOG = """\
from images to a trained network:
  smil-ray synth demo_data --samples 400          make a data set in replicAnt's format
  smil-ray doctor demo_data                       what a trainer would trip over
  smil-ray preprocess demo_data demo.h5           JSON + images to one HDF5 file
  python experiments/tune_backbones.py --data demo.h5
  smil-ray compare runs/SWEEP                     which is best, and how sure that is
  smil-ray evaluate RUN --data demo.h5            metrics beside two baselines
  smil-ray predict RUN photo.jpg --out results    joints, parameters, overlay; videos too
"""

AFTER_INTERRUPTION = {
    "preprocess": "start again with --resume to do only what is missing",
    "predict": "give the same command again to go on",
    "synth": "start again to make only what is missing",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    arguments = build_parser().parse_args(kebab(sys.argv[1:] if argv is None else argv))
    return exit_code(
        f"smil-ray {arguments.command}",
        lambda: arguments.run(arguments),
        remedy=AFTER_INTERRUPTION.get(arguments.command, ""),
    )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="smil-ray",
        description="Find, train and trust the network that reads an animal's 3D pose and shape.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"smil-ray {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in MODULES:
        module.add_commands(commands)
    return parser


def kebab(argv: Sequence[str]) -> list[str]:
    """Return the arguments with `--snake_case` flags spelled `--kebab-case`.

    One name per flag; the snake_case spelling of older documents keeps working.
    """
    spelled = []
    for argument in argv:
        flag, sign, value = argument.partition("=")
        if flag.startswith("--"):
            flag = flag.replace("_", "-")
        spelled.append(flag + sign + value)
    return spelled
