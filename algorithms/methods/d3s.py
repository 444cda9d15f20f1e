"""D3S: fewer episodes and fewer tokens, those that teach most."""

from __future__ import annotations

from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.filters.down_sampling import DownSample
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.registry import method
from agentrl.algorithms.regularisers.standard import regularisers


@method(
    family="advantage",
    source="D3S (arXiv 2509.22115)",
    provenance="reconstructed",
)
def d3s(
    *,
    first_episodes: float = 0.25,
    last_episodes: float = 0.5,
    first_tokens: float = 0.3,
    last_tokens: float = 0.6,
    scope: str = "batch",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> Algorithm:
    """D3S: GRPO on the episodes whose advantages vary most and on their most telling tokens.

    J = 1/N sum_kept min(r A_i, clip(r) A_i), N the kept tokens.  Kept are the share u of the
    episodes with the largest variance of A_i, and of their tokens the share v with the largest
    |A_t| H_t.  u goes linearly from `first_episodes` to `last_episodes` over the run, v alike.
    `scope="group"` chooses episodes within each group (D3S-I).

    Source: D3S (arXiv 2509.22115), from its abstract and reviews; no code was found.  The shares
    are ours, as are A_i left as they are on the subset, and N.
    """
    down_sample = DownSample(
        first_episodes=first_episodes,
        last_episodes=last_episodes,
        first_tokens=first_tokens,
        last_tokens=last_tokens,
        scope=scope,
    )
    return Algorithm(
        name="d3s",
        advantage=GroupRelative(scale="group"),
        sample_filters=(down_sample,),
        bounds=ConstantBounds(clip_low, clip_high),
        regularisers=regularisers(kl_coefficient, "k3", entropy_coefficient),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
