"""Entropy-modulated policy gradients."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.methods.dapo import dapo
from agentrl.algorithms.methods.grpo import grpo
from agentrl.algorithms.registry import method
from agentrl.algorithms.transforms.entropy_modulation import EntropyModulation


@method(
    family="agentic",
    source="Entropy-Modulated Policy Gradients (arXiv 2509.09265)",
    provenance="identity tests",
)
def empg(
    *,
    base: str = "grpo",
    scale_sharpness: float = 1.0,
    clarity_sharpness: float = 1.0,
    clarity_weight: float = 0.05,
    kl_coefficient: float | None = None,
) -> Algorithm:
    """EMPG: advantages scaled by how sure the policy was of a step, plus a bonus for clear futures.

    A_k = A g(H_k) + clarity_weight f(H_{k+1}), less its mean over all steps; H_k the mean token
    entropy of step k, g = exp(-scale_sharpness H_n) / mean, f = exp(-clarity_sharpness H_n), H_n
    scaled to [0, 1] over the update.  The surrogate is that of `base`: `grpo` (token mean, KL
    0.01) or `dapo` (no KL, no length penalty); `kl_coefficient` None takes these.

    Source: Harnessing Uncertainty: Entropy-Modulated Policy Gradients for Long-Horizon LLM Agents
    (arXiv 2509.09265), by two summaries; no code was released, and its values of k, k' and zeta are
    not known to us.  1, 1 and 0.05 are those of a third-party implementation
    (WillDreamer/ARLArena); the paper's listing seems to have zeta 0.1.
    """
    one_of("base", base, ("grpo", "dapo"))
    if base == "grpo":
        algorithm = grpo(kl_coefficient=0.01 if kl_coefficient is None else kl_coefficient)
    else:
        algorithm = dapo(overlong="none", kl_coefficient=kl_coefficient or 0.0)
    modulation = EntropyModulation(
        scale_sharpness=scale_sharpness,
        clarity_sharpness=clarity_sharpness,
        clarity_weight=clarity_weight,
    )
    return replace(
        algorithm,
        name="empg",
        transforms=(modulation,),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
