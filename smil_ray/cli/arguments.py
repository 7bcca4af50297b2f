"""Argument types and the one way in which a command is added."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from smil_ray.errors import ConfigError

Chosen = TypeVar("Chosen", bound=BaseModel)

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a command with a summary and an example, and return its parser."""
    parser = commands.add_parser(
        name,
        help=summary.replace("%", "%%"),
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_run(parser: argparse.ArgumentParser, *, registered: bool = False) -> None:
    """Add `checkpoint`, the trained network that a command works with.

    Args:
        parser: Of the command.
        registered: Whether it also takes the address of one that MLflow has, for `network_folder`.
    """
    text = "a run folder (its best checkpoint is used) or a checkpoint folder"
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="RUN",
        help=f"{text}, or models:/NAME@ALIAS of a registered one" if registered else text,
    )


def add_device(
    parser: argparse.ArgumentParser, meaning: str = "auto: the first GPU, where there is one"
) -> None:
    """Add `--device` to a command that computes with a network or a body model."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda[:N]",
        help=f"where to compute (default auto; {meaning})",
    )


def add_address(
    parser: argparse.ArgumentParser,
    meaning: str = "Ray cluster; auto: the one on this machine; local: one for this command alone "
    "(default: what RAY_ADDRESS names, else local)",
) -> None:
    """Add `--address` to a command that works on Ray."""
    parser.add_argument("--address", metavar="local|auto|HOST:PORT", help=meaning)


def count(text: str) -> int:
    """Return a whole number of at least 1."""
    value = _number(text, int)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text}")
    return int(value)


def count_or_zero(text: str) -> int:
    """Return a whole number of at least 0."""
    value = _number(text, int)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found {text}")
    return int(value)


def positive(text: str) -> float:
    """Return a number above 0."""
    value = _number(text, float)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def fraction(text: str) -> float:
    """Return a number from 0 to 1."""
    value = _number(text, float)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, found {text}")
    return value


def choose(kind: type[Chosen], **values: Any) -> Chosen:
    """Return settings made of a command's arguments.

    Raises:
        ConfigError: A value is outside its range.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"{name}: {problem['msg']}", found=problem["input"]) from None


def names(text: str) -> tuple[str, ...]:
    """Return the names of a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number(text: str, kind: Callable[[str], int | float]) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None
