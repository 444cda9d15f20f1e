"""Advantages of single steps: GiGPO's sum of an episode part and a step part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.advantages.anchors import MATCHES, anchor_groups
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import episode_sum, group_sum
from agentrl.algorithms.rewards.invalid_actions import PENALTIES
from agentrl.algorithms.rewards.tool_calls import BONUSES
from agentrl.algorithms.steps import Steps, discounted_returns, steps
from agentrl.algorithms.timeline import token_rewards

MODES = ("mean_norm", "mean_std_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInGroup:
    """`A = A^E + step_weight A^S`, one number per step, repeated over its tokens (GiGPO).

    A^E compares the step's score with those of its group.  The score is the episode's return,
    less the step's own penalty where `InvalidActionPenalty` left one.  A^S compares the
    discounted return R_k = sum_j gamma^j r_{k+j} of the environment's rewards, less the step's own
    penalty, with those of the steps that began in the same state (`anchor_groups`).  "Compares" is
    x - mean, or (x - mean) / (std + epsilon) with the unbiased std.  An A^E group with one sample
    keeps its score; a step that is alone at its anchor has A^S = 0.

    Rows may hold one turn or a whole episode; both give the same numbers.

    Source: Group-in-Group Policy Optimization (arXiv 2505.10978), eq. 3-8;
    langfengQ/verl-agent:gigpo/core_gigpo.py.

    Attributes:
        step_weight: omega; 0 for tasks with one turn, where A^S repeats A^E.
        gamma: discount per step; 0.95 in every released script.
        mode: `mean_norm` or `mean_std_norm`.
        match: what makes two states equal: `anchor`, `observation` or `similarity`.
        similarity: threshold of `match="similarity"`.
        samples: what A^E's statistics count: `steps` (released code: long episodes weigh more)
            or `episodes` (paper), each by the score of its first step.
        epsilon: added to the deviation.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    step_weight: float = 1.0
    gamma: float = 0.95
    mode: str = "mean_norm"
    match: str = "anchor"
    similarity: float = 0.95
    samples: str = "steps"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        in_range("step_weight", self.step_weight, 0)
        in_range("gamma", self.gamma, 0, 1)
        in_range("similarity", self.similarity, 0, 1)
        in_range("epsilon", self.epsilon, 0)
        one_of("mode", self.mode, MODES)
        one_of("match", self.match, MATCHES)
        one_of("samples", self.samples, ("steps", "episodes"))

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        index = steps(batch)
        penalties_BT = batch.notes.get(PENALTIES, torch.zeros_like(batch.mask_BT)).double()
        penalty_S = index.sum(penalties_BT)
        advantage_S = self._episode_part(batch, index, penalties_BT, penalty_S)
        if self.step_weight:
            anchor_S = anchor_groups(batch, index, self.match, self.similarity)
            rewards_BT = token_rewards(batch).double() + penalties_BT
            if BONUSES in batch.notes:
                rewards_BT = rewards_BT - batch.notes[BONUSES].double()
            bare = replace(batch, rewards_BT=rewards_BT)
            return_S = discounted_returns(bare, index, self.gamma) - penalty_S
            step_S = self._compare(return_S, anchor_S, torch.ones_like(index.last_S), lone=0.0)
            advantage_S = advantage_S + self.step_weight * step_S
        advantages_BT = index.spread(advantage_S).to(batch.returns_B.dtype)
        return replace(batch, advantages_BT=masked.fill(advantages_BT, batch.valid_BT))

    def _episode_part(
        self, batch: Batch, index: Steps, penalties_BT: Tensor, penalty_S: Tensor
    ) -> Tensor:
        """Return A^E [S]."""
        bare_B = batch.returns_B.double() + episode_sum(batch, penalties_BT.sum(-1))
        score_S = bare_B[index.row_S] - penalty_S
        counted_S = torch.ones_like(index.last_S)
        if self.samples == "episodes":
            counted_S[1:] = index.last_S[:-1]
        return self._compare(score_S, index.group_S, counted_S, lone=1.0)

    def _compare(self, value_S: Tensor, key_S: Tensor, counted_S: Tensor, lone: float) -> Tensor:
        """Return each value relative to the counted ones of its key; `lone` times it if one."""
        count_S = group_sum(key_S, counted_S.double())
        mean_S = group_sum(key_S, torch.where(counted_S, value_S, 0.0)) / count_S.clamp(min=1)
        centred_S = torch.where(count_S <= 1, lone * value_S, value_S - mean_S)
        if self.mode == "mean_norm":
            return centred_S
        squares_S = group_sum(key_S, torch.where(counted_S, (value_S - mean_S) ** 2, 0.0))
        std_S = (squares_S / (count_S - 1).clamp(min=1)).sqrt()
        return centred_S / (torch.where(count_S <= 1, 1.0, std_S) + self.epsilon)
