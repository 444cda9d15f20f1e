"""A policy that says what it is told to, for tests of what an episode does with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrl.engines import Completion
from agentrl.envs import Info
from agentrl.rollout.episode import EpisodeSettings, play
from agentrl.rollout.policy import EpisodeKey
from agentrl.rollout.workers import EnvPool
from agentrl.tree import Tree
from tests.rollout.restless import ENV_ID, RestlessEnv
from tests.rollout.rollouts import run


class ScriptedPolicy:
    """Gives fixed answers in order; notes the prompts as text."""

    def __init__(self, tokenizer: Any, answers: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.answers = answers
        self.prompts: list[str] = []

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        self.prompts.append(self.tokenizer.decode(prompt_ids))
        ids = self.tokenizer.encode(self.answers[turn], add_special_tokens=False)
        ids.append(self.tokenizer.eos_token_id)
        zeros = [0.0] * len(ids)
        return Completion(
            ids=ids, logprobs=zeros, entropies=[], stop="stop_id", versions=[(0, len(ids))]
        )

    def finish(self, key: EpisodeKey) -> None:
        pass


def play_script(
    settings: EpisodeSettings, tokenizer: Any, answers: Sequence[str], seed: int = 3
) -> tuple[Tree, list[str]]:
    """Play one restless episode of `3 + seed % 4` steps; return its tree and the prompts."""
    policy = ScriptedPolicy(tokenizer, answers)
    tree = Tree("t", RestlessEnv.panel("train", seed + 1)[seed])

    async def episode() -> None:
        async with EnvPool(1, env_ids=(ENV_ID,)) as pool:
            await play(tree, tree.add_episode(), settings, pool, policy)

    run(episode())
    return tree, policy.prompts
