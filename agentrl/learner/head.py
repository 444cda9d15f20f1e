"""Log-prob and entropy straight from hidden states, never holding a tokens x vocabulary matrix.

Symbols: M predicted tokens, d hidden width, V vocabulary, h [M, d], W [V, d], targets y [M],
b = 1 / temperature, logits z = b h W^T, L = logsumexp(z), p = softmax(z).

    log-prob l = z_y - L        entropy H = L - sum_v p_v z_v

With upstream gradients g of l and e of H, for each token:

    dz_v = g (1[v = y] - p_v) - e p_v (log p_v + H)        dh = b dz W        dW = b dz^T h

Tokens are handled in chunks; the forward pass keeps L and H only, the backward pass computes the
logits of a chunk again.  The same idea is in verl-project/verl,
verl/utils/experimental/torch_functional.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from agentrl.algorithms.statistics import LogitStatistic

_CHUNK_ELEMENTS = 1 << 22
"""Largest chunk of logits, 16 MiB in float32.

On a CPU a quarter of it costs 40 % more time at V = 32,000, and four times as much gains nothing.
"""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the head says about M tokens.

    Attributes:
        logprobs_M: log-prob of each target in nats, float32 (float64 for float64 models).
        entropies_M: entropy of the whole distribution in nats; None unless asked for.
        greedy_M: bool; the target is the most probable token.
    """

    logprobs_M: Tensor
    entropies_M: Tensor | None
    greedy_M: Tensor


def predict(
    hidden_Md: Tensor,
    weight_Vd: Tensor,
    targets_M: Tensor,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
    chunk: int | None = None,
) -> Predictions:
    """Compute log-probs (and entropies) of target tokens, differentiable in `hidden` and `weight`.

    Args:
        hidden_Md: hidden states after the final norm [M, d].
        weight_Vd: weight of the output layer [V, d].
        targets_M: token ids [M].
        temperature: divides the logits; must be positive.
        entropy: also return entropies (with gradient).
        chunk: tokens per chunk; by default as many as keep a chunk of logits at 16 MiB.
    """
    if chunk is None:
        chunk = max(16, _CHUNK_ELEMENTS // weight_Vd.shape[0])
    logprobs, entropies, greedy = _ChunkedHead.apply(  # type: ignore[no-untyped-call]
        hidden_Md, weight_Vd, targets_M, 1.0 / temperature, entropy, chunk
    )
    return Predictions(logprobs, entropies if entropy else None, greedy)


class _ChunkedHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        inverse_temperature: float,
        entropy: bool,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = len(targets)
        precise = torch.promote_types(hidden.dtype, torch.float32)
        logprobs, entropies, normaliser = hidden.new_zeros((3, count), dtype=precise).unbind()
        greedy = torch.zeros(count, dtype=torch.bool, device=hidden.device)
        for start in range(0, count, chunk):
            part = slice(start, start + chunk)
            logits = _logits(hidden[part], weight, inverse_temperature)
            peak = logits.amax(-1, keepdim=True)
            logits -= peak
            chosen = logits.gather(1, targets[part, None])[:, 0]
            # Entropy needs logits and probabilities at once; without it one buffer is enough.
            weights = logits.exp() if entropy else logits.exp_()
            total = weights.sum(-1)
            logsum = total.log()
            logprobs[part] = chosen - logsum
            normaliser[part] = peak[:, 0] + logsum
            greedy[part] = chosen == 0
            if entropy:
                weighted = torch.bmm(weights[:, None], logits[:, :, None])[:, 0, 0]
                entropies[part] = logsum - weighted / total
        ctx.save_for_backward(hidden, weight, targets, normaliser, entropies)
        ctx.inverse_temperature, ctx.chunk = inverse_temperature, chunk
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(greedy)
        return logprobs, entropies, greedy

    @staticmethod
    def backward(
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        hidden, weight, targets, normaliser, entropies = ctx.saved_tensors
        d_logprobs = torch.zeros_like(normaliser) if grads[0] is None else grads[0]
        d_entropies = grads[1]
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        d_hidden = torch.empty_like(hidden) if need_hidden else None
        d_weight = torch.zeros_like(weight, dtype=normaliser.dtype) if need_weight else None
        for start in range(0, len(targets), ctx.chunk):
            part = slice(start, start + ctx.chunk)
            d_logits = _logits(hidden[part], weight, ctx.inverse_temperature)
            d_logits -= normaliser[part, None]  # log p
            d_logprob = d_logprobs[part, None]
            if d_entropies is None:
                d_logits.exp_().mul_(-d_logprob)
            else:
                probs = d_logits.exp()
                d_logits += entropies[part, None]
                d_logits *= -d_entropies[part, None]
                d_logits -= d_logprob
                d_logits *= probs
            d_logits.scatter_add_(1, targets[part, None], d_logprob)
            d_logits *= ctx.inverse_temperature
            low = d_logits.to(hidden.dtype)
            if d_hidden is not None:
                d_hidden[part] = low @ weight
            if d_weight is not None:
                d_weight += low.T @ hidden[part]
        if d_weight is not None:
            d_weight = d_weight.to(weight.dtype)
        return d_hidden, d_weight, None, None, None, None


def measure(
    statistic: LogitStatistic,
    hidden_Md: Tensor,
    weight_Vd: Tensor,
    targets_M: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Tensor:
    """Return a statistic of each token's distribution [M], differentiable as `predict` is.

    Chunks of logits are computed again in the backward pass, so none is kept.
    """
    if chunk is None:
        chunk = max(16, _CHUNK_ELEMENTS // weight_Vd.shape[0])

    def part(hidden: Tensor, targets: Tensor) -> Tensor:
        return statistic.of_logits(_logits(hidden, weight_Vd, 1.0 / temperature), targets)

    pieces = list(zip(torch.split(hidden_Md, chunk), torch.split(targets_M, chunk), strict=True))
    if not torch.is_grad_enabled():
        return torch.cat([part(hidden, targets) for hidden, targets in pieces])
    return torch.cat([checkpoint(part, *piece, use_reentrant=False) for piece in pieces])


def _logits(hidden: Tensor, weight: Tensor, inverse_temperature: float) -> Tensor:
    """Return logits in at least float32; the product itself is in the model's dtype."""
    logits = hidden @ weight.T
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.mul_(inverse_temperature) if inverse_temperature != 1.0 else logits
