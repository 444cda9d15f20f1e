"""Brings the learner's weights to the engine after every update, and checks that they arrived."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from agentrl.engines.base import Engine, SamplingParams
from agentrl.errors import EngineError
from agentrl.learner.packing import Run
from agentrl.learner.tree_attention import TreeAttention
from agentrl.models import attention, lora

PROBE_TOKENS, PROBE_SAMPLES = 16, 8
"""Tokens of the prompt that engine and learner are compared on, and sampled ones."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5}
"""Nats by which a log-prob of the probe may differ.  Measured with equal weights: 1e-5 in single
precision, 0.15 between bfloat16 and single precision (benchmarks/engine_mismatch.py)."""


@runtime_checkable
class TakesAdapters(Protocol):
    """An engine that LoRA adapters can be sent to, instead of merged weights."""

    async def update_adapter(self, folder: Path, version: int) -> None:
        """Sample with the adapters in `folder` from now on."""


class Publisher:
    """The way from the learner's model to an engine.

    Args:
        model: what the learner trains.
        engine: what samples.
        dtype: of the engine's arithmetic.
    """

    def __init__(self, model: nn.Module, engine: Engine, dtype: torch.dtype) -> None:
        self._model, self._engine = model, engine
        self._tolerance = TOLERANCE.get(dtype, TOLERANCE[torch.bfloat16])

    async def publish(self, version: int) -> None:
        """Let the engine sample with the model as it is now, under `version`.

        Raises:
            EngineError: the weights did not arrive, or the engine gives other log-probs than the
                learner.
        """
        engine, model = self._engine, self._model
        if engine.shares_weights:
            await engine.update_weights(None, version)
            return
        if lora.is_adapted(model) and isinstance(engine, TakesAdapters):
            with tempfile.TemporaryDirectory(prefix="agentrl-adapter-") as parent:
                folder = Path(parent, lora.FOLDER)
                lora.save(model, folder)
                await engine.update_adapter(folder, version)
        else:
            adapted = lora.is_adapted(model)
            state = lora.merged_state(model) if adapted else model.state_dict()
            await engine.update_weights(state.items(), version)
        await self.check()

    async def check(self) -> None:
        """Compare log-probs of engine and learner on a few tokens.

        Raises:
            EngineError: they differ by more than rounding.
        """
        prompt = [number % self._vocabulary() for number in range(1, 1 + PROBE_TOKENS)]
        params = SamplingParams(max_tokens=PROBE_SAMPLES, seed=0)
        completion = await self._engine.generate(prompt, params)
        expected = logprobs_of(self._model, prompt, completion.ids)
        gap = float((torch.tensor(completion.logprobs) - expected).abs().max())
        if not gap <= self._tolerance:
            raise EngineError(
                f"After the update to version {self._engine.version} the engine's log-probs differ "
                f"from the learner's by {gap:.2g} nats (rounding: up to {self._tolerance:g}). It "
                "does not sample with the learner's weights, or computes the model differently; "
                "`engine.kind=embedded` always samples with the learner's own."
            )

    def _vocabulary(self) -> int:
        return len(self._model.get_output_embeddings().weight)  # type: ignore[operator]


@torch.no_grad()
def logprobs_of(model: nn.Module, prompt: Sequence[int], ids: Sequence[int]) -> Tensor:
    """Return the learner's log-probs of `ids` [T] after `prompt`, in single precision on the CPU.

    Args:
        model: a causal LM with AgentRL's attention installed.
        prompt: token ids.
        ids: the tokens that follow.
    """
    weight: Tensor = model.get_output_embeddings().weight  # type: ignore[operator]
    ids_N = torch.tensor([*prompt, *ids], device=weight.device)
    context = TreeAttention([Run(None, 0, len(ids_N), len(ids_N))])
    positions_N = torch.arange(len(ids_N), device=weight.device)
    training = model.training
    model.eval()
    try:
        hidden_Nd = attention.hidden_states(model, ids_N, positions_N, context)
    finally:
        model.train(training)
    logits_TV = (hidden_Nd[len(prompt) - 1 : -1] @ weight.T).float()
    logprobs_TV = logits_TV.log_softmax(-1)
    return logprobs_TV.gather(1, ids_N[len(prompt) :, None])[:, 0].cpu()
