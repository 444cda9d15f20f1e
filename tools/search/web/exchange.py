"""What is asked of a search service and what it answered, and the contract of a service."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol

from agentrl.errors import ConfigError
from agentrl.tools.base import JSON
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.hit import SearchHit


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request without its key, so that it may be stored and shown.

    Attributes:
        method: `GET` or `POST`.
        url: without parameters.
        params: of the address.
        body: sent as JSON where there is one.
    """

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is added to a request when it is sent; never shown, stored or logged."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: names in lower case.
        text: the body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def data(self) -> JSON:
        """The body read as JSON; None if it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


class Service(Protocol):
    """Something that answers requests: its limits, its key, its failures."""

    @property
    def name(self) -> str:
        """In configurations, hits and failures."""

    @property
    def rate(self) -> float:
        """Requests a second that it allows."""

    def credentials(self) -> Credentials:
        """Return the key, read from the environment.

        Raises:
            ConfigError: it is not set; the message names the variable.
        """

    def failure(self, response: Response) -> SearchFailure | None:
        """Return why a response is no answer; None if it is one."""


class WebBackend(Service, Protocol):
    """A search service of the web: how it is asked, and how its answers are read."""

    def request(self, query: str, k: int) -> Request:
        """Return the request for about k hits."""

    def hits(self, data: JSON) -> Iterable[SearchHit]:
        """Return the hits of an answer, as the service orders them."""


def key_from(variable: str, backend: str) -> str:
    """Return a key from the environment.

    Raises:
        ConfigError: it is not set, or no key.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"The search back end {backend!r} needs a key; set {variable}.")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{variable} holds characters that no key has; copy the key again.")
    return key


_KINDS = {
    401: FailureKind.AUTH,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTH,
    408: FailureKind.TIMEOUT,
    429: FailureKind.RATE_LIMIT,
}


def usual_failure(response: Response, backend: str) -> SearchFailure | None:
    """Return what status and body mean where a service has no rules of its own."""
    status = response.status
    if 200 <= status < 300:
        if isinstance(response.data, dict):
            return None
        return SearchFailure(FailureKind.BAD_JSON, backend, status)
    if status >= 500:
        return SearchFailure(FailureKind.SERVER, backend, status, asked_wait(response))
    if 300 <= status < 400:
        return SearchFailure(FailureKind.CONFIG, backend, status)
    kind = _KINDS.get(status, FailureKind.BAD_REQUEST)
    wait = asked_wait(response) if kind is FailureKind.RATE_LIMIT else None
    return SearchFailure(kind, backend, status, wait)


def read_hits(hits: Iterable[SearchHit], backend: str) -> list[SearchHit]:
    """Return hits as they are read from an answer.

    Raises:
        SearchFailure: the answer has another form than the service documents.
    """
    try:
        return list(hits)
    except (AttributeError, KeyError, TypeError) as error:
        raise SearchFailure(FailureKind.BAD_JSON, backend) from error


def asked_wait(response: Response) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date; None without it."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
