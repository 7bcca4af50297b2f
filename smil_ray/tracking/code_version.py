"""Which code runs: git commit and uncommitted changes of the checkout that holds a folder."""

import subprocess
from pathlib import Path
from typing import Any

LONGEST_DIFF = 5_000_000
TIMEOUT_S = 20


def code_version(folder: Path) -> tuple[dict[str, Any], str]:
    """Return `{git_commit, git_dirty}` and the diff against that commit.

    The commit is None and the diff empty where `folder` is in no git checkout, or git is absent.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {"git_commit": None, "git_dirty": None}, ""
    diff = _git(folder, "diff", "HEAD", "--no-color") or ""
    return {"git_commit": commit.strip(), "git_dirty": bool(diff)}, diff[:LONGEST_DIFF]


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")
