"""The sides that `engines.py` compares, and the check that its engines agree."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from engine_workload import SAMPLED, Episode, history, requested_tokens
from torch import nn

from agentrl.engines import Completion, Engine, SamplingParams
from agentrl.engines.embedded import EmbeddedEngine

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.3}
"""Largest difference of log-probs and entropies between the engines, in nats."""


@dataclass(frozen=True)
class Played:
    """What playing some episodes took.

    Attributes:
        seconds: of the wall clock.
        cpu_seconds: of all processes of the side.
        requested: tokens that a side without any cache computes: per turn the prompt and the
            sampled tokens, without the last one.
        cached: of these, found in a cache, as the engine's `stats` count them.
        queries: tokens that vLLM looked up in its prefix cache.
        hits: of these, found, both as vLLM counts them.
        recomputed: tokens that the embedded engine computed again for want of memory.
    """

    seconds: float
    cpu_seconds: float
    requested: int
    cached: int = 0
    queries: int = 0
    hits: int = 0
    recomputed: int = 0


class EngineSide:
    """An engine of AgentRL; caches are empty before each measurement.

    Args:
        name: of the side.
        engine: that plays it.
        rest: seconds that the others wait after its turn: processes of vLLM go on spinning for a
            second after the last request.
    """

    def __init__(self, name: str, engine: Engine, rest: float = 0.0) -> None:
        self.name, self.engine, self.rest = name, engine, rest

    async def forget(self) -> None:
        """Drop all cached keys and values."""
        await self.engine.update_weights(None, self.engine.version)

    async def play(self, episodes: Sequence[Episode]) -> Played:
        """Play episodes at once, from empty caches."""
        await self.forget()
        before = self._counts()
        begun, cpu = time.perf_counter(), self.cpu_seconds()
        await asyncio.gather(*(self.episode(episode) for episode in episodes))
        seconds, cpu = time.perf_counter() - begun, self.cpu_seconds() - cpu
        counts = [after - start for after, start in zip(self._counts(), before, strict=True)]
        for episode in episodes:
            self.engine.release(str(episode.number))
        if counts[0] != requested_tokens(episodes):
            raise SystemExit(f"{self.name} did not sample {SAMPLED} tokens in every turn.")
        return Played(seconds, cpu, *counts)

    async def episode(
        self, episode: Episode, temperature: float = 1.0
    ) -> list[tuple[list[int], Completion]]:
        """Play one episode; returns of each turn the prompt and the completion."""
        turns, ids = [], list(episode.prompt)
        for turn, observation in enumerate(episode.observations):
            params = SamplingParams(
                temperature=temperature, max_tokens=SAMPLED, seed=episode.number * 1000 + turn
            )
            completion = await self.engine.generate(ids, params, session=str(episode.number))
            turns.append((ids, completion))
            ids = ids + completion.ids + observation
        return turns

    async def first_tokens(self, prompts: Sequence[list[int]]) -> tuple[float, int]:
        """Sample one token after each prompt, all at once; returns seconds and cached tokens."""
        begun = time.perf_counter()
        params = [SamplingParams(max_tokens=1, seed=number) for number in range(len(prompts))]
        asked = map(self.engine.generate, prompts, params)
        completions = await asyncio.gather(*asked)
        seconds = time.perf_counter() - begun
        return seconds, sum(completion.cached_tokens for completion in completions)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of this process, and for vLLM of those that it started."""
        own = time.process_time()
        return own if self.name == "embedded" else own + _cpu_of_children(os.getpid())

    def _counts(self) -> tuple[int, ...]:
        stats = self.engine.stats
        queries, hits = getattr(self.engine, "cache_counts", (0, 0))
        own = stats.requested_tokens, stats.cached_tokens
        return *own, queries, hits, stats.recomputed_tokens


def _cpu_of_children(pid: int | str) -> float:
    seconds = 0.0
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listed.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            seconds += _cpu_of_children(child)
    return seconds


