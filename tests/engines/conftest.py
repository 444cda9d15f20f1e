"""Engines under test."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from engine_kinds import EmbeddedKind, Kind, VLLMKind

KINDS: dict[str, type[Kind]] = {"embedded": EmbeddedKind}
"""Add a kind here to put another engine to the contract tests."""
if importlib.util.find_spec("vllm") is not None:  # `make test-vllm`
    KINDS["vllm"] = VLLMKind


@pytest.fixture(scope="session", params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """One kind of engine; what it keeps between tests ends with the session."""
    chosen = KINDS[request.param]()
    yield chosen
    chosen.close()


@pytest.fixture
def build_engine(kind: Kind) -> Kind:
    """Builds the engine under test from a model, a tokenizer and settings."""
    return kind
