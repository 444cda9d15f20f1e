"""Reward shaping: changes to rewards before anything else reads them.

Every step keeps `returns_B` and `rewards_BT` in agreement; `outcomes_B` keeps the bare return.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import episode_sum
from agentrl.algorithms.regularisers.kl import KINDS, kl_estimate
from agentrl.algorithms.timeline import at_last_token, token_rewards
from agentrl.errors import ConfigError


def overlong_penalty(
    lengths: Tensor, max_tokens: int, buffer_tokens: int, factor: float, floor: bool
) -> Tensor:
    """Return DAPO's penalty <= 0 for responses of `lengths` tokens (any shape).

    0 up to max_tokens - buffer_tokens, then a line down to -factor at max_tokens.

    Args:
        lengths: tokens the policy sampled.
        max_tokens: L_max.
        buffer_tokens: L_cache, the width of the line.
        factor: the penalty at L_max.
        floor: stay at -factor beyond L_max (the paper); False lets the line go on (verl, AReaL).
    """
    over = (lengths - (max_tokens - buffer_tokens)).clamp(min=0) / buffer_tokens
    return -factor * (over.clamp(max=1.0) if floor else over)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlongPenalty:
    """Soft punishment of long episodes.

    Source: DAPO (arXiv 2503.14476), eq. 13.

    Attributes:
        max_tokens: L_max, tokens the policy may sample in an episode.
        buffer_tokens: L_cache, over how many tokens the penalty grows.
        factor: the penalty at L_max, in units of reward.
        floor: keep it constant beyond L_max (paper); False is verl's and AReaL's line.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    max_tokens: int = 20480
    buffer_tokens: int = 4096
    factor: float = 1.0
    floor: bool = True

    def __post_init__(self) -> None:
        in_range("overlong_max_tokens", self.max_tokens, 1)
        in_range("overlong_buffer_tokens", self.buffer_tokens, 1)
        in_range("overlong_factor", self.factor, 0)
        if self.buffer_tokens > self.max_tokens:
            raise ConfigError(
                f"`overlong_buffer_tokens` {self.buffer_tokens} must not be larger than "
                f"`overlong_max_tokens` {self.max_tokens}."
            )

    def __call__(self, batch: Batch) -> Batch:
        """Add the penalty to the return and to the last token's reward."""
        tokens_B = episode_sum(batch, batch.valid_BT.sum(-1)).to(batch.returns_B.dtype)
        penalty_B = overlong_penalty(
            tokens_B, self.max_tokens, self.buffer_tokens, self.factor, self.floor
        )
        rewards_BT = token_rewards(batch) + at_last_token(batch, penalty_B)
        return replace(batch, returns_B=batch.returns_B + penalty_B, rewards_BT=rewards_BT)


@dataclass(frozen=True, slots=True, kw_only=True)
class KLInReward:
    """`r_t - coefficient * k(l_old, l_ref)` at every token (PPO for RLHF, REINFORCE++).

    Attributes:
        coefficient: beta.
        kind: estimator, one of `kl.KINDS`.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_LOGPROBS, Stat.REF_LOGPROBS})
    coefficient: float = 0.001
    kind: str = "k1"

    def __post_init__(self) -> None:
        in_range("kl_reward_coefficient", self.coefficient, 0)
        one_of("kl_reward_kind", self.kind, KINDS)

    def __call__(self, batch: Batch) -> Batch:
        """Subtract the penalty from token rewards and returns."""
        old_BT, ref_BT = batch.stat(Stat.OLD_LOGPROBS), batch.stat(Stat.REF_LOGPROBS)
        kl_BT = masked.fill(kl_estimate(old_BT, ref_BT, self.kind), batch.valid_BT)
        penalty_BT = self.coefficient * kl_BT.to(batch.returns_B.dtype)
        rewards_BT = token_rewards(batch) - penalty_BT
        returns_B = batch.returns_B - episode_sum(batch, penalty_BT.sum(-1))
        return replace(batch, returns_B=returns_B, rewards_BT=rewards_BT)
