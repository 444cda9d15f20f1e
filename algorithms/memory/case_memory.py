"""The memory slot: cases of earlier episodes are shown in the prompts of later ones (Memento).

The trainer asks the running memory for the system text of every episode, and gives it every episode
that ended.  Episodes of one group see the same cases, because the bank only grows between steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.memory.cases import Case, CaseBank, render


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMemory:
    """Settings of a memory of cases.

    Source: Memento (Agent-on-the-Fly/Memento); K = 4 is its best reported, the code has 8.

    Attributes:
        cases_shown: K, most cases in a prompt.
        retrieval: `similarity` of the tasks, or `learned`: a retriever trained on what helped.
        max_cases: the oldest are dropped beyond it; None keeps all.
        fit_every: episodes between two trainings of the learned retriever.
    """

    cases_shown: int = 4
    retrieval: str = "similarity"
    max_cases: int | None = 10_000
    fit_every: int = 256

    def __post_init__(self) -> None:
        in_range("cases_shown", self.cases_shown, 1)
        one_of("retrieval", self.retrieval, ("similarity", "learned"))
        in_range("fit_every", self.fit_every, 1)

    def start(self) -> RunningCaseMemory:
        """Return an empty memory."""
        bank = CaseBank(max_cases=self.max_cases, distinct=True)
        return RunningCaseMemory(self, bank)


class RunningCaseMemory:
    """A bank of cases, and what is needed to train its retriever.

    Args:
        settings: how much is shown and kept.
        bank: the cases.
    """

    def __init__(self, settings: CaseMemory, bank: CaseBank) -> None:
        self.settings = settings
        self.bank = bank
        self._episodes = 0

    def system(self, text: str, task: str) -> str:
        """Return the system text with the cases that fit a task below it."""
        found = self._found(task)
        if not found:
            return text
        shown = render(found, self.settings.cases_shown)
        return f"{text}\n\n{shown}" if text else shown

    def add(self, task: str, plan: str, reward: float) -> None:
        """Keep an episode that ended, and train the retriever where that is due."""
        if self.settings.retrieval == "learned":
            self.bank.record(task, self._found(task), reward)
        self.bank.add(Case(task, plan, reward))
        self._episodes += 1
        if self.settings.retrieval == "learned" and self._episodes % self.settings.fit_every == 0:
            good = sum(pair.success for pair in self.bank.pairs)
            if min(good, len(self.bank.pairs) - good) >= 2:
                self.bank.fit()

    def _found(self, task: str) -> list[Any]:
        learned = self.settings.retrieval == "learned" and self.bank.retriever is not None
        mode = "learned" if learned else "similarity"
        return self.bank.retrieve(task, self.settings.cases_shown, mode)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs."""
        return {"bank": self.bank.state_dict(), "episodes": self._episodes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.bank.load_state_dict(state["bank"])
        self._episodes = int(state["episodes"])
