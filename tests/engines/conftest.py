"""Engines under test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentrl.engines import Engine
from agentrl.engines.embedded import EmbeddedEngine

KINDS: dict[str, Callable[..., Engine]] = {"embedded": EmbeddedEngine}
"""Add a kind here to put another engine to the contract tests."""


@pytest.fixture(params=sorted(KINDS))
def build_engine(request: pytest.FixtureRequest) -> Callable[..., Engine]:
    """Builds the engine under test from a model, a tokenizer and settings."""
    return KINDS[request.param]
