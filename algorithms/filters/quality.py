"""Dr.BoT's filters: turns that teach nothing good, and groups without contrast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.episodes import episode_sum, group_statistics
from agentrl.algorithms.steps import Steps, steps


def is_repetitive(tokens: Sequence[Hashable], length: int = 20, times: int = 10) -> bool:
    """Return whether any run of `length` tokens occurs at least `times` times, overlaps included.

    Source: TencentYoutuResearch/SPEAR:verl-agent/agent_system/reward_manager/episode.py,
    `has_repeated_ngrams`.
    """
    starts = range(len(tokens) - length + 1)
    counts = Counter(tuple(tokens[start : start + length]) for start in starts)
    return max(counts.values(), default=0) >= times


def has_action(text: str) -> bool:
    """Return whether `<action>...</action>` follows the last `</think>`, or occurs without one.

    Source: as above, `is_think_action_valid`.
    """
    _, opened, rest = text.rpartition("</think>")[2].partition("<action>")
    return bool(opened) and "</action>" in rest


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityMask:
    """Mask overlong, incomplete, repetitive and unreadable answers before advantages.

    In `agent` form single turns are masked: those of at least `max_tokens` tokens, those without
    the form that the prompt asks for, and repetitive ones.  In `maths` form a whole episode is: one
    that a limit cut off, that has no final answer, or that has a repetitive turn.  Rows with text
    that is no valid UTF-8 are masked in both.

    Masked tokens leave the normaliser.  An episode left without tokens leaves its group's
    statistics; the released code keeps its return there, and in its agent tree masked rows stay in
    the denominators of the loss.

    Source: SPEAR (Dr.BoT); TencentYoutuResearch/SPEAR:verl-agent/agent_system/reward_manager/
    episode.py (agent), verl/recipe/spear/reward.py (maths, where rows that called a tool are
    masked too when they have no answer, in spite of a comment).

    Attributes:
        form: `agent` or `maths`.
        max_tokens: agent form: the longest accepted turn is one token shorter; None accepts all.
        incomplete: mask what has no action, or no final answer.
        ngram: length of the token runs that count as repeated.
        times: how often one has to occur; 0 does not look.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    form: str = "agent"
    max_tokens: int | None = None
    incomplete: bool = True
    ngram: int = 20
    times: int = 10

    def __post_init__(self) -> None:
        one_of("quality_form", self.form, ("agent", "maths"))
        in_range("quality_ngram", self.ngram, 1)
        in_range("quality_times", self.times, 0)
        if self.max_tokens is not None:
            in_range("quality_max_tokens", self.max_tokens, 1)

    def keep(self, batch: Batch) -> Tensor:
        """Return bool [B, T]: what may be learned from.

        Raises:
            StatisticMissing: the rollout has no token ids, forms, answers or limits.
        """
        index = steps(batch)
        bad_S = self._repetitive(batch, index)
        if self.form == "maths":
            repeats_B = index.spread(bad_S.double()).sum(-1)
            bad_B = self._hopeless(batch) | (episode_sum(batch, repeats_B) > 0)
            keep_BT = (~bad_B).unsqueeze(-1).expand_as(batch.valid_BT)
        else:
            if self.max_tokens is not None:
                bad_S = bad_S | (index.tokens_S >= self.max_tokens)
            if self.incomplete:
                invalid_BT = batch.need("invalid_BT") & batch.valid_BT
                bad_S = bad_S | (index.sum(invalid_BT.double()) > 0)
            keep_BT = ~index.spread(bad_S.double()).bool()
        readable_B: Tensor = ~batch.need("unreadable_B")
        return keep_BT & readable_B.unsqueeze(-1)

    def __call__(self, batch: Batch) -> Batch:
        """Mask the rest."""
        return batch.keep(self.keep(batch))

    def _repetitive(self, batch: Batch, index: Steps) -> Tensor:
        """Return bool [S]: turns with a run of tokens that occurs too often."""
        bad_S = torch.zeros_like(index.turn_S, dtype=torch.bool)
        if not self.times:
            return bad_S
        ids_BT = batch.need("ids_BT")
        for step in (index.tokens_S >= self.ngram + self.times - 1).nonzero()[:, 0].tolist():
            tokens = ids_BT[index.index_BT == step].tolist()
            bad_S[step] = is_repetitive(tokens, self.ngram, self.times)
        return bad_S

    def _hopeless(self, batch: Batch) -> Tensor:
        """Return bool [B]: episodes that were cut off, or have no final answer."""
        bad_B: Tensor = batch.need("truncated_B").bool()
        return bad_B | (batch.need("answers_B") < 0) if self.incomplete else bad_B


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepMostVaried:
    """Group filter: keep the groups whose episodes' returns deviate most.

    At least one is kept.  Groups that tie with the last one kept are kept too, so that neither
    order nor labels matter.

    Source: TencentYoutuResearch/SPEAR:verl-agent/verl/trainer/ppo/ray_trainer.py,
    `_filter_rollout`, without its random choice of a power of two of rows, which only serves a
    division among GPUs.

    Attributes:
        share: floor(share groups) are kept.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    share: float = 0.75

    def __post_init__(self) -> None:
        in_range("group_filter_share", self.share, 0, 1, open_low=True)

    def keep(self, batch: Batch) -> Tensor:
        """Return bool [B]: rows of groups that stay."""
        group = group_statistics(batch, batch.returns_B)
        count_B = group.count_B.clamp(min=1)
        std_B = group.std_B * ((count_B - 1) / count_B).sqrt()
        first = dict(zip(batch.groups_B.tolist(), range(len(std_B)), strict=True))
        stds = sorted(float(std_B[row]) for row in first.values() if group.count_B[row] > 0)
        if not stds:
            return torch.ones_like(std_B, dtype=torch.bool)
        limit = stds[-max(int(self.share * len(stds)), 1)]
        return (std_B >= limit * (1 - _ROUNDING)) & (group.count_B > 0)

    def __call__(self, batch: Batch) -> Batch:
        """Mask the dropped groups."""
        return batch.keep(self.keep(batch))


_ROUNDING = 1e-9
"""Relative difference of deviations that is one of rounding."""
