"""ARPO and AEPO: agents that branch after tool results."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.advantages.presets import credited
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.methods.grpo import grpo
from agentrl.algorithms.registry import method
from agentrl.algorithms.strategies.branching import Branching
from agentrl.algorithms.strategies.branching_rules import AepoRule, ArpoRule
from agentrl.algorithms.surrogates.entropy_balance import EntropyAwareAdvantage, EntropyBalancedClip


@method(
    family="agentic",
    source="Agentic Reinforced Policy Optimization (arXiv 2507.19849); RUC-NLPIR/ARPO",
    provenance="official vectors",
)
def arpo(
    *,
    rollouts: int = 16,
    initial_rollouts: int | None = None,
    beam_size: int = 2,
    branch_probability: float = 0.5,
    entropy_weight: float = 0.2,
    measure: str = "before",
    credit: str = "flat",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    kl_coefficient: float = 0.0,
) -> Algorithm:
    """ARPO: episodes branch after tool results, the more readily the more entropy has risen.

    Part of a task's `rollouts` start from the prompt, the rest are branches of unfinished ones
    (`Branching`).  Advantage and loss are GRPO's with a token mean ("soft" attribution): the
    tokens that branches share have equal ratios in all of them, so they get the mean advantage.

    `credit`: `flat` is that; `subtree` gives shared tokens the mean advantage explicitly, the
    paper's "hard" attribution; `step` compares at every fork (`SubtreeStep`); `tree` adds the
    comparison within the tree (`TreeRelative`).

    Source: arXiv 2507.19849; RUC-NLPIR/ARPO, settings of its 7B scripts.  `measure="after"` is the
    paper's rule, `before` the released one.
    """
    rule = ArpoRule(branch_probability=branch_probability, entropy_weight=entropy_weight)
    branching = Branching(
        rule=rule,
        rollouts=rollouts,
        initial_rollouts=initial_rollouts,
        beam_size=beam_size,
        measure=measure,
    )
    base = grpo(
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        kl_coefficient=kl_coefficient,
    )
    mean = Aggregation(Mode.TOKEN_MEAN)
    return replace(
        base, name="arpo", rollout=branching, advantage=credited(credit), aggregation=mean
    )


@method(
    family="agentic",
    source="Agentic Entropy-Balanced Policy Optimization (arXiv 2510.14545); RUC-NLPIR/ARPO",
    provenance="official vectors",
)
def aepo(
    *,
    balanced_clip: bool = True,
    balanced_advantage: bool = True,
    advantage_strength: float = 0.2,
    advantage_entropy: str = "current",
    rollouts: int = 16,
    initial_rollouts: int | None = None,
    beam_size: int = 2,
    branch_probability: float = 0.5,
    entropy_weight: float = 0.2,
    branch_penalty: float = 0.05,
    counter: str = "prompt",
    measure: str = "before",
    credit: str = "flat",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    kl_coefficient: float = 0.0,
) -> Algorithm:
    """AEPO: ARPO that branches less in a row, weighs tokens by entropy and keeps clipped gradients.

    A' = A (1 + advantage_strength z), z the standardised entropy of the token in the optimiser
    batch (`balanced_advantage`).  For A' > 0 and r > 1 + clip_high the surrogate keeps its value
    and the gradient (1 + clip_high) A' dl instead of 0 (`balanced_clip`).  Rollouts are those of
    `Branching` with `AepoRule`.  The rest is GRPO with a token mean; `credit` as in ARPO.

    `advantage_entropy`: `current`, as released, costs a forward pass per optimiser step; `old` is
    that of the rollout.

    Source: arXiv 2510.14545; RUC-NLPIR/ARPO, folder AEPO, settings of its 7B scripts; the released
    trainer always has a dual clip at 3 and skips the advantage part where there is no entropy
    bonus.  The number of rows from the prompt is fixed, as in the scripts;
    `branching_rules.initial_rollouts` is the paper's.  `counter="path"` is the paper's penalty.
    """
    rule = AepoRule(
        branch_probability=branch_probability,
        entropy_weight=entropy_weight,
        penalty=branch_penalty,
    )
    base = arpo(
        credit=credit,
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=dual_clip,
        kl_coefficient=kl_coefficient,
    )
    aware = EntropyAwareAdvantage(strength=advantage_strength, entropy=advantage_entropy)
    return replace(
        base,
        name="aepo",
        rollout=Branching(
            rule=rule,
            rollouts=rollouts,
            initial_rollouts=initial_rollouts,
            beam_size=beam_size,
            measure=measure,
            counter=counter,
        ),
        late_transforms=(aware,) if balanced_advantage else (),
        surrogate=EntropyBalancedClip(dual_clip) if balanced_clip else base.surrogate,
    )
