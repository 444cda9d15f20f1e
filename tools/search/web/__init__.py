"""Search services of the web, by name; their keys are read from the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentrl.errors import ConfigError, unknown_name
from agentrl.tools.search.web.brave import Brave
from agentrl.tools.search.web.exchange import WebBackend
from agentrl.tools.search.web.searxng import Searxng
from agentrl.tools.search.web.serpapi import SerpApi
from agentrl.tools.search.web.serper import Serper
from agentrl.tools.search.web.tavily import Tavily

BACKENDS: Mapping[str, Callable[..., WebBackend]] = {
    "brave": Brave,
    "searxng": Searxng,
    "serpapi": SerpApi,
    "serper": Serper,
    "tavily": Tavily,
}


def web_backend(name: str, **options: Any) -> WebBackend:
    """Return a search service.

    Args:
        name: of `BACKENDS`.
        options: of that service.

    Raises:
        UnknownNameError: there is none of that name.
        ConfigError: it has no such option.
    """
    if name not in BACKENDS:
        raise unknown_name("search back end", name, BACKENDS)
    try:
        return BACKENDS[name](**options)
    except TypeError as error:
        raise ConfigError(f"The search back end {name!r} cannot be set up so: {error}.") from error
