"""What rollout tests share: a real engine over a random model, and watchers around it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import torch

from agentrl.engines import Completion, SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.envs.textworld import CompactPrompt
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.policy import ModelPolicy
from agentrl.tokens import ContextMode, Renderer

torch.set_num_threads(1)


class WatchedEngine(EmbeddedEngine):
    """The real engine; notes what it is asked and can be told to fail."""

    def __init__(self, *arguments: Any, fail_at: Sequence[int] = (), **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.asked: list[tuple[str | None, list[int]]] = []
        self.answered: dict[tuple[str | None, int], list[int]] = {}
        self.released: list[str] = []
        self.fail_at = set(fail_at)

    async def generate(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, session: str | None = None
    ) -> Completion:
        number = len(self.asked)
        self.asked.append((session, list(prompt_ids)))
        if number in self.fail_at:
            self._fail_next_step()
        completion = await super().generate(prompt_ids, params, session=session)
        self.answered[session, len(prompt_ids)] = completion.ids
        return completion

    def _fail_next_step(self) -> None:
        forward = self._forward

        def broken(*_: Any) -> Any:
            self._forward = forward  # type: ignore[method-assign]
            raise RuntimeError("the device is on fire")

        self._forward = broken  # type: ignore[method-assign]

    def release(self, session: str) -> None:
        self.released.append(session)
        super().release(session)


def episode_settings(tokenizer: Any, **changes: Any) -> EpisodeSettings:
    settings: dict[str, Any] = {
        "renderer": Renderer(tokenizer),
        "prompt": CompactPrompt(),
        "context": ContextMode(),
        "max_turns": 5,
        "max_tokens_per_turn": 6,
        "max_context": 512,
    }
    return EpisodeSettings(**settings | changes)


def model_policy(engine: EmbeddedEngine, settings: EpisodeSettings, seed: int = 0) -> ModelPolicy:
    sampling = SamplingParams(
        max_tokens=settings.max_tokens_per_turn, stop_ids=settings.renderer.stop_ids
    )
    return ModelPolicy(engine, sampling, seed)


def run(coroutine: Any, seconds: float = 60.0) -> Any:
    """Run a coroutine to its end, with a deadline."""

    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, seconds)

    return asyncio.run(bounded())
