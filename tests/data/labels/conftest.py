"""Fixtures of labelled photographs."""

import pytest

from smil_ray.body.smil_model import SmilModel


@pytest.fixture(scope="session")
def insect() -> SmilModel:
    return SmilModel.builtin()
