"""What every inference engine does: token ids in, token ids, log-probs and entropies out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from agentrl.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

StopKind = Literal["stop_id", "stop_string", "length", "cancelled"]


class TemperatureRule(Protocol):
    """Chooses the temperature of every token from the logits that it is to be drawn from."""

    def __call__(self, logits_RV: Tensor, base: float) -> Tensor:
        """Return temperatures [R], all above 0.

        Args:
            logits_RV: in single precision, before any temperature and truncation.
            base: `SamplingParams.temperature`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to sample one completion.

    Attributes:
        temperature: divides the logits; 0 means greedy.
        top_p: keep the smallest set of tokens whose probability reaches this; 1 keeps all.
        top_k: keep the k most probable tokens; 0 keeps all.
        max_tokens: most tokens to sample.
        stop_ids: token ids that end the completion; the stop id is kept in `Completion.ids`.
        stop_strings: texts that end the completion; the ids that formed one are all kept.
        seed: makes the completion reproducible whatever the batch it runs in.
        temperature_rule: chooses another temperature at every token; greedy sampling does not ask
            it.  For engines with `Engine.temperature_rules`; see `check_sampling`.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    stop_ids: tuple[int, ...] = ()
    stop_strings: tuple[str, ...] = ()
    seed: int | None = None
    temperature_rule: TemperatureRule | None = None

    def __post_init__(self) -> None:
        checks = [
            (self.temperature >= 0, "temperature", self.temperature, "a number >= 0"),
            (0 < self.top_p <= 1, "top_p", self.top_p, "a number in (0, 1]"),
            (self.top_k >= 0, "top_k", self.top_k, "an integer >= 0 (0 keeps all)"),
            (self.max_tokens >= 1, "max_tokens", self.max_tokens, "an integer >= 1"),
        ]
        for ok, name, value, accepted in checks:
            if not ok:
                raise ConfigError(f"`sampling.{name}` is {value}; it must be {accepted}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What one request returned.

    Attributes:
        ids: sampled token ids, stop id included.
        logprobs: per token, log-prob under the distribution really sampled from (temperature,
            top-p and top-k applied and renormalised); for greedy decoding, of the untempered
            softmax.  In nats.
        entropies: per token, entropy of the full-vocabulary softmax at the sampling temperature
            (1 for greedy; with a rule, the one it chose), before top-p and top-k.  In nats; empty
            where not available.
        entropy_exact: False where `entropies` are top-k lower bounds.
        stop: what ended the completion.
        stop_string: the text that ended it, if `stop` is `stop_string`.
        versions: policy version of each token, as runs `(version, count)`.
        cached_tokens: prompt tokens whose keys and values did not have to be computed.
        seconds: from request to completion.
    """

    ids: list[int]
    logprobs: list[float]
    entropies: list[float]
    stop: StopKind
    versions: list[tuple[int, int]]
    entropy_exact: bool = True
    stop_string: str | None = None
    cached_tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine started.

    Where no request is running and none was given up half-way,
    `computed_tokens == requested_tokens - cached_tokens + recomputed_tokens`.

    Attributes:
        requested_tokens: what an engine without any cache would have computed: of every request the
            prompt and the sampled tokens, except the last one, which nothing follows.
        prompt_tokens: prompt tokens asked for.
        cached_tokens: tokens of requests that were served from the cache.
        computed_tokens: tokens that went through the model, prompt and sampled.
        recomputed_tokens: tokens that running requests computed again, because they had made room
            for others or the weights had changed.
        sampled_tokens: tokens sampled.
        requests: completions finished.
        steps: forward passes.
        evictions: cached sequences dropped to stay within the memory budget.
        busy_seconds: time spent in forward passes and sampling.
    """

    requested_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    computed_tokens: int = 0
    recomputed_tokens: int = 0
    sampled_tokens: int = 0
    requests: int = 0
    steps: int = 0
    evictions: int = 0
    busy_seconds: float = 0.0


@runtime_checkable
class Engine(Protocol):
    """Samples completions.  All methods are safe to call from one asyncio event loop."""

    @property
    def version(self) -> int:
        """Version of the weights that the next token will be sampled with."""

    @property
    def max_context(self) -> int:
        """Longest prompt plus completion, in tokens."""

    @property
    def temperature_rules(self) -> bool:
        """Whether `SamplingParams.temperature_rule` is followed; if not, `generate` refuses it."""

    @property
    def shares_weights(self) -> bool:
        """Whether it samples with the learner's own parameters, so that none need to be sent."""

    @property
    def stats(self) -> EngineStats:
        """Counters since the engine started."""

    async def generate(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, session: str | None = None
    ) -> Completion:
        """Sample one completion.

        `session` names the caller's conversation: its keys and values are kept for the next call
        with the same name.  It is only a hint; results do not depend on it.  Cancelling the
        awaiting task frees the request's place in the batch.

        Raises:
            ConfigError: the prompt or `params` ask for what the engine cannot do.
            ContextOverflow: the prompt is not shorter than `max_context`.
            EngineError: the engine failed or was closed.
        """

    def release(self, session: str) -> None:
        """Say that no further call will come for `session`."""

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]] | None,
        version: int,
        *,
        in_flight: bool = False,
    ) -> None:
        """Use new weights from now on; drops every cached key and value.

        By default requests that are running end with the weights they began with, those that come
        meanwhile wait, and every completion is of one version.  With `in_flight` they go on:
        `Completion.versions` says which token came from which weights, and all keys and values
        under a token are those of its own weights.

        Args:
            weights: (name, tensor) pairs of the complete Hugging Face state dict; None where only
                the caches are to be dropped, or where the engine shares the learner's parameters,
                which have changed under running requests already.
            version: of the weights.
            in_flight: whether running requests go on with the new weights.

        Raises:
            ConfigError: the weights do not fit the model, or there are none for a new version;
                nothing is changed.
            EngineError: the weights did not arrive, or the engine was closed.
        """

    async def sleep(self) -> None:
        """Give back the memory that only sampling needs, until there is something to sample."""

    async def wake(self) -> None:
        """Take the memory again; new weights and requests do so by themselves."""

    async def close(self) -> None:
        """Free everything; running requests fail with `EngineError`."""


def check_sampling(engine: Engine, params: SamplingParams) -> None:
    """Refuse what an engine cannot sample, before anything is.

    Raises:
        ConfigError: `params` hold a temperature rule and the engine follows none.
    """
    if params.temperature_rule is not None and not engine.temperature_rules:
        raise ConfigError(
            f"`sampling.temperature_rule` is {type(params.temperature_rule).__name__}, but "
            f"{type(engine).__name__} has one temperature for all tokens of a completion; use the "
            "embedded engine, or an algorithm whose rollout does not choose temperatures "
            "(for `hapo`: `algorithm.options.temperature_tau=0`)."
        )
