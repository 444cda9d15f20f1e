"""Memento: learning from a memory of cases."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.memory.case_memory import CaseMemory
from agentrl.algorithms.methods.grpo import grpo
from agentrl.algorithms.registry import method


@method(
    family="memory",
    source="Memento (arXiv 2508.16153); Agent-on-the-Fly/Memento",
    provenance="official vectors",
)
def memento(
    *,
    cases_shown: int = 4,
    retrieval: str = "similarity",
    max_cases: int | None = 10_000,
    fit_every: int = 256,
    kl_coefficient: float = 0.0,
) -> Algorithm:
    """Memento: cases of similar tasks in the prompt, good ones to follow and bad ones to avoid.

    After each episode (task, actions, reward 0 or 1) is kept; before one the `cases_shown` nearest
    cases are written below the system text.  Nearest is the cosine of hashed n-grams
    (`retrieval=similarity`), or the probability of success that a small network learned from the
    cases shown so far (`learned`), trained anew every `fit_every` episodes.

    Source: Memento (arXiv 2508.16153); Agent-on-the-Fly/Memento.  There the model's weights stay as
    they are; here the memory is a slot beside GRPO, and `learner.learning_rate` decides how much
    the weights move.
    """
    memory = CaseMemory(
        cases_shown=cases_shown, retrieval=retrieval, max_cases=max_cases, fit_every=fit_every
    )
    return replace(grpo(kl_coefficient=kl_coefficient), name="memento", memory=memory)
