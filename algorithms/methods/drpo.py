"""DR-PO: PPO from states inside stored episodes."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.methods.ppo import ppo
from agentrl.algorithms.registry import method
from agentrl.algorithms.strategies.drpo import Drpo


@method(
    family="agentic",
    source="Dataset Reset Policy Optimization (arXiv 2404.08495); Cornell-RL/drpo",
    provenance="official vectors",
)
def drpo(
    *,
    reset_probability: float = 1.0,
    reference: str = "best",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    gamma: float = 1.0,
    lam: float = 0.95,
    kl_reward_coefficient: float = 0.05,
    value_coefficient: float = 0.1,
    value_clip: float | None = 0.2,
) -> Algorithm:
    """DR-PO: PPO on episodes that begin inside a stored one, which is not trained.

    With the chance `reset_probability` an episode takes over the first h turns of a stored one (h
    tokens where it has a single turn), h uniform, and samples the rest.  `reference`: `best`, the
    best successful episode of the task so far; `expert`, the environment's expert; or a rollout
    file.  The loss is PPO's with a critic and the KL in the reward.

    Source: arXiv 2404.08495; Cornell-RL/drpo:src/tldr/drpo.py, whose defaults these are.  There
    the value loss also covers what was taken over, and rewards are whitened, too; here neither is.
    The tests against released code cover the choice of h and the mask, and PPO's loss.
    """
    base = ppo(
        clip_low=clip_low,
        clip_high=clip_high,
        gamma=gamma,
        lam=lam,
        kl_reward_coefficient=kl_reward_coefficient,
        value_coefficient=value_coefficient,
        value_clip=value_clip,
    )
    strategy = Drpo(reset_probability=reset_probability, reference=reference)
    return replace(base, name="drpo", rollout=strategy)
