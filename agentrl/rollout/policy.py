"""Who chooses the actions in an episode: the model through an engine, or an expert."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agentrl.engines.base import Completion, Engine, SamplingParams, StopKind
from agentrl.envs.base import Info
from agentrl.errors import EnvironmentFailure


@dataclass(frozen=True, order=True, slots=True)
class EpisodeKey:
    """Names an episode of a rollout: the tree it grows in and its number there."""

    tree: str
    episode: int

    def __str__(self) -> str:
        return f"{self.tree}#{self.episode}"


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed that depends on every part and on nothing else."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Encode(Protocol):
    """Text to token ids."""

    def __call__(self, text: str) -> list[int]:
        """Return the ids of `text`, without special tokens."""


class Policy(Protocol):
    """Chooses the next model turn."""

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Return the next turn.

        Args:
            prompt_ids: the sequence so far.
            key: the episode that asks.
            turn: its turn, from 0.
            room: most tokens the turn may have.
            info: the environment's `info` for the observation to answer.
        """

    def finish(self, key: EpisodeKey) -> None:
        """Say that the episode has ended."""


class ModelPolicy:
    """Samples turns from an engine; every turn has a seed of its own.

    Args:
        engine: where completions come from.
        sampling: temperature, truncation and stops; its seed and `max_tokens` are set per turn.
        seed: with the episode's key and turn it fixes every sampled token, whatever the order
            in which episodes run.
    """

    def __init__(self, engine: Engine, sampling: SamplingParams, seed: int) -> None:
        self.engine = engine
        self.sampling = sampling
        self.seed = seed

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Sample one turn."""
        limit = min(self.sampling.max_tokens, room)
        params = replace(self.sampling, max_tokens=limit, seed=seed_of(self.seed, key, turn))
        return await self.engine.generate(prompt_ids, params, session=str(key))

    def finish(self, key: EpisodeKey) -> None:
        """Let the engine drop the episode's cache."""
        self.engine.release(str(key))


class ExpertPolicy:
    """Writes the environment's expert action, or at random an admissible one.

    Needs `info["expert_action"]`.  Random actions take the episode off the expert's path, so that
    imitation also learns to come back.  Those not to be imitated have policy version -1.

    Args:
        encode: an action to the ids of a whole turn.
        noise: probability of a random admissible action.
        imitate_noise: whether random actions are to be imitated like the expert's.
        seed: of the random choices.
    """

    RANDOM_VERSION = -1

    def __init__(
        self, encode: Encode, noise: float, seed: int, *, imitate_noise: bool = False
    ) -> None:
        self.encode = encode
        self.noise = noise
        self.imitate_noise = imitate_noise
        self.seed = seed

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        """Return the expert's turn as a completion with log-prob 0."""
        expert = info.get("expert_action")
        if not isinstance(expert, str):
            raise EnvironmentFailure(
                'The environment gives no info["expert_action"]; set `warmup.episodes=0` or make '
                "the environment name its expert action.",
                kind="contract",
            )
        rng = random.Random(seed_of(self.seed, key, turn))
        choices = info.get("admissible_actions") or [expert]
        noisy = rng.random() < self.noise
        action = rng.choice(choices) if noisy else expert
        ids = list(self.encode(action))
        skipped = noisy and action != expert and not self.imitate_noise
        version = self.RANDOM_VERSION if skipped else 0
        stop: StopKind = "stop_id" if len(ids) <= room else "length"
        ids = ids[:room]
        return Completion(
            ids=ids,
            logprobs=[0.0] * len(ids),
            entropies=[],
            stop=stop,
            versions=[(version, len(ids))],
        )

    def finish(self, key: EpisodeKey) -> None:
        """Nothing to free."""
