"""Short names of environments."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
import pytest

from agentrl import envs
from agentrl.cli.names import environment_id
from agentrl.errors import ConfigError


@pytest.fixture
def registered() -> Iterator[None]:
    """Environments of other namespaces and versions."""
    names = ["agentrl/Maze-v0", "agentrl/Maze-v2", "agentrl/Shop-v0", "other/Shop-v1"]
    for name in names:
        envs.register(name, "nowhere:Nothing", description="for this test")
    yield
    for name in names:
        gymnasium.registry.pop(name)
        envs.registry._descriptions.pop(name)


@pytest.mark.parametrize(
    "text",
    ["TextWorld", "textworld", "TextWorld-v0", "agentrl/TextWorld", "agentrl/TextWorld-v0"],
)
def test_namespace_version_and_case_may_be_left_out(text: str):
    assert environment_id(text) == "agentrl/TextWorld-v0"


def test_the_newest_version_is_meant(registered: None):
    assert environment_id("maze") == "agentrl/Maze-v2"
    assert environment_id("Maze-v0") == "agentrl/Maze-v0"


def test_two_namespaces_are_not_guessed(registered: None):
    with pytest.raises(ConfigError, match="agentrl/Shop-v0, other/Shop-v1"):
        environment_id("Shop")
    assert environment_id("other/shop") == "other/Shop-v1"


@pytest.mark.parametrize("text", ["TextWorl", "agentrl/TextWorld-v1", "module.of:mine/Own-v0"])
def test_what_fits_nothing_is_left_to_the_registry(text: str):
    assert environment_id(text) == text
