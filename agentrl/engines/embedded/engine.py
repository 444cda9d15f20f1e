"""The engine that is always available: any Hugging Face causal LM, on CPU or GPU."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from agentrl.engines.base import Completion, EngineStats, SamplingParams
from agentrl.engines.embedded.attention import can_share
from agentrl.engines.embedded.cache import SequenceCache
from agentrl.engines.embedded.checks import check_settings
from agentrl.engines.embedded.layout import Layout, lay_out
from agentrl.engines.embedded.request import Request
from agentrl.engines.embedded.sampler import Draw, sample, uniforms
from agentrl.engines.embedded.scheduler import Scheduler
from agentrl.engines.embedded.stopping import Decoder, StopStrings
from agentrl.engines.embedded.store import KVShape
from agentrl.engines.gate import Gate
from agentrl.engines.prompts import check_prompt
from agentrl.engines.weights import load_weights
from agentrl.errors import ConfigError, EngineError
from agentrl.models.attention import hidden_states, install

_TURNS_OF_THE_LOOP = 3
"""Times other coroutines get to run after a completion, so that its next turn joins the batch."""


class EmbeddedEngine:
    """Continuous batching inside one asyncio event loop.

    Requests join and leave the running batch at any step.  Keys and values are kept from turn to
    turn, and a prompt that several requests share is computed, stored and attended to once.

    The model may be shared with a learner that trains it in place: after each update call
    `update_weights(None, version)`.  While requests are running the model is in evaluation mode.
    If a forward step raises, the requests in it fail with `EngineError` and the engine goes on.

    A completion depends on the weights, the prompt, the settings and the seed only, not on the
    requests beside it, up to floating-point rounding: see docs/engines.md for how far.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Decoder | None = None,
        *,
        max_batch_tokens: int = 2048,
        cache_bytes: int = 2 << 30,
        max_context: int | None = None,
        share_from: int = 128,
        seed: int = 0,
    ) -> None:
        """Take over a model; nothing is allocated before the first request.

        Args:
            model: a Hugging Face causal LM; it stays on its device.
            tokenizer: needed for stop strings only.
            max_batch_tokens: tokens per forward pass beyond which prompts are split.
            cache_bytes: memory for keys and values; the transient copy while the cache grows is
                not counted.  One request always runs, even if it alone needs more.
            max_context: longest prompt plus completion; default: what the model was built for.
            share_from: shortest prompt that a group shares rather than copies, in tokens.
            seed: of the noise of requests that bring no seed of their own.

        Raises:
            ConfigError: a setting is out of range, or the model uses sliding-window attention.
        """
        check_settings(model, max_batch_tokens, cache_bytes, max_context)
        install(model)
        self._model = model
        self._head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
        self._tokenizer = tokenizer
        self._vocabulary: int = model.config.vocab_size  # type: ignore[union-attr, assignment]
        self._max_context = max_context or int(model.config.max_position_embeddings)  # type: ignore
        shape = KVShape.of(model)
        share = share_from if can_share(shape.device) else None
        self._stats = EngineStats()
        self._cache = SequenceCache(shape, cache_bytes, share)
        self._scheduler = Scheduler(self._cache, max_batch_tokens, self._stats)
        self._device = shape.device
        self._version = 0
        self._seeds = itertools.count(seed << 32)
        self._task: asyncio.Task[None] | None = None
        self._interrupted_training = False
        self._gate = Gate()
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
        """Whether `SamplingParams.temperature_rule` is followed."""
        return True

    @property
    def shares_weights(self) -> bool:
        """True: the model is the learner's."""
        return True

    @property
    def stats(self) -> EngineStats:
        """Counters since the engine started."""
        self._stats.evictions = self._cache.memory.evictions
        return self._stats

    async def generate(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, session: str | None = None
    ) -> Completion:
        """Sample one completion; see `agentrl.engines.base.Engine.generate`.

        Raises:
            ConfigError: the prompt is empty or holds unknown ids, or stop strings are asked for
                without a tokenizer.
            ContextOverflow: the prompt is not shorter than `max_context`.
            EngineError: the engine failed or was closed.
        """
        async with self._gate.request():
            request = self._request(list(prompt_ids), params, session)
            self._scheduler.submit(request)
            self._start()
            try:
                return await request.future
            except asyncio.CancelledError:
                self._scheduler.finish(request)
                raise

    def release(self, session: str) -> None:
        """Say that no further call will come for `session`."""
        self._cache.release(session)

    async def update_weights(
        self,
        weights: Iterable[tuple[str, Tensor]] | None,
        version: int,
        *,
        in_flight: bool = False,
    ) -> None:
        """Use new weights from now on; drops every cached key and value.

        Args:
            weights: the complete state dict, or None if the learner changed the model in place;
                then running requests go on in any case.
            version: of the new weights.
            in_flight: running requests go on with the new weights: their tokens are computed anew,
                and `Completion.versions` says which token came from which version.  By default
                they end with the old ones first.

        Raises:
            ConfigError: a name is unknown or missing or a shape differs; nothing is changed.
            EngineError: the engine was closed.
        """
        self._check_open()
        async with self._gate.update(in_flight=in_flight or weights is None):
            if weights is not None:
                load_weights(self._model, weights)
            self._scheduler.restart()
            self._version = version

    async def sleep(self) -> None:
        """Give back the memory of the caches; the next request takes it again."""
        self._check_open()
        async with self._gate.update(in_flight=False):
            self._scheduler.restart()
            self._cache.free()

    async def wake(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Free everything; running requests fail with `EngineError`."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._fail(EngineError("The engine was closed before the request ended."), waiting=True)
        self._cache.free()

    # -- requests --------------------------------------------------------------------------------

    def _request(self, tokens: list[int], params: SamplingParams, session: str | None) -> Request:
        self._check_open()
        check_prompt(tokens, self._vocabulary, self._max_context)
        watch = None
        if params.stop_strings:
            if self._tokenizer is None:
                raise ConfigError(
                    "`sampling.stop_strings` needs a tokenizer; build the engine with "
                    "`tokenizer=`, or use `sampling.stop_ids`."
                )
            watch = StopStrings(params.stop_strings, self._tokenizer)
        return Request(
            tokens=tokens,
            prompt=len(tokens),
            params=params,
            seed=next(self._seeds) if params.seed is None else params.seed,
            session=session,
            limit=min(params.max_tokens, self._max_context - len(tokens)),
            future=asyncio.get_running_loop().create_future(),
            watch=watch,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("The engine is closed; build a new one.")

    def _start(self) -> None:
        """Make sure that a task of the running event loop does the steps."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._serve(), name="embedded engine")

    async def _serve(self) -> None:
        """Do steps as long as there are requests, then end."""
        try:
            await asyncio.sleep(0)  # let requests that start together share the first step
            while self._scheduler.waiting or self._scheduler.running:
                finished = self._step_or_fail()
                for _ in range(_TURNS_OF_THE_LOOP if finished else 1):
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._fail(EngineError("The engine's task was cancelled."), waiting=True)
            raise
        finally:
            if self._interrupted_training:
                self._model.train()
                self._interrupted_training = False

    def _step_or_fail(self) -> bool:
        try:
            return self._step()
        except Exception as error:  # whatever the model raises must reach those who wait for it
            failure = EngineError(f"A forward step failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._fail(failure)
            return True

    def _fail(self, error: EngineError, waiting: bool = False) -> None:
        """Fail the running requests, and with `waiting` the others too."""
        requests = self._scheduler.drain()
        if waiting:
            requests += self._scheduler.waiting
            self._scheduler.waiting = []
        for request in requests:
            if not request.future.done():
                request.future.set_exception(error)

    # -- steps -----------------------------------------------------------------------------------

    def _step(self) -> bool:
        """One forward pass and one token for every request that is due; True if any finished."""
        begun = time.perf_counter()
        chosen = self._scheduler.choose()
        if not chosen:
            return False
        if self._model.training:
            self._model.eval()
            self._interrupted_training = True
        layout = lay_out([work for _, work in chosen], self._cache)
        owners = {id(work[0]): request for request, work in chosen}
        due: list[Request] = []
        rows: list[int] = []
        for (sequence, count), last in zip(layout.work, layout.last, strict=True):
            if sequence.computed + count == len(sequence.tokens):
                due.append(owners[id(sequence)])
                rows.append(last)
        draw = self._forward(layout, rows, due)
        self._cache.advance(layout.work)
        finished = self._append(due, draw) if draw else False
        self._stats.steps += 1
        self._stats.computed_tokens += len(layout.ids)
        self._stats.busy_seconds += time.perf_counter() - begun
        return finished

    @torch.inference_mode()
    def _forward(self, layout: Layout, rows: list[int], due: list[Request]) -> Draw | None:
        hidden = hidden_states(self._model, layout.ids, layout.positions, layout.context)
        if not due:
            return None
        if len(rows) < len(hidden):
            hidden = hidden[torch.tensor(rows, device=self._device)]
        noise = uniforms([r.seed for r in due], [len(r.logprobs) for r in due])
        return sample(self._head(hidden), [r.params for r in due], noise)

    def _append(self, due: list[Request], draw: Draw) -> bool:
        finished = False
        drawn = zip(due, draw.ids, draw.logprobs, draw.entropies, strict=True)
        for request, token, logprob, entropy in drawn:
            if logprob != logprob:
                raise EngineError("the model returned logits that are not finite")
            request.add(token, logprob, entropy, self._version)
            self._stats.requested_tokens += len(request.logprobs) > 1  # the one before it was fed
            stop = request.stop()
            if stop is not None:
                self._scheduler.finish(request)
                self._stats.requests += 1
                finished = True
                if not request.future.done():
                    request.future.set_result(request.completion(*stop))
        self._stats.sampled_tokens += len(due)
        return finished
