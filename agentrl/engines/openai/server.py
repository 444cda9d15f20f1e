"""Which server is asked, how patiently, and what its tokens cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from agentrl.errors import ConfigError

_LOCAL = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a million tokens cost, in any one currency.

    Attributes:
        prompt: prompt tokens.
        completion: sampled tokens.
        cached: prompt tokens that the server found in its cache; None costs as much as `prompt`.
    """

    prompt: float
    completion: float
    cached: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An OpenAI-compatible server and one of its models.

    Attributes:
        url: of the API with its version, for example `http://localhost:8000/v1`.
        model: as the server calls it.
        key_variable: environment variable that holds the key; where it is not set none is sent.
            The key is read for each request and kept nowhere.
        concurrency: requests under way at once; more wait for their turn.
        tries: how often a request is sent at most.
        timeout: seconds that one try may take.
        deadline: seconds that a call may take with all tries and waits.
        length_field: how the server calls the most tokens to sample in a chat.
        prices: of tokens, for the cost.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 64
    tries: int = 4
    timeout: float = 600.0
    deadline: float = 1800.0
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    prices: Prices | None = field(default=None)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in self.url or parts.query:
            raise ConfigError(
                "`url` must hold no user, password or query; the key comes from the environment "
                "variable that `key_variable` names."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"`url` is {self.url!r}; it must begin with http:// or https:// and a host, for "
                "example `http://localhost:8000/v1`."
            )
        for name in ("concurrency", "tries", "timeout", "deadline"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"`{name}` is {getattr(self, name)}; it must be greater than 0.")

    @property
    def local(self) -> bool:
        """Whether the server runs on this machine; proxies of the environment do not apply."""
        return urlsplit(self.url).hostname in _LOCAL

    @property
    def key(self) -> str:
        """The key as it is now in the environment; empty without one.

        Raises:
            ConfigError: it holds what no header can.
        """
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable else ""
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                f"The key in {self.key_variable} holds a space or a character that is not ASCII."
            )
        return key
