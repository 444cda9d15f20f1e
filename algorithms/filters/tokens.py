"""Sample filters that remove single tokens, by statistics over the whole update batch.

What they remove leaves the mask and so the normaliser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.behaviour.weights import MISMATCH, mismatch
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.statistics import MeanDiscriminator, Stat, Statistic

_EQUAL = 1e-12
"""A standard deviation below this counts as zero: then nothing is removed."""


def discriminator(batch: Batch) -> Tensor:
    """Return `S = p (H + ln p)` [B, T] of the sampled tokens under the old policy.

    Raising the logit of a token with S > 0 lowers the entropy H, to first order by S.
    """
    logprobs_BT = batch.stat(Stat.OLD_LOGPROBS)
    return logprobs_BT.exp() * (batch.stat(Stat.OLD_ENTROPY) + logprobs_BT)


def deviation(values_BT: Tensor, valid_BT: Tensor) -> Tensor:
    """Return the population standard deviation of the valid values, a scalar in float64.

    Equal values give 0 and not rounding noise.
    """
    values = values_BT[valid_BT].double()
    return values.std(correction=0) if len(values) else values.sum()


@dataclass(frozen=True, slots=True)
class ClipByBatch:
    """Clip_B: remove tokens with A < 0 and `S - mean S < -mu std S`, over the update's tokens.

    Attributes:
        mu: width of the accepted range, in standard deviations.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset({Stat.OLD_LOGPROBS, Stat.OLD_ENTROPY})
    mu: float = 2.5

    def __post_init__(self) -> None:
        in_range("mu", self.mu, 0)

    def __call__(self, batch: Batch) -> Batch:
        """Mask the removed tokens."""
        valid_BT, score_BT = batch.valid_BT, discriminator(batch)
        width = deviation(score_BT, valid_BT)
        if width < _EQUAL:
            return batch
        low_BT = score_BT - masked.mean(score_BT, valid_BT) < -self.mu * width
        return batch.keep(~(low_BT & (batch.advantages < 0)))


@dataclass(frozen=True, slots=True)
class ClipByVocabulary:
    """Clip_V: remove tokens with A <= 0 and `D > mu std D`, D = E_v[S_v] - S, up to a cap.

    The deviation is about the mean of D, the test is not (as released).  Among tokens with A < 0
    only the max(floor(most N), 1) with the largest D go; tokens with A = 0 always go.

    Attributes:
        mu: width of the accepted range, in standard deviations.
        most: cap, as a share of the N valid tokens.
    """

    requires: ClassVar[frozenset[Statistic]] = frozenset(
        {Stat.OLD_LOGPROBS, Stat.OLD_ENTROPY, MeanDiscriminator()}
    )
    mu: float = 8.5
    most: float = 1e-4

    def __post_init__(self) -> None:
        in_range("mu", self.mu, 0)
        in_range("most", self.most, 0, 1)

    def __call__(self, batch: Batch) -> Batch:
        """Mask the removed tokens."""
        valid_BT = batch.valid_BT
        gap_BT = batch.stat(MeanDiscriminator()) - discriminator(batch)
        width = deviation(gap_BT, valid_BT)
        if width < _EQUAL:
            return batch
        over_BT = valid_BT & (gap_BT > self.mu * width)
        flat = (over_BT & (batch.advantages < 0)).flatten().nonzero().squeeze(-1)
        cap = max(int(self.most * int(valid_BT.sum())), 1)
        worst = torch.argsort(gap_BT.flatten()[flat], descending=True, stable=True)[:cap]
        removed_BT = over_BT & (batch.advantages == 0)
        removed_BT.view(-1)[flat[worst]] = True
        return batch.keep(~removed_BT)


@dataclass(frozen=True, slots=True)
class LimitSecondMoment:
    """Remove the tokens with the largest `(l_roll - l_old)^2` until the mean of the rest is small.

    The fewest tokens go that bring the mean below `threshold`; one token always stays.  Statistics
    are those of the whole update (inclusionAI/AReaL: of each micro-batch).

    Source: M2PO, inclusionAI/AReaL:areal/trainer/ppo/actor.py, `_apply_m2po_masking`.

    Attributes:
        threshold: of the second moment of the log-ratio.
    """

    requires: ClassVar[frozenset[Statistic]] = MISMATCH
    threshold: float = 0.04

    def __post_init__(self) -> None:
        in_range("m2_threshold", self.threshold, 0, open_low=True)

    def __call__(self, batch: Batch) -> Batch:
        """Mask the removed tokens."""
        flat = batch.valid_BT.flatten().nonzero().squeeze(-1)
        if not len(flat):
            return batch
        square = mismatch(batch).flatten()[flat] ** 2
        rising, order = torch.sort(square, stable=True)
        counts = torch.arange(1, len(flat) + 1, device=flat.device)
        small = rising.cumsum(0) / counts < self.threshold
        kept = max(int((small * counts).max()), 1)
        keep_BT = torch.zeros_like(batch.valid_BT)
        keep_BT.view(-1)[flat[order[:kept]]] = True
        return batch.keep(keep_BT)
