"""Tree-GRPO: episodes that branch at fixed turns, compared within their tree."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.advantages.presets import credited
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.methods.grpo import grpo
from agentrl.algorithms.registry import method
from agentrl.algorithms.strategies.fixed import FixedBranching


@method(
    family="agentic",
    source="Tree Search for LLM Agent Reinforcement Learning (arXiv 2509.21240); AMAP-ML/Tree-GRPO",
    provenance="identity tests",
)
def tree_grpo(
    *,
    credit: str = "tree",
    turns: tuple[int, ...] | list[int] = (0,),
    children: int = 3,
    roots: int = 2,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
    kl_coefficient: float = 0.001,
) -> Algorithm:
    """Tree-GRPO: trees of episodes that branch at turns, compared within the tree and the group.

    `credit`: `tree` is the paper's, A = A_inter + A_intra, each (R - mean) / sigma over the group
    and over the episode's tree; `step` gives every stretch between two forks V(s) - V(parent), the
    gain in mean return, over sigma_g (`SubtreeStep`); `subtree` and `flat` as in ARPO.  Loss: PPO
    clip with a token mean and a k3 term to the reference.

    Source: arXiv 2509.21240; AMAP-ML/Tree-GRPO, settings of its scripts: two trees of three
    episodes.  There two branches of a tree start at nodes drawn at random, its root included; here
    `children` paths go on after each of the chosen `turns`, and start from `roots` (see
    `FixedBranching`), so that a tree of three forks after its first turn.
    """
    base = grpo(
        clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip, kl_coefficient=kl_coefficient
    )
    return replace(
        base,
        name="tree_grpo",
        rollout=FixedBranching(
            turns=tuple(turns) if isinstance(turns, list) else turns,
            children=children,
            roots=roots,
        ),
        advantage=credited(credit),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
