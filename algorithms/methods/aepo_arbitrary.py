"""Arbitrary-entropy policy optimisation; not to be confused with `aepo` (agentic) or `ares`."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.strategies.control import (
    ControlRollouts,
    ControlSamples,
    EntropyTemperature,
)
from agentrl.algorithms.surrogates.standard import PPOClip


@method(
    family="policy-loss",
    source="Arbitrary Entropy Policy Optimization (arXiv 2510.08141); 597358816/AEPO",
    provenance="identity tests",
)
def aepo_arbitrary(
    *,
    entropy_target: float = 0.75,
    temperature_high: float = 1.2,
    temperature_low: float = 0.8,
    control_share: float = 0.25,
    control_episodes: int = 60,
    control_threshold: float = 0.05,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = 3.0,
) -> Algorithm:
    """AEPO (arbitrary entropy): REINFORCE on hotter or colder samples keeps entropy at a target.

    J = J_GRPO + alpha E_{o ~ pi^T}[log pi(o) R(o)],  T = high if entropy <= target else low

    A `control_share` of the tasks is sampled again at temperature T; episodes with advantage above
    `control_threshold`, at most `control_episodes`, replace ordinary ones with advantage 1, so
    alpha is their share of the batch.  Old log-probs are those of temperature 1 for all rows: no
    importance correction, by design.

    Source: arXiv 2510.08141; 597358816/AEPO.  Target 0.75 is the best reported (the code's default
    is 0.5).  The entropy fed back is the mean full entropy of the trained tokens; the code
    estimates it by the mean of -log pi.
    """
    return Algorithm(
        name="aepo_arbitrary",
        rollout=ControlRollouts(share=control_share),
        advantage=GroupRelative(scale="group"),
        transforms=(ControlSamples(limit=control_episodes, threshold=control_threshold),),
        bounds=ConstantBounds(clip_low, clip_high),
        surrogate=PPOClip(dual_clip),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
        controllers=(
            EntropyTemperature(target=entropy_target, high=temperature_high, low=temperature_low),
        ),
    )
