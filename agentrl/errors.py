"""Every error AgentRL raises on purpose.

    AgentRLError
    ├── ConfigError (ValueError)          a setting is wrong; the message names it and the fix
    ├── UnknownNameError (KeyError)       nothing of that name is registered
    ├── MissingExtraError (ImportError)   an optional package is not installed; names the extra
    ├── DataError (ValueError)            a file, panel or checkpoint is damaged or does not match
    ├── TemplateError (ValueError)        a chat template cannot be used token by token
    ├── ContextOverflow (ValueError)      a prompt is longer than the model's context
    ├── EnvironmentFailure (RuntimeError) an environment raised, hung, died or broke its contract
    │   └── ReplayMismatch                an environment is not deterministic and cannot be forked
    ├── EngineError (RuntimeError)        the inference engine failed or was closed
    ├── StatisticMissing (LookupError)    an algorithm asks for a statistic that was not computed
    └── TrainingDiverged (RuntimeError)   non-finite loss or gradient several times in a row

A failed episode is data, not an exception: the rollout turns `EnvironmentFailure` and `EngineError`
into a recorded stop reason (see `agentrl.tree.StopReason`).  Messages say what was wrong, what was
received, what is accepted and how to mend it.  All errors survive pickling.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AgentRLError(Exception):
    """Base of all errors raised on purpose by AgentRL."""


class ConfigError(AgentRLError, ValueError):
    """A setting has a wrong value or type, or two settings do not go together."""


class UnknownNameError(AgentRLError, KeyError):
    """A name is not registered; the message holds the nearest known one."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class MissingExtraError(AgentRLError, ImportError):
    """An optional dependency is not installed."""


class DataError(AgentRLError, ValueError):
    """A stored file is damaged, has an unknown version, or does not belong to this run."""


class TemplateError(AgentRLError, ValueError):
    """A chat template is missing or cannot be used append-only."""


class ContextOverflow(AgentRLError, ValueError):
    """A prompt leaves no room for a single new token in the model's context."""


class EnvironmentFailure(AgentRLError, RuntimeError):
    """An environment call failed.

    Attributes:
        kind: `raised`, `timeout`, `died` or `contract` (wrong types returned).
    """

    def __init__(self, message: str, kind: str = "raised") -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class ReplayMismatch(EnvironmentFailure):
    """Repeated actions led an environment elsewhere: it is not deterministic."""

    def __init__(self, message: str, kind: str = "contract") -> None:
        super().__init__(message, kind)


class EngineError(AgentRLError, RuntimeError):
    """The inference engine failed while serving a request, or is closed."""


class StatisticMissing(AgentRLError, LookupError):
    """An algorithm needs a statistic that the learner was not asked to compute."""


class TrainingDiverged(AgentRLError, RuntimeError):
    """Loss or gradient was not finite several updates in a row."""


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """Build the error for an unknown `name` with the closest entry of `known`.

    Args:
        kind: what the name names, for example "environment".
        name: the name that was asked for.
        known: all accepted names.
        hint: one more sentence, for example which command lists the names.
    """
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    nearest = f" Did you mean {close[0]!r}?" if close else ""
    listing = "" if close or len(options) > 12 else f" Known: {', '.join(options) or 'none'}."
    return UnknownNameError(
        f"Unknown {kind} {name!r}.{nearest}{listing}{' ' + hint if hint else ''}"
    )
