"""Run a script of `experiments/` in this process, as from the command line."""

import runpy
import sys
from pathlib import Path
from unittest.mock import patch

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def run_script(name: str, *arguments: str | Path) -> int:
    """Return the exit code of `python experiments/NAME.py ARGUMENTS`."""
    path = str(EXPERIMENTS / f"{name}.py")
    with patch.object(sys, "argv", [path, *map(str, arguments)]):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 0
    raise AssertionError(f"{name} does not end with an exit code")
