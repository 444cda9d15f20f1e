"""Why a search back end gave no answer, and whether asking again can help."""

from __future__ import annotations

from enum import StrEnum

from agentrl.errors import AgentRLError

LONGEST_WAIT = 30.0
"""Seconds; a service that asks us to wait longer is not asked again."""


class FailureKind(StrEnum):
    """What went wrong; the names of `RETRIED` may pass by themselves."""

    AUTH = "auth"
    """The key is missing or refused."""
    QUOTA = "quota"
    """What was paid for is used up."""
    BAD_REQUEST = "bad_request"
    CONFIG = "config"
    """The service is not set up to answer us."""
    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    SERVER = "server"
    UPSTREAM = "upstream"
    """The service is there, but nothing it asks is."""
    BAD_JSON = "bad_json"
    CIRCUIT = "circuit_open"
    """It failed several times in a row and is left alone for a while."""
    REPLAY = "replay_miss"
    """Only stored answers may be used, and there is none."""


DOWN = frozenset(
    {
        FailureKind.TIMEOUT,
        FailureKind.CONNECT,
        FailureKind.SERVER,
        FailureKind.UPSTREAM,
        FailureKind.BAD_JSON,
    }
)
"""The service does not work; these open the circuit."""

RETRIED = DOWN | {FailureKind.RATE_LIMIT}


class SearchFailure(AgentRLError, RuntimeError):
    """A back end gave no answer; the message never holds a key or the query.

    Args:
        kind: what went wrong.
        backend: whose failure it is.
        status: of the HTTP response, if there was one.
        wait: seconds after which the service says it will answer again.
    """

    def __init__(
        self,
        kind: FailureKind,
        backend: str = "",
        status: int | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(kind, backend, status, wait)
        self.kind = kind
        self.backend = backend
        self.status = status
        self.wait = wait

    def __str__(self) -> str:
        status = f" (HTTP status {self.status})" if self.status is not None else ""
        return f"The search back end {self.backend!r} gave no answer: {self.kind}{status}."

    @property
    def retry(self) -> bool:
        """Whether asking again soon can help."""
        return self.kind in RETRIED and (self.wait or 0.0) <= LONGEST_WAIT
