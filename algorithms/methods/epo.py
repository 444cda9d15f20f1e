"""Entropy-regularised policy optimisation for agents."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.controllers import ControllerSettings
from agentrl.algorithms.methods.grpo import grpo
from agentrl.algorithms.methods.ppo import ppo
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.entropy_corridor import EntropyCorridor, EntropyHistory
from agentrl.algorithms.regularisers.entropy_steps import EntropyStepPenalty, TurnEntropyHistory
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.slots import Regulariser


@method(
    family="agentic",
    source="EPO (arXiv 2509.22576); WujiangXu/EPO",
    provenance="official vectors",
)
def epo(
    *,
    variant: str = "hinge",
    base: str = "grpo",
    averaging: str = "token-mean",
    entropy_weight: float = 0.001,
    kappa_low: float = 0.0,
    kappa_high: float = 2.0,
    alpha: float = 0.1,
    decay: float = 3.0,
    schedule_steps: int | None = None,
    penalty_mode: str = "token",
    smooth_weight: float = 1.0,
    phase: bool = True,
    first_turn: int = 25,
    max_turns: int = 50,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.01,
) -> Algorithm:
    """EPO: an entropy bonus, and entropies held in a corridor around their mean of earlier updates.

    L = L_base - entropy_weight Mean(H - beta_k alpha ([kappa_low R - H]_+ + [H - kappa_high R]_+))

    with R the mean entropy of all earlier updates, beta_k = 1 + exp(-decay k / floor(K / 2)), K
    `schedule_steps` or the updates of the run.  The corridor is off in the first update.
    `averaging`: `token-mean`, or the paper's `turn-mean` (tokens, turns, episodes).  `base` is
    `grpo` (token mean) or `ppo`, both with KL to the reference.

    `variant="step"` is the released code (and version 1 of the paper): a constant penalty by
    turn, whose gradient is zero.  Only it reads `penalty_mode`, `smooth_weight`, `phase`,
    `first_turn` and `max_turns`; its K is 150 unless set, and it has no `decay`.

    Source: EPO: Entropy-regularized Policy Optimization for LLM Agents Reinforcement Learning
    (arXiv 2509.22576), version 2, tables 2 and 3 (ALFWorld); the scripts of WujiangXu/EPO have a
    corridor of 0.5 to 1.5.
    """
    one_of("variant", variant, ("hinge", "step"))
    one_of("base", base, ("grpo", "ppo"))
    corridor: Regulariser
    history: ControllerSettings
    if variant == "hinge":
        history = EntropyHistory()
        corridor = EntropyCorridor(
            weight=entropy_weight,
            kappa_low=kappa_low,
            kappa_high=kappa_high,
            alpha=alpha,
            decay=decay,
            schedule_steps=schedule_steps,
            averaging=averaging,
        )
    else:
        history = TurnEntropyHistory(max_turns)
        corridor = EntropyStepPenalty(
            weight=entropy_weight,
            kappa_low=kappa_low,
            kappa_high=kappa_high,
            alpha=alpha,
            smooth_weight=smooth_weight,
            phase=phase,
            schedule_steps=150 if schedule_steps is None else schedule_steps,
            first_turn=first_turn,
            mode=penalty_mode,
            averaging=averaging,
        )
    build = {"grpo": _grpo, "ppo": _ppo}[base]
    algorithm = build(clip_low, clip_high, kl_coefficient)
    return replace(
        algorithm,
        name="epo",
        regularisers=(*algorithm.regularisers, corridor),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
        controllers=(history,),
    )


def _grpo(clip_low: float, clip_high: float, kl_coefficient: float) -> Algorithm:
    return grpo(clip_low=clip_low, clip_high=clip_high, kl_coefficient=kl_coefficient)


def _ppo(clip_low: float, clip_high: float, kl_coefficient: float) -> Algorithm:
    algorithm = ppo(clip_low=clip_low, clip_high=clip_high)
    terms = (*algorithm.regularisers, *regularisers(kl_coefficient))
    return replace(algorithm, regularisers=terms)
