"""What a vLLM worker notes of every token it samples: its entropy, and the version of the weights.

vLLM gives neither.  The tap (`tap.py`) writes them here while it samples, the worker extension
(`worker.py`) hands them out when a request has ended.  Both live in vLLM's worker process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

TAG = "agentrl_tag"
"""Key of a request's tag in `SamplingParams.extra_args`; requests without one are not noted."""

_REMEMBERED = 4096
"""Taken requests that are remembered: vLLM may go on with one for a moment after its end."""
_CHUNK = 64
"""Rows whose entropies are computed at once: bounds the memory for large vocabularies."""


@dataclass(slots=True)
class _Step:
    """Entropies of one forward pass; copied to the host when they are first read."""

    entropies_R: Tensor
    version: int
    _host: list[float] | None = None

    def entropy(self, row: int) -> float:
        if self._host is None:
            self._host = self.entropies_R.tolist()
        return self._host[row]


@dataclass(slots=True)
class Records:
    """Notes of the tokens of running and of ended requests, by tag.

    Attributes:
        version: of the weights that are in use.
    """

    version: int = 0
    _notes: dict[str, dict[int, tuple[_Step, int]]] = field(default_factory=dict)
    _taken: dict[str, None] = field(default_factory=dict)

    def note(self, rows: Sequence[tuple[int, str, int]], entropies_R: Tensor) -> None:
        """Note one forward pass.

        A place that is noted again holds what was noted last: a prompt that is computed in parts,
        or again after a change of weights, passes here without a token being sampled.

        Args:
            rows: (row, tag, place of the token in its completion).
            entropies_R: of all rows, in nats.
        """
        step = _Step(entropies_R, self.version)
        for row, tag, place in rows:
            if tag not in self._taken:
                self._notes.setdefault(tag, {})[place] = (step, row)

    def take(self, tags: Iterable[str]) -> dict[str, dict[str, list[float] | list[int]]]:
        """Return and forget the notes of requests: `entropies` and `versions`, one per token.

        They may go beyond the last token of a completion, because vLLM may have sampled more than
        it returns; they end where a place was never noted.
        """
        taken = {tag: _lists(self._notes.pop(tag, {})) for tag in tags}
        self._taken |= dict.fromkeys(taken)
        for tag in list(self._taken)[: max(0, len(self._taken) - _REMEMBERED)]:
            del self._taken[tag]
        return taken


def _lists(notes: dict[int, tuple[_Step, int]]) -> dict[str, list[float] | list[int]]:
    entropies: list[float] = []
    versions: list[int] = []
    while (note := notes.get(len(entropies))) is not None:
        step, row = note
        entropies.append(step.entropy(row))
        versions.append(step.version)
    return {"entropies": entropies, "versions": versions}


def entropies_of(logits_RV: Tensor, temperatures_R: Tensor) -> Tensor:
    """Return the entropy of each row's softmax at its temperature, [R], in nats."""
    parts = []
    for start in range(0, len(logits_RV), _CHUNK):
        rows = slice(start, start + _CHUNK)
        scaled = logits_RV[rows].float() / temperatures_R[rows, None]
        logprobs = torch.log_softmax(scaled, dim=-1)
        # 0 log 0 = 0: a token that cannot be drawn has log-prob -inf.
        terms = torch.where(logprobs.isfinite(), logprobs.exp() * logprobs, 0.0)
        parts.append(-terms.sum(-1))
    return torch.cat(parts)


_of_engine: dict[str, Records] = {}


def records_of(instance: str) -> Records:
    """Return the records of one engine of this process, by vLLM's name for it."""
    return _of_engine.setdefault(instance, Records())
