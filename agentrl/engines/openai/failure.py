"""What can go wrong with a request, and whether it is worth another try."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from agentrl.errors import EngineError


class FailureKind(StrEnum):
    """Why a server gave no answer."""

    KEY = "key"
    """The key is missing, wrong or may not do this."""
    QUOTA = "quota"
    """The account's money or plan is used up."""
    REQUEST = "request"
    """The server refuses the request as it is."""
    CONTEXT = "context"
    """The prompt is longer than the model's context."""
    RATE_LIMIT = "rate_limit"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    SERVER = "server"
    """The server failed (5xx)."""
    REPLY = "reply"
    """The answer could not be read."""

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self in _PASSING


_PASSING = frozenset(
    {
        FailureKind.RATE_LIMIT,
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.SERVER,
        FailureKind.REPLY,
    }
)


class ServerFailure(EngineError):
    """A server gave no usable answer.

    Attributes:
        kind: why.
        retry_after: seconds after which the server wants to be asked again; None if it said none.
    """

    def __init__(self, message: str, kind: FailureKind, retry_after: float | None = None) -> None:
        super().__init__(message, kind, retry_after)
        self.kind = kind
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


def failure_of(status: int, headers: Mapping[str, str], text: str, data: Any) -> ServerFailure:
    """Describe an answer with an error status.

    Args:
        status: of the answer.
        headers: of the answer.
        text: body of the answer.
        data: the body as JSON; anything where it is none.
    """
    said, code = _said(data)
    kind = _kind(status, code, said or text)
    detail = f": {(said or text).strip()[:300]}" if (said or text).strip() else ""
    return ServerFailure(
        f"The server answered with status {status}{detail}", kind, retry_after(headers)
    )


def _said(data: Any) -> tuple[str, str]:
    """Return message and code of an error, whichever of the usual shapes it has."""
    if not isinstance(data, Mapping):
        return "", ""
    error = data.get("error", data)
    if not isinstance(error, Mapping):
        return str(error), ""
    message = error.get("message") or error.get("detail") or ""
    return str(message), str(error.get("code") or error.get("type") or "")


def _kind(status: int, code: str, text: str) -> FailureKind:
    lowered = text.lower()
    if status in (401, 403):
        return FailureKind.KEY
    if status == 402 or code == "insufficient_quota":
        return FailureKind.QUOTA
    if code == "context_length_exceeded" or "maximum context length" in lowered:
        return FailureKind.CONTEXT
    if status == 429:
        return FailureKind.RATE_LIMIT
    if status in (408, 504):
        return FailureKind.TIMEOUT
    return FailureKind.SERVER if status >= 500 else FailureKind.REQUEST


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks to wait; None without a readable one."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None or (seconds := _number(value)) is not None:
        return seconds if value is not None else None
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None
