"""The engine for GPUs: vLLM, token ids in and out, with the learner's weights of every version."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agentrl.engines.base import Completion, EngineStats, SamplingParams, StopKind, check_sampling
from agentrl.engines.gate import Gate
from agentrl.engines.prompts import check_prompt
from agentrl.engines.vllm.arguments import sampling_arguments
from agentrl.engines.vllm.backend import Adapter, Answer, Backend, Request
from agentrl.engines.vllm.notes import Note, Notes
from agentrl.engines.vllm.transfer import WeightTransfer
from agentrl.engines.weights import Expected
from agentrl.errors import ConfigError, EngineError


class VLLMEngine:
    """Samples from a vLLM that runs in this process, beside it, or as a server.

    `agentrl.engines.vllm.start` builds one.  vLLM finds common beginnings of prompts itself, so
    sessions and branches need not be named.

    Args:
        backend: the running vLLM.
        transfer: how new weights get there.
        expected: names and shapes of the model's weights.
        vocabulary: number of token ids.
        max_context: longest prompt plus completion.
        dtype: of vLLM's weights; others are converted before they are sent.
        stop_strings: whether vLLM has a tokenizer, which stop strings need.
        exact_entropy: whether vLLM lets its logits be looked at.
        timeout: seconds after which a completion or an update is given up.
    """

    def __init__(
        self,
        backend: Backend,
        transfer: WeightTransfer,
        expected: Expected,
        *,
        vocabulary: int,
        max_context: int,
        dtype: torch.dtype,
        stop_strings: bool,
        exact_entropy: bool = True,
        timeout: float = 600.0,
    ) -> None:
        self._backend, self._transfer, self._expected = backend, transfer, expected
        self._vocabulary, self._max_context, self._dtype = vocabulary, max_context, dtype
        self._stop_strings, self._exact, self._timeout = stop_strings, exact_entropy, timeout
        self._notes = Notes(backend)
        self._stats = EngineStats()
        self._name = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._version = 0
        self._adapter: Adapter | None = None
        self._adapters = itertools.count(1)
        self._gate = Gate(timeout)
        self._busy_with = 0
        self._busy_since = 0.0
        self._asleep = False
        self._failure: str | None = None
        self._closed = False

    @property
    def version(self) -> int:
        """Version of the weights that the next token will be sampled with."""
        return self._version

    @property
    def max_context(self) -> int:
        """Longest prompt plus completion, in tokens."""
        return self._max_context

    @property
    def temperature_rules(self) -> bool:
        """False: vLLM has one temperature for all tokens of a completion."""
        return False

    @property
    def shares_weights(self) -> bool:
        """False: vLLM has weights of its own."""
        return False

    @property
    def stats(self) -> EngineStats:
        """Counters since the engine started.

        Steps and sampled tokens are vLLM's own; tokens that running requests compute again after a
        change of weights are not counted by it.
        """
        stats, counters = self._stats, self._backend.counters
        stats.steps, stats.sampled_tokens = counters.steps, counters.sampled_tokens
        if self._busy_with:
            self._add_busy()
        return stats

    @property
    def cache_counts(self) -> tuple[int, int]:
        """(tokens looked up in vLLM's prefix cache, tokens found there), as vLLM counts them."""
        return self._backend.counters.cache_queries, self._backend.counters.cache_hits

    async def generate(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, session: str | None = None
    ) -> Completion:
        """Sample one completion; see `agentrl.engines.base.Engine.generate`.

        Raises:
            ConfigError: the prompt is empty or holds unknown ids, or stop strings are asked for
                without a tokenizer, or a temperature for every token.
            ContextOverflow: the prompt is not shorter than `max_context`.
            EngineError: vLLM failed, gave no completion in time, or was closed.
        """
        check_sampling(self, params)
        tokens = list(prompt_ids)
        check_prompt(tokens, self._vocabulary, self._max_context)
        if params.stop_strings and not self._stop_strings:
            raise ConfigError(
                "`sampling.stop_strings` needs a tokenizer; build the engine with `tokenizer=`, or "
                "use `sampling.stop_ids`."
            )
        number = next(self._numbers)
        await self.wake()
        async with self._gate.request():
            self._check_usable()
            with self._busy():
                return await self._sample(self._request(tokens, params, number))

    def release(self, session: str) -> None:
        """Nothing to free here; vLLM drops what it does not need."""

    async def update_weights(
        self,
        weights: Iterable[tuple[str, Tensor]] | None,
        version: int,
        *,
        in_flight: bool = False,
    ) -> None:
        """Use new weights from now on; drops every cached key and value.

        Args:
            weights: the complete state dict; None with the present version only drops the caches.
            version: of the new weights.
            in_flight: requests that are running go on with the new weights, and their tokens are
                computed anew; by default they end with the old ones first.  Requests that come
                meanwhile wait.

        Raises:
            ConfigError: a name is unknown or missing or a shape differs, or there are no weights
                for a new version; nothing is changed.
            EngineError: the weights did not arrive, and nothing is sampled until others do; or
                running requests did not end in time.
        """
        self._check_open()
        if weights is None:
            self._check_unchanged(version)
            await self._within(self._backend.drop_caches(), "drop its caches")
            return
        if in_flight and not self._exact:
            raise ConfigError(
                "`in_flight` needs the version of every token, which comes with exact entropies; "
                "leave it out, or set `engine.vllm.entropy=exact`."
            )
        named = self._expected.checked(weights)
        ready = [(name, tensor.detach().to(self._dtype)) for name, tensor in named.items()]
        await self._change(self._transfer.send(self._backend, ready, version), version, in_flight)

    async def update_adapter(self, folder: Path, version: int) -> None:
        """Sample with LoRA adapters from now on; running requests end with those they began with.

        Args:
            folder: with `adapter_config.json` and `adapter_model.safetensors`; read at once.
            version: of the policy.

        Raises:
            EngineError: vLLM does not take them.
        """
        self._check_usable()
        await self.wake()
        old, new = self._adapter, Adapter(version, folder, next(self._adapters))
        await self._within(self._backend.add_adapter(new), "load the adapters")
        self._version, self._adapter = version, new
        if old is not None:
            await self._gate.drained()
            await self._backend.remove_adapter(old)

    async def sleep(self) -> None:
        """Give back the accelerator's memory until `wake`, new weights or the next request.

        Raises:
            EngineError: requests are running, and do not end in time.
        """
        if self._asleep:
            return
        self._check_usable()
        async with self._gate.update(in_flight=False):
            await self._within(self._backend.sleep(), "sleep")
            self._asleep = True

    async def wake(self) -> None:
        """Take the memory again."""
        if self._asleep:
            async with self._gate.update(in_flight=True):  # one of many requests, the others wait
                await self._wake()

    async def close(self) -> None:
        """End vLLM; running requests fail with `EngineError`."""
        self._closed = True
        await self._transfer.close()
        await self._backend.close()

    # -- requests --------------------------------------------------------------------------------

    def _request(self, tokens: list[int], params: SamplingParams, number: int) -> Request:
        tag = f"agentrl-{self._name}-{number}"
        sampling = sampling_arguments(
            params,
            prompt=len(tokens),
            max_context=self._max_context,
            seed=number if params.seed is None else params.seed,
            tag=tag,
            exact=self._exact,
        )
        return Request(tag, tokens, sampling, self._adapter)

    async def _sample(self, request: Request) -> Completion:
        started, version = time.monotonic(), self._version
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._backend.generate(request)
                _check_answer(answer)
                if not self._exact:
                    note = Note(answer.entropies, [version] * len(answer.ids))
                else:
                    note = await self._notes.take(request.tag)
        except TimeoutError:
            self._notes.drop(request.tag)
            raise EngineError(f"vLLM gave no completion within {self._timeout:g} s.") from None
        except BaseException:
            self._notes.drop(request.tag)
            raise
        completion = self._completion(request, answer, note, time.monotonic() - started)
        self._count(len(request.prompt_ids), completion)
        return completion

    def _completion(
        self, request: Request, answer: Answer, note: Note, seconds: float
    ) -> Completion:
        count = len(answer.ids)
        if len(note.entropies) < count:
            raise EngineError(
                f"vLLM sampled {count} tokens, and its workers noted {len(note.entropies)}."
            )
        versions = note.versions[:count]
        if request.adapter is not None:
            versions = [request.adapter.version] * count
        stop, stop_string = _stop(answer)
        return Completion(
            ids=answer.ids,
            logprobs=answer.logprobs,
            entropies=note.entropies[:count],
            entropy_exact=self._exact,
            stop=stop,
            stop_string=stop_string,
            versions=[(version, len(list(run))) for version, run in groupby(versions)],
            cached_tokens=answer.cached_tokens,
            seconds=seconds,
        )

    def _count(self, prompt: int, completion: Completion) -> None:
        stats, sampled = self._stats, len(completion.ids)
        stats.requests += 1
        stats.prompt_tokens += prompt
        stats.cached_tokens += completion.cached_tokens
        stats.requested_tokens += prompt + sampled - 1
        stats.computed_tokens += prompt + sampled - 1 - completion.cached_tokens

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Count the time in which vLLM has anything to do."""
        if not self._busy_with:
            self._busy_since = time.monotonic()
        self._busy_with += 1
        try:
            yield
        finally:
            self._busy_with -= 1
            if not self._busy_with:
                self._add_busy()

    def _add_busy(self) -> None:
        now = time.monotonic()
        self._stats.busy_seconds += now - self._busy_since
        self._busy_since = now

    # -- changes ---------------------------------------------------------------------------------

    async def _change(self, work: Coroutine[Any, Any, None], version: int, in_flight: bool) -> None:
        """Let `work` change the weights while nothing is sampled and what comes waits."""
        try:
            async with self._gate.update(in_flight=in_flight):
                await self._wake()
                await self._within(self._backend.pause(), "pause")
                self._failure = (
                    f"New weights (version {version}) did not arrive; update the weights again, or "
                    "build a new engine."
                )
                await self._within(work, "take over the new weights")
                self._version, self._adapter, self._failure = version, None, None
                await self._within(self._backend.resume(), "go on")
        finally:
            work.close()  # where it was not begun

    async def _wake(self) -> None:
        if self._asleep:
            await self._within(self._backend.wake(), "wake up")
            self._asleep = False

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("The engine is closed; build a new one.")

    def _check_usable(self) -> None:
        self._check_open()
        if self._failure is not None:
            raise EngineError(self._failure)

    def _check_unchanged(self, version: int) -> None:
        if version != self._version:
            raise ConfigError(
                f"`update_weights` got version {version} without weights, but vLLM has version "
                f"{self._version} in a copy of its own; give it the state dict."
            )

    async def _within(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            await asyncio.wait_for(work, self._timeout)
        except TimeoutError:
            raise EngineError(f"vLLM did not {what} within {self._timeout:g} s.") from None


def _check_answer(answer: Answer) -> None:
    if not answer.ids:
        raise EngineError("vLLM ended the request before its first token.")
    if len(answer.logprobs) != len(answer.ids):
        raise EngineError(
            f"vLLM gave {len(answer.logprobs)} log-probs for {len(answer.ids)} token ids."
        )
    if any(logprob != logprob for logprob in answer.logprobs):
        raise EngineError("The model returned logits that are not finite.")


def _stop(answer: Answer) -> tuple[StopKind, str | None]:
    """Return what ended a completion, and the stop string if it was one."""
    if answer.finish == "length":
        return "length", None
    if answer.finish == "abort":
        return "cancelled", None
    if isinstance(answer.stop_reason, str):
        return "stop_string", answer.stop_reason
    return "stop_id", None
