"""A penalty on turns whose text does not have the form that the prompt asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.episodes import episode_sum
from agentrl.algorithms.steps import steps
from agentrl.algorithms.timeline import token_rewards

PENALTIES = "penalties_BT"
"""Note with what was subtracted, at the last token of each invalid turn; 0 elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidActionPenalty:
    """Reward shaping: subtract `coefficient` at the last token of every invalid turn.

    Rewards and the episode's return fall alike.  Methods that credit single steps read the note
    `PENALTIES` and charge each step its own penalty only, as the released code does.

    `rollout.invalid_action_penalty` lowers the environment's rewards by the same rule: use one of
    the two, or turns pay twice; this slot cannot see the other.

    Source: langfengQ/verl-agent:verl/trainer/ppo/ray_trainer.py, `apply_invalid_action_penalty`.

    Attributes:
        coefficient: in units of reward; 0.1 in the released scripts, where success pays 10, and
            0.01 for search.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    coefficient: float = 0.1

    def __post_init__(self) -> None:
        in_range("invalid_action_penalty", self.coefficient, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Subtract the penalty and note it; raises `StatisticMissing` without `invalid_BT`."""
        invalid_BT = batch.need("invalid_BT") & batch.valid_BT
        penalty_BT = torch.where(invalid_BT & last_tokens(batch), self.coefficient, 0.0)
        penalty_BT = penalty_BT.to(batch.returns_B.dtype)
        charged = replace(
            batch,
            returns_B=batch.returns_B - episode_sum(batch, penalty_BT.sum(-1)),
            rewards_BT=token_rewards(batch) - penalty_BT,
        )
        return charged.with_notes(**{PENALTIES: penalty_BT})


def last_tokens(batch: Batch) -> Tensor:
    """Return bool [B, T]: the last valid token of each step."""
    index = steps(batch)
    inside_BT = index.index_BT >= 0
    place_BT = torch.arange(inside_BT.numel(), device=inside_BT.device).reshape(inside_BT.shape)
    last_S = place_BT.new_zeros(index.count)
    last_S = last_S.scatter_reduce(0, index.index_BT[inside_BT], place_BT[inside_BT], "amax")
    return inside_BT & (place_BT == index.spread(last_S)) if index.count else inside_BT
