"""Run folders that are made without asking git, for searches with dozens of trials."""

import pytest

from smil_ray.tracking import run_dir


@pytest.fixture
def quick_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let run folders not look for the code's version: two calls of git each."""
    monkeypatch.setattr(run_dir, "code_version", lambda _: ({}, ""))
    monkeypatch.setattr(run_dir, "package_versions", dict)
