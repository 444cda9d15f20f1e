"""Group-in-group policy optimisation."""

from __future__ import annotations

from agentrl.algorithms.advantages.steps import GroupInGroup
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers
from agentrl.algorithms.rewards.invalid_actions import InvalidActionPenalty
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="agentic",
    source="GiGPO (arXiv 2505.10978); langfengQ/verl-agent",
    provenance="official vectors",
)
def gigpo(
    *,
    step_weight: float = 1.0,
    gamma: float = 0.95,
    mode: str = "mean_norm",
    match: str = "anchor",
    similarity: float = 0.95,
    samples: str = "steps",
    invalid_action_penalty: float = 0.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    kl_coefficient: float = 0.01,
    kl_kind: str = "k3",
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """GiGPO: GRPO's advantage of the episode plus that of the step among steps from equal states.

    J = 1/N sum_i sum_t [ min(r A_k, clip(r, 1 - clip_low, 1 + clip_high) A_k)
                          - kl_coefficient k3(l, l_ref) ],   A_k = A^E + step_weight A^S_k

    for the tokens of step k, N all tokens.  A^S compares the discounted return of the step with
    those of the group's steps that began in the same state.  The episodes of a group must start
    from the same task and state, and the environment must name its states (`anchor`), unless
    `match` is `observation` or `similarity`.

    `invalid_action_penalty` charges a badly formed turn (0.1 in the scripts, where success pays
    10).  It is off here because the rollout has the same setting and both would add up.

    Source: Group-in-Group Policy Optimization (arXiv 2505.10978), eq. 3-8; gamma, KL and clip from
    the scripts of langfengQ/verl-agent.  Those use `mean_std_norm` for ALFWorld and search,
    `mean_norm` for WebShop, and a small entropy bonus (0.001) where they do not set it to 0; they
    always have a dual clip at 3.  `samples`: the paper's statistics are over `episodes`.
    """
    penalty = InvalidActionPenalty(coefficient=invalid_action_penalty)
    return Algorithm(
        name="gigpo",
        reward_shaping=(penalty,) if invalid_action_penalty else (),
        advantage=GroupInGroup(
            step_weight=step_weight,
            gamma=gamma,
            mode=mode,
            match=match,
            similarity=similarity,
            samples=samples,
        ),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        regularisers=regularisers(kl_coefficient, kl_kind, entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
