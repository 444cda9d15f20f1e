"""Ask a model for its first answer to tasks: plainly, with an answer shown, changed a little."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from agentrl.analysis.self_critique import (
    min_k,
    min_k_plus_plus,
    peak,
    perplexity,
    recall_ratio,
    self_critique_score,
)
from agentrl.engines.base import Completion, Engine, SamplingParams
from agentrl.envs.prompts import is_step_prompt
from agentrl.errors import EnvironmentFailure
from agentrl.learner.packing import Run as Span
from agentrl.learner.tree_attention import TreeAttention
from agentrl.models.attention import hidden_states
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.policy import seed_of
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import ContextMode, Conversation
from agentrl.types import Task, shown_text

MAIN = "Self-Critique"
CRITIQUE = (
    "\n\nSomebody has answered this before, rightly or wrongly:\n<answer>\n{answer}\n</answer>\n"
    "Find an answer by a line of thought of your own that differs from theirs, and give it now:"
)
PERTURBED = "Please think carefully about the following.\n\n{message}\n\nThat is all."
RESERVE = 50
"""Tokens left free beside prompt and shown answer, as in the released code."""
TEMPERATURE, TOP_P = 0.8, 0.95
"""Of the sampled answers (CDD), as in the released code."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a task asks first.

    Attributes:
        task: the task.
        system: system text; None where there is none.
        message: the first observation, as the prompt shows it.
    """

    task: Task
    system: str | None
    message: str


@dataclass(slots=True)
class Answers:
    """What the model said to one question.

    Attributes:
        question: what was asked.
        prompt: ids of the plain prompt.
        first: greedy answer.
        critique: greedy answer with the first one shown; None where it does not fit the context.
        perturbed: greedy answer to a harmlessly changed prompt, if asked for.
        samples: sampled answers, if asked for.
    """

    question: Question
    prompt: list[int]
    first: Completion
    critique: Completion | None
    perturbed: Completion | None = None
    samples: list[Completion] = field(default_factory=list)


async def questions(
    tasks: Sequence[Task], pool: EnvPool, settings: EpisodeSettings
) -> tuple[list[Question], list[str]]:
    """Return the first prompt of every task that can be started, and the ids of the others."""

    async def ask(task: Task) -> Question | None:
        try:
            async with pool.lease() as handle:
                observation, info = await handle.reset(task)
        except EnvironmentFailure:
            return None
        prompt = settings.prompt
        if is_step_prompt(prompt):
            message = prompt.message(observation, info, [])
        else:
            message = shown_text(prompt.observe(observation, info))
        return Question(task, prompt.system(info), message)

    found = await asyncio.gather(*(ask(task) for task in tasks))
    failed = [task.id for task, one in zip(tasks, found, strict=True) if one is None]
    return [one for one in found if one is not None], failed


class Asker:
    """Puts questions to a model.

    Args:
        engine: generates.
        settings: renderer and context.
        max_tokens: longest answer.
        seed: of sampled answers.
    """

    def __init__(
        self, engine: Engine, settings: EpisodeSettings, max_tokens: int, seed: int
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.max_tokens = max_tokens
        self.seed = seed

    async def ask(
        self, question: Question, *, baselines: bool = False, samples: int = 0
    ) -> Answers | None:
        """Return the answers to a question; None where its prompt alone fills the context.

        Args:
            question: what is asked.
            baselines: also ask the changed prompt.
            samples: sampled answers to the plain prompt.
        """
        prompt = self._prompt(question, question.message)
        if len(prompt) >= self.engine.max_context:
            return None
        first = await self._generate(prompt)
        found = Answers(question, prompt, first, await self._critique(question, first))
        if baselines:
            changed = self._prompt(question, PERTURBED.format(message=question.message))
            if len(changed) < self.engine.max_context:
                found.perturbed = await self._generate(changed)
            found.samples = list(
                await asyncio.gather(*(self._generate(prompt, n) for n in range(1, samples + 1)))
            )
        return found

    async def _critique(self, question: Question, first: Completion) -> Completion | None:
        """Ask again with the first answer shown, cut where the context is short."""
        empty = self._prompt(question, question.message + CRITIQUE.format(answer=""))
        room = self.engine.max_context - len(empty) - RESERVE
        if room < 1:
            return None
        shown = self.settings.renderer.parse(first.ids[:room]).text
        prompt = self._prompt(question, question.message + CRITIQUE.format(answer=shown))
        if len(prompt) >= self.engine.max_context:
            return None
        return await self._generate(prompt)

    def _prompt(self, question: Question, message: str) -> list[int]:
        conversation = Conversation(self.settings.renderer, ContextMode())
        return conversation.start(question.system, message)

    async def _generate(self, prompt: list[int], sample: int = 0) -> Completion:
        """Answer greedily, or draw the answer with this number."""
        params = SamplingParams(
            temperature=TEMPERATURE if sample else 0.0,
            top_p=TOP_P if sample else 1.0,
            max_tokens=min(self.max_tokens, self.engine.max_context - len(prompt)),
            stop_ids=self.settings.renderer.stop_ids,
            stop_strings=self.settings.prompt.stop_strings,
            seed=seed_of(self.seed, "self-critique", sample, *prompt),
        )
        return await self.engine.generate(prompt, params)


@torch.no_grad()
def moments(
    model: nn.Module, prompt: Sequence[int], answer: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of ln p under p where each answer token was drawn.

    Args:
        model: a causal LM with AgentRL's attention installed.
        prompt: ids before the answer, at least one.
        answer: ids of the answer.
    """
    device = next(model.parameters()).device
    ids_N = torch.tensor([*prompt, *answer], device=device)
    positions_N = torch.arange(len(ids_N), device=device)
    context = TreeAttention([Span(None, 0, len(ids_N), len(ids_N))])
    hidden_Nd = hidden_states(model, ids_N, positions_N, context)
    head: Any = model.get_output_embeddings()  # type: ignore[operator]
    logits_MV = head(hidden_Nd[len(prompt) - 1 : -1]).double()
    logs_MV = torch.log_softmax(logits_MV, -1)
    mean_M = (logs_MV.exp() * logs_MV).sum(-1)
    square_M = (logs_MV.exp() * logs_MV**2).sum(-1)
    deviation_M = (square_M - mean_M**2).clamp(min=1e-6).sqrt()
    return mean_M.tolist(), deviation_M.tolist()


def detector_scores(
    answers: Answers, model: nn.Module, *, baselines: bool = False
) -> dict[str, float]:
    """Return the score of every detector, turned so that high says: trained on.

    Args:
        answers: to one question, with all that the baselines need where they are wanted.
        model: that gave them.
        baselines: score the detectors it is compared with, too.

    Returns:
        By name of the detector; NaN where one has nothing to say.
    """
    first, second = answers.first, answers.critique
    found = {
        MAIN: math.nan if second is None else self_critique_score(first.entropies, second.entropies)
    }
    if not baselines:
        return found
    changed = answers.perturbed
    mean, deviation = moments(model, answers.prompt, first.ids)
    found["perplexity (negative)"] = -perplexity(first.logprobs)
    found["Min-20%"] = min_k(first.logprobs)
    found["Min-20%++"] = min_k_plus_plus(first.logprobs, mean, deviation)
    found["Recall"] = recall_ratio(changed.logprobs, first.logprobs) if changed else math.nan
    found["CDD"] = peak(first.ids, [sample.ids for sample in answers.samples])
    found["entropy, changed prompt"] = (
        self_critique_score(first.entropies, changed.entropies) if changed else math.nan
    )
    return found
