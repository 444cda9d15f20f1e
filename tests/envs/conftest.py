"""Games made here go to a folder that the whole session shares."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def game_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("AGENTRL_CACHE")
    os.environ["AGENTRL_CACHE"] = str(tmp_path_factory.mktemp("agentrl-cache"))
    yield
    if before is None:
        del os.environ["AGENTRL_CACHE"]
    else:
        os.environ["AGENTRL_CACHE"] = before
