"""Tokens on which good and bad episodes of a group agree, and what GTPO does with them.

A token is named by its place and its id: the turn, the offset within the turn's sampled tokens,
and the token id.  In full it conflicts if an episode with positive advantage has it and one with
negative advantage has it too.  Only the run of conflicts that begins at a turn's first token
counts, and the one that begins at its last token, counted backwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.episodes import episode_index
from agentrl.algorithms.slots import View
from agentrl.algorithms.steps import Steps, steps
from agentrl.algorithms.transforms.semantic import episode_mean


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Which tokens lie in a run of conflicts.

    Attributes:
        forward_BT: bool, in the run from the turn's first token.
        backward_BT: bool, in the run from its last token.
    """

    forward_BT: Tensor
    backward_BT: Tensor

    def weights(self, advantages_BT: Tensor, valid_BT: Tensor, weight: float) -> Tensor:
        """Return lambda [B, T]: `weight` or 0 by the sign of A, squared where runs overlap.

        1 outside of runs and where A is 0; 0 at masked positions.
        """
        signed_BT = torch.where(advantages_BT > 0, weight, 0.0)
        lambda_BT = torch.where(self.forward_BT, signed_BT, 1.0)
        lambda_BT = lambda_BT * torch.where(self.backward_BT, signed_BT, 1.0)
        return masked.fill(lambda_BT.to(advantages_BT.dtype), valid_BT)

    def longer_runs(self, index: Steps) -> Tensor:
        """Return the longer run of every step [S], the released code's count of conflicts."""
        lengths = (index.sum(run.long()) for run in (self.forward_BT, self.backward_BT))
        return torch.maximum(*lengths)


def conflicts(batch: Batch, index: Steps) -> Conflicts:
    """Return the runs of conflicts by the sign of the advantages, for any layout of rows.

    Args:
        batch: rows with `ids_BT` and advantages; those with advantage 0 take no part.
        index: `steps(batch)`.
    """
    valid_BT = batch.valid_BT
    step_N = index.index_BT[valid_BT]
    order_N = torch.argsort(step_N, stable=True)
    start_S = index.tokens_S.cumsum(0) - index.tokens_S
    ahead_N = torch.empty_like(step_N)
    ahead_N[order_N] = torch.arange(len(step_N), device=step_N.device) - start_S[step_N[order_N]]
    behind_N = index.tokens_S[step_N] - 1 - ahead_N
    ids_N, advantage_N = batch.need("ids_BT")[valid_BT], batch.advantages[valid_BT]
    runs = []
    for offset_N in (ahead_N, behind_N):
        place = (index.group_S[step_N], index.turn_S[step_N], offset_N, ids_N)
        both_N = _in_both(torch.stack(place, -1), advantage_N)
        run_BT = torch.zeros_like(valid_BT)
        run_BT[valid_BT] = _initial_run(both_N, step_N, offset_N)
        runs.append(run_BT)
    return Conflicts(*runs)


def _in_both(keys: Tensor, advantage_N: Tensor) -> Tensor:
    """Return bool [N]: A is not 0 and the key occurs with A > 0 and with A < 0."""
    unique, index_N = torch.unique(keys, dim=0, return_inverse=True)
    both_N = advantage_N != 0
    for side_N in (advantage_N > 0, advantage_N < 0):
        count = torch.bincount(index_N[side_N], minlength=len(unique))
        both_N = both_N & (count > 0)[index_N]
    return both_N


def _initial_run(flag_N: Tensor, step_N: Tensor, offset_N: Tensor) -> Tensor:
    """Return bool [N]: the flag holds at this offset of the step and at all smaller ones."""
    far = torch.iinfo(torch.int64).max
    steps_in_all = int(step_N.max()) + 1 if len(step_N) else 0
    end_S = step_N.new_full((steps_in_all,), far)
    end_S = end_S.scatter_reduce(0, step_N, torch.where(flag_N, far, offset_N), "amin")
    return offset_N < end_S[step_N]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictTokens:
    """Transform: leaves the weight of conflict tokens as a note, advantages as they are.

    Notes: `conflict_weight` [B, T] is lambda, `conflicts` [B] the episode's longer runs, summed
    over its turns, at least 1.

    Source: GTPO (arXiv 2508.03772); winstonsmith1897/GTPO, `build_conflict_mask`.  There the
    whole response is one turn.

    Attributes:
        weight: W, lambda of a token in one run of an episode with A > 0.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    weight: float = 2.0

    def __post_init__(self) -> None:
        in_range("conflict_weight", self.weight, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Add the notes."""
        index = steps(batch)
        found, (episode_B, count) = conflicts(batch, index), episode_index(batch)
        runs_E = torch.zeros(count, dtype=torch.float64, device=episode_B.device)
        runs_E = runs_E.index_add(0, index.episode_S, found.longer_runs(index).double())
        count_B = runs_E[episode_B].clamp(min=1)
        weight_BT = found.weights(batch.advantages, batch.valid_BT, self.weight)
        return batch.with_notes(conflict_weight=weight_BT, conflicts=count_B)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictWeight:
    """Token weight: lambda as `ConflictTokens` left it.

    Attributes:
        divide_by_conflicts: also divide by the episode's conflicts; the released code does, its
            paper does not.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    divide_by_conflicts: bool = False

    def __call__(self, view: View) -> Tensor:
        """Return the weights [B, T]."""
        weight_BT = view.batch.notes["conflict_weight"]
        if not self.divide_by_conflicts:
            return weight_BT
        return weight_BT / view.batch.notes["conflicts"].unsqueeze(-1).to(weight_BT.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyFilter:
    """Transform: `A_i - gamma H_i` where `H_i <= threshold`, else 0; H_i mean entropy of episode i.

    The subtraction also reaches episodes with A = 0.

    Source: GTPO (arXiv 2508.03772) and its README; the released code clamps probabilities at 1e-6
    inside the logarithm and takes the entropy of the current policy, here it is the old one's.

    Attributes:
        gamma: advantage per nat.
        threshold: in nats.
        active: False lets all episodes pass, the subtraction stays.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_ENTROPY})
    gamma: float = 0.1
    threshold: float = math.log(2)
    active: bool = True

    def __post_init__(self) -> None:
        in_range("entropy_gamma", self.gamma, 0)
        in_range("entropy_threshold", self.threshold, 0)

    def keep(self, entropy: Tensor) -> Tensor:
        """Return bool, same shape: the mean entropies that pass."""
        return (entropy <= self.threshold) | (not self.active)

    def shape(self, advantages: Tensor, entropy: Tensor) -> Tensor:
        """Return the new advantages; both arguments have the same shape."""
        shaped = advantages - self.gamma * entropy
        return torch.where(self.keep(entropy), shaped, 0.0)

    def __call__(self, batch: Batch) -> Batch:
        """Shape the advantages."""
        entropy_B = episode_mean(batch, batch.stat(Stat.OLD_ENTROPY)).unsqueeze(-1)
        shaped_BT = self.shape(batch.advantages, entropy_B.to(batch.advantages.dtype))
        return replace(batch, advantages_BT=masked.fill(shaped_BT, batch.valid_BT))
