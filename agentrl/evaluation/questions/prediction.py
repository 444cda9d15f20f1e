"""What an agent answered to a question, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from agentrl.errors import DataError
from agentrl.tree import StopReason

TIMEOUT, ERROR, ANSWERED = "timeout", "error", "answered"

FAILED = frozenset({TIMEOUT, ERROR, *(reason.value for reason in StopReason if reason.failed)})
"""Stop reasons of a sample that counts as wrong whatever it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One sample.

    Attributes:
        id: of the question.
        sample: its number among the samples of the question, from 0.
        prediction: the answer alone, as the agent's dialect marks it; None if it gave none.
        stop: why the agent stopped: `answered`, a limit, or one of `FAILED`.
        error: what went wrong, where it failed.
        calls: of tools.
        tokens: that were sampled.
        seconds: from question to answer.
        transcript: what was said, for readers; any JSON value.
    """

    id: str
    sample: int = 0
    prediction: str | None = None
    stop: str = ANSWERED
    error: str = ""
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    transcript: Any = None

    @property
    def failed(self) -> bool:
        """Whether the sample failed or ran out of time: it counts as wrong."""
        return self.stop in FAILED

    def to_json(self) -> dict[str, Any]:
        """Return the sample as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prediction:
        """Rebuild a sample; keys that are none of its own are left out.

        Raises:
            DataError: it has no id, or an answer that is no text.
        """
        own = {field.name for field in fields(cls)}
        try:
            found = cls(**{name: value for name, value in data.items() if name in own})
        except TypeError as error:
            raise DataError(f"Not a prediction: {error}") from error
        if not isinstance(found.id, str) or not isinstance(found.sample, int):
            raise DataError(
                f"A prediction has the id {found.id!r} and the sample {found.sample!r}; they must "
                "be a string and an integer."
            )
        if not isinstance(found.prediction, str | None):
            raise DataError(
                f"The prediction of {found.id!r} is {found.prediction!r}; it must be a string, or "
                "null without an answer."
            )
        return found
