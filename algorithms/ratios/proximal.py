"""Log-probs of the proximal policy without a forward pass: between rollout and current policy."""

from __future__ import annotations

import torch
from torch import Tensor

from agentrl.algorithms.checks import one_of

KINDS = ("loglinear", "linear", "rollout")


def proximal_logprobs(
    logprobs: Tensor,
    rollout_logprobs: Tensor,
    versions: Tensor,
    version: int,
    kind: str = "loglinear",
) -> Tensor:
    """Return approximate log-probs under the weights one update before the current ones.

    With alpha = (version - 1 - v) / (version - v) in [0, 1], v the version of the weights that
    sampled the token: loglinear mixes the two log-probs, linear the two probabilities, rollout
    takes the rollout's.  Tokens that no policy sampled (v < 0) keep the rollout's.  No gradient.

    Source: inclusionAI/AReaL:areal/trainer/ppo/actor.py, `compute_prox_logp_approximations`.

    Args:
        logprobs: of the current weights, any shape.
        rollout_logprobs: as the engine reported them, same shape.
        versions: integer version that sampled each token, same shape; negative for prompt tokens.
        version: of the current weights.
        kind: one of `KINDS`.
    """
    one_of("kind", kind, KINDS)
    current = logprobs.detach()
    age = (version - versions).to(current.dtype)
    fresh = (age <= 0) | (versions < 0)
    share = torch.where(fresh, 0.0, (age - 1) / torch.where(fresh, 1.0, age)).clamp(0.0, 1.0)
    if kind == "loglinear":
        return rollout_logprobs + share * (current - rollout_logprobs)
    if kind == "linear":
        mixed = (1 - share) * rollout_logprobs.exp() + share * current.exp()
        return torch.log(mixed + 1e-10)
    return rollout_logprobs.clone()
