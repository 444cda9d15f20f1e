"""What an algorithm sees: one batch of rows with documented axes.

Axis letters, for the whole project: G groups, B rows, T sampled tokens of a row, K turns,
V vocabulary.  A row is one sequence of one episode.  Only tokens that the policy sampled are in
the T axis, in the order they were sampled; observations are not (they are context, not actions).
Rows are padded on the right; `mask_BT` is 1 on real tokens and 0 on padding and on tokens that a
filter has removed.  Nothing may depend on what stands at masked positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

import torch
from torch import Tensor

from agentrl.errors import StatisticMissing


class Stat(StrEnum):
    """Per-token statistics [B, T] that a slot can ask the learner for."""

    LOGPROBS = "logprobs"
    """log pi(token) under the current weights, with gradient."""
    OLD_LOGPROBS = "old_logprobs"
    """The same under the weights at the start of the update (proximal policy); no gradient."""
    ROLLOUT_LOGPROBS = "rollout_logprobs"
    """As reported by the engine that sampled the tokens (behaviour policy); no gradient."""
    REF_LOGPROBS = "ref_logprobs"
    """Under the frozen reference policy; no gradient."""
    ENTROPY = "entropy"
    """Entropy of the full softmax under the current weights, in nats; no gradient."""
    ENTROPY_GRAD = "entropy_grad"
    """The same with gradient."""
    OLD_ENTROPY = "old_entropy"
    """Entropy under the weights at the start of the update; no gradient."""
    VALUES = "values"
    """Value head output at the position that predicts the token; with gradient."""
    OLD_VALUES = "old_values"
    """The same under the weights at the start of the update; no gradient."""

    @property
    def current(self) -> bool:
        """True if it depends on the weights being trained, so every micro-batch computes it anew.

        The others are computed once per update, before advantages are estimated.
        """
        return self in _CURRENT


_CURRENT = frozenset({Stat.LOGPROBS, Stat.ENTROPY, Stat.ENTROPY_GRAD, Stat.VALUES})


@dataclass(slots=True, kw_only=True)
class Batch:
    """Rows of a rollout.

    Attributes:
        mask_BT: float or bool; 1 = sampled by the policy and allowed to learn.
        groups_B: integer group of each row; equal value = same task.
        episodes_B: integer episode of each row, unique over the batch; an episode has several
            rows in `window` mode, ordered in time by their turns.
        returns_B: sum of the episode's rewards, shaped.
        turns_BT: integer turn of each token, -1 at padding.
        rewards_BT: reward credited to single tokens (the last token of each turn); its row sums
            over an episode's rows equal `returns_B` before shaping.
        truncated_B: bool; the episode was cut by a limit rather than ended by the environment.
        outcomes_B: the episode's return before shaping, read by group filters; set to `returns_B`
            by `estimate_advantages` where it is missing.
        stats: statistics [B, T] by name.
        advantages_BT: set by the advantage slot; no gradient.
        value_targets_BT: what the value head regresses to, set by advantages that use one.
    """

    mask_BT: Tensor
    groups_B: Tensor
    episodes_B: Tensor
    returns_B: Tensor
    turns_BT: Tensor
    rewards_BT: Tensor | None = None
    truncated_B: Tensor | None = None
    outcomes_B: Tensor | None = None
    stats: dict[Stat, Tensor] = field(default_factory=dict)
    advantages_BT: Tensor | None = None
    value_targets_BT: Tensor | None = None

    @property
    def valid_BT(self) -> Tensor:
        """The mask as bool [B, T]."""
        return self.mask_BT > 0

    def stat(self, name: Stat) -> Tensor:
        """Return a statistic.

        Raises:
            StatisticMissing: the learner was not asked to compute it.
        """
        try:
            return self.stats[name]
        except KeyError:
            have = ", ".join(sorted(self.stats)) or "none"
            raise StatisticMissing(
                f"The algorithm reads `{name}`, which was not computed (computed: {have}). "
                "The slot that reads it must list it in `requires`."
            ) from None

    @property
    def advantages(self) -> Tensor:
        """The advantages [B, T]; raises `StatisticMissing` before they are estimated."""
        if self.advantages_BT is None:
            raise StatisticMissing("Advantages were read before they were estimated.")
        return self.advantages_BT

    def keep(self, keep: Tensor) -> Batch:
        """Return a copy whose mask is also 0 where `keep` (bool, [B] or [B, T]) is False."""
        keep_BT = keep if keep.dim() == 2 else keep.unsqueeze(-1)
        return replace(self, mask_BT=self.mask_BT * keep_BT.to(self.mask_BT.dtype))

    def with_stats(self, stats: Mapping[Stat, Tensor]) -> Batch:
        """Return a copy with more statistics."""
        return replace(self, stats={**self.stats, **stats})

    def rows(self, index: Tensor) -> Batch:
        """Return the rows of `index` (integer or bool [B]), every tensor alike."""
        chosen = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Tensor):
                chosen[item.name] = value[index]
        return replace(self, stats={k: v[index] for k, v in self.stats.items()}, **chosen)


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Counts of the whole optimiser batch, so that micro-batches and processes do not matter.

    Attributes:
        tokens: valid tokens, sum of the mask.
        sequences: rows with at least one valid token.
        length: the constant K that `seq-mean-token-sum-norm` divides by.
    """

    tokens: float
    sequences: float
    length: float

    @classmethod
    def of(cls, mask_BT: Tensor, length: float | None = None) -> Normaliser:
        """Count a batch; `length` defaults to the padded width T."""
        mask = mask_BT.to(torch.float64)
        return cls(
            tokens=float(mask.sum()),
            sequences=float((mask.sum(-1) > 0).sum()),
            length=float(mask.shape[-1] if length is None else length),
        )
