"""How far the engine that sampled is from the learner that trains, before anything is trained.

x = l_learner - l_engine of a sampled token, both at the rollout's temperature, in nats; the ratio
of the two policies is exp(x).  With equal weights x is rounding.  Tokens of older weights also
differ by what was learned since, so they are counted and left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from agentrl.algorithms import Algorithm, Batch, Metric, Stat, metrics
from agentrl.algorithms.behaviour.weights import sampled_as_trained
from agentrl.algorithms.ratios.kinds import LOG_RATIO_LIMIT
from agentrl.algorithms.strategies.strategy import Need

RATIO_LOW, RATIO_HIGH = 0.9, 1.1
"""Ratios in between count as agreement."""


def comparable(algorithm: Algorithm) -> bool:
    """Return False if the rollout chose another temperature for each token on purpose (HAPO)."""
    return Need.TEMPERATURE not in getattr(algorithm.rollout, "needs", ())


@dataclass(slots=True)
class MismatchReport:
    """Collects x over the micro-batches of the first optimiser step.

    It counts trained tokens, without those that were sampled at another temperature on purpose.
    Of the fresh ones (`Batch.versions_BT` equal to `Batch.version`, or not known) it reports

        mean       mean |x|                   max        largest |x|
        k3         mean exp(x) - 1 - x        outside    share with exp(x) outside [0.9, 1.1]
        undefined  share where x is infinite or no number

    k3 estimates KL(engine || learner) (J. Schulman, Approximating KL Divergence); |x| counts as at
    most 20 in it, as in the corrections.  Where x is not finite it is in `undefined` and `outside`,
    and in none of the others.  `stale_tokens` is the share of other versions among all.
    """

    _parts: list[dict[str, Metric]] = field(default_factory=list)
    _worst: float | None = None

    def add(self, batch: Batch) -> None:
        """Count the tokens of a micro-batch with current log-probs [B, T]."""
        if Stat.ROLLOUT_LOGPROBS not in batch.stats:
            return
        learner_BT = batch.stat(Stat.LOGPROBS).detach().double()
        x_BT = learner_BT - batch.stat(Stat.ROLLOUT_LOGPROBS).double()
        counted_BT, stale_BT = batch.valid_BT & sampled_as_trained(batch), _stale(batch)
        if stale_BT is not None:
            self._parts.append({"mismatch/stale_tokens": Metric.share(stale_BT, counted_BT)})
            counted_BT = counted_BT & ~stale_BT
        finite_BT = x_BT.isfinite()
        sound_BT = counted_BT & finite_BT
        held_BT = x_BT.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        ratio_BT = held_BT.exp()
        inside_BT = (ratio_BT >= RATIO_LOW) & (ratio_BT <= RATIO_HIGH)  # False for NaN
        self._parts.append(
            {
                "mismatch/mean": Metric.mean(x_BT.abs(), sound_BT),
                "mismatch/k3": Metric.mean(torch.expm1(held_BT) - held_BT, sound_BT),
                "mismatch/outside": Metric.share(~inside_BT, counted_BT),
                "mismatch/undefined": Metric.share(~finite_BT, counted_BT),
            }
        )
        if sound_BT.any():
            self._worst = max(self._worst or 0.0, float(x_BT[sound_BT].abs().max()))

    def numbers(self) -> dict[str, float]:
        """Return `mismatch/...`; what would be a mean over no token is left out."""
        found = metrics.report(metrics.combine(self._parts))
        return found | ({} if self._worst is None else {"mismatch/max": self._worst})


def _stale(batch: Batch) -> Tensor | None:
    """Return bool [B, T], True where other weights sampled; None where versions are not counted."""
    if batch.version is None or batch.versions_BT is None:
        return None
    return (batch.versions_BT >= 0) & (batch.versions_BT != batch.version)
