"""A policy that really does something, in whole answers and from inside begun ones."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agentrl.engines import Completion
from agentrl.envs import Info
from agentrl.envs.base import Prompt
from agentrl.envs.prompts import written_answer
from agentrl.rollout.policy import EpisodeKey, seed_of

_OBJECT = re.compile("OBJ")
OTHER_WORDS = ("sing", "go north", "look around", "dance <action>", "0", "</think>")


class WanderingPolicy:
    """Answers with random possible actions, fixed by the episode and the turn; notes everything.

    Now and then it says anything.  Where the prompt ends inside an answer it does so half of the
    time, and otherwise goes on to the answer of a possible action that begins like this, if there
    is one.

    Args:
        tokenizer: of `agentrl.models.tiny`, whose last `<|assistant|>` begins the answer.
        prompt: says how an action is written.
        seed: of all choices.
        seconds: most that a turn takes; turns then overlap.

    Attributes:
        asked: prompt by (episode, turn).
        answered: completion by (episode, turn).
        begun: how many begun answers became that of a possible action (True), and how many not.
    """

    def __init__(self, tokenizer: Any, prompt: Prompt, seed: int, seconds: float = 0.0) -> None:
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.seed = seed
        self.seconds = seconds
        self.asked: dict[tuple[EpisodeKey, int], list[int]] = {}
        self.answered: dict[tuple[EpisodeKey, int], Completion] = {}
        self.begun: Counter[bool] = Counter()
        self._opening = tokenizer.convert_tokens_to_ids("<|assistant|>")

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Return a turn with random log-probs and entropies."""
        assert (key, turn) not in self.asked, f"turn {turn} of {key} is asked for twice"
        self.asked[key, turn] = list(prompt_ids)
        rng = random.Random(seed_of(self.seed, key, turn))
        answer = self._answer(self._shared(prompt_ids), info, rng)
        await asyncio.sleep(self.seconds * rng.random())
        ids = [*answer, self.tokenizer.eos_token_id][:room]
        completion = Completion(
            ids=ids,
            logprobs=[-rng.random() for _ in ids],
            entropies=[3 * rng.random() for _ in ids],
            stop="stop_id" if len(answer) < room else "length",
            versions=[(turn, 1), (turn + 1, len(ids) - 1)][: len(ids)],
        )
        self.answered[key, turn] = completion
        return completion

    def finish(self, key: EpisodeKey) -> None:
        """Nothing to free."""

    def _shared(self, prompt_ids: Sequence[int]) -> list[int]:
        """Return the tokens of the answer that are there already."""
        return list(prompt_ids[len(prompt_ids) - prompt_ids[::-1].index(self._opening) :])

    def _answer(self, shared: list[int], info: Info, rng: random.Random) -> list[int]:
        """Return an answer without what is there of it."""
        answers = [self._encode(written_answer(self.prompt, a)) for a in possible(info, rng)]
        fitting = [ids[len(shared) :] for ids in answers if ids[: len(shared)] == shared]
        sensible = bool(fitting) and rng.random() < (0.5 if shared else 0.9)
        if shared:
            self.begun[sensible] += 1
        if sensible:
            return rng.choice(fitting)
        return self._encode(" ".join(rng.choices(OTHER_WORDS, k=rng.randrange(1, 4))))

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def possible(info: Info, rng: random.Random) -> list[str]:
    """Return actions that make sense, the expert's as often as all others together."""
    actions = info.get("admissible_actions") or made_up(info, rng, 20)
    expert = info.get("expert_action")
    return [*actions, *[expert] * len(actions)] if expert else actions


def made_up(info: Info, rng: random.Random, count: int) -> list[str]:
    """Fill ScienceWorld's templates with things that are there; empty elsewhere."""
    templates = [text for text in info.get("action_templates", ()) if "focus" not in text]
    actions = rng.choices(templates, k=count) if templates else []
    return [_OBJECT.sub(lambda _: rng.choice(info["objects"]), action) for action in actions]
