"""What the tests of several modules share."""

from __future__ import annotations

import pytest

import capsule
from guest.applications import Applications


def _leave(thing=None, /, **settings):
    return thing or _leave


@pytest.fixture
def applications(tmp_path, monkeypatch):
    """An empty current folder that modules are imported from, and a `capsule` whose names do nothing when used."""
    for name in ("task", "actor", "Runtime"):
        monkeypatch.setattr(capsule, name, _leave, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = Applications(tmp_path)
    yield made
    made.forget()