class HFSide:
    """`generate` of transformers: a batch padded on the left, its whole history every turn.

    Only some turns of some episodes are computed, at their planned lengths; time is interpolated
    between these turns and multiplied up to all episodes, which is fair as soon as the batch is
    large enough to keep the machine busy.
    """

    name, rest = "hf", 0.0

    def __init__(self, model: Any, most_episodes: int, measured_turns: int) -> None:
        self._model, self._most, self._turns = model, most_episodes, measured_turns

    def measured(self, episodes: Sequence[Episode]) -> tuple[int, list[int]]:
        """Return how many episodes, and which turns, are computed."""
        last = len(episodes[0].observations) - 1
        steps = max(1, min(self._turns - 1, last))
        return min(self._most, len(episodes)), sorted({last * k // steps for k in range(steps + 1)})

    async def play(self, episodes: Sequence[Episode]) -> Played:
        """Compute the measured turns, and return what all would have taken."""
        count, turns = self.measured(episodes)
        seconds, cpu_seconds = [], []
        for turn in turns:
            histories = [history(episode, turn) for episode in episodes[:count]]
            begun, cpu = time.perf_counter(), time.process_time()
            self._generate(histories)
            seconds.append(time.perf_counter() - begun)
            cpu_seconds.append(time.process_time() - cpu)
        scale = len(episodes) / count
        return Played(
            scale * _interpolated(turns, seconds),
            scale * _interpolated(turns, cpu_seconds),
            requested_tokens(episodes),
        )

    @torch.inference_mode()
    def _generate(self, histories: list[list[int]]) -> None:
        longest = max(map(len, histories))
        rows = [[0] * (longest - len(ids)) + ids for ids in histories]
        padded = torch.tensor(rows, device=self._model.device)
        out = self._model.generate(
            padded,
            attention_mask=(padded != 0).long(),
            do_sample=True,
            top_k=0,
            max_new_tokens=SAMPLED,
            min_new_tokens=SAMPLED,
        )
        assert out.tolist() and out.shape[1] == longest + SAMPLED  # waits for the accelerator


def _interpolated(turns: list[int], seconds: list[float]) -> float:
    """Return the sum over all turns, from the seconds of some, the first and the last included."""
    total = seconds[0]
    for k in range(1, len(turns)):
        steps = turns[k] - turns[k - 1]
        slope = (seconds[k] - seconds[k - 1]) / steps
        total += sum(seconds[k - 1] + slope * step for step in range(1, steps + 1))
    return total


def embedded_side(model: nn.Module, context: int, memory: int) -> EngineSide:
    engine = EmbeddedEngine(
        model, cache_bytes=memory, max_context=context, max_batch_tokens=max(2048, context)
    )
    return EngineSide("embedded", engine)


def vllm_side(model: nn.Module, context: int, memory: int, placement: Any) -> EngineSide:
    """Start vLLM.

    Raises:
        MissingExtraError: it is not installed.
    """
    from agentrl.engines.vllm import VLLMSettings, start

    engine = start(
        model,
        settings=VLLMSettings(placement=placement),
        dtype=next(model.parameters()).dtype,
        max_context=context,
        max_batch_tokens=max(2048, context),
        cache_bytes=memory,
    )
    return EngineSide("vllm", engine, rest=1.5 if placement == "process" else 0.0)


async def check_same(engines: list[EngineSide], episode: Episode, dtype: torch.dtype) -> None:
    """Stop unless a greedy episode is the same on all engines, to rounding.

    In bfloat16 tokens may differ where two are almost equally probable: each turn is compared up
    to there, and the turns after it have another prompt and are not compared.
    """
    first, *others = [await side.episode(episode, temperature=0.0) for side in engines]
    for side, turns in zip(engines[1:], others, strict=True):
        worst, compared = 0.0, 0
        for (prompt, one), (other_prompt, other) in zip(first, turns, strict=True):
            if prompt != other_prompt:
                break
            same = [a == b for a, b in zip(one.ids, other.ids, strict=True)]
            count = len(list(itertools.takewhile(bool, same)))
            compared += count
            pairs = [
                *zip(one.logprobs[:count], other.logprobs[:count], strict=True),
                *zip(one.entropies[:count], other.entropies[:count], strict=True),
            ]
            worst = max([worst, *(abs(a - b) for a, b in pairs)])
        wanted = SAMPLED * len(turns) if dtype == torch.float32 else 1
        if compared < wanted or not worst <= TOLERANCE[dtype]:
            raise SystemExit(
                f"{engines[0].name} and {side.name} disagree: {compared} greedy tokens are the same"
                f" (at least {wanted} must be), log-probs or entropies differ by up to {worst:.1e}"
                f" (at most {TOLERANCE[dtype]:.0e} may be)."
            )
        print(f"check: {engines[0].name} and {side.name} agree to {worst:.1e} in {compared} tokens")
