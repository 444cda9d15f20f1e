"""Advantages from the tails of the score distribution: mixed value at risk (RiskPO)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.advantages.group import spread
from agentrl.algorithms.advantages.papers import Papers, papers
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.combinations import reject_normalising
from agentrl.algorithms.episodes import group_statistics
from agentrl.algorithms.slots import RunFacts
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm

LEVELS = tuple(number / 20 for number in range(1, 20))
"""Quantile levels that are tracked over the run, 0.05 to 0.95."""

MEASURES = ("mixed", "range", "seeking")
QUANTILES = ("tracked", "bundle", "both")
CREDITS = ("uniform", "score", "deviation", "share")
LEAST_STD = 1e-3
"""Deviations up to this are no signal and are not divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskOverBundles:
    """Advantage: each paper of a bundle gets a risk value, its episodes share in it.

    A paper holds one episode of each of `bundle` tasks (`papers`) and scores S, the sum of their
    returns (where episodes are missing: their mean times `bundle`).  With q_a, q_b the quantiles of
    S at `low` and `high`, and c = q_a - q_b if `natural_baseline`, else 0,

        range = (max(S - q_a, 0) - max(S - q_b, 0) + c) / (high - low)
        tail  = -max(q_a - S, 0) / low
        mixed:   U = (mix tail + range) / (mix + 1)
        seeking: U = (mix max(S - q_b, 0) / (1 - high) + range) / (mix + 1)

    and U is divided by the deviation of S over the bundle, if that is at least `least_std`.
    Constant returns do not give 0: the tail still says how far they lie below earlier scores.

    Source: RiskPO (arXiv 2510.00911); RTkenny/RiskPO:verl/trainer/ppo/core_algos.py.  The released
    trainer loses the tracked quantiles between updates, so it always uses those of the bundle; here
    they are used.  It divides by any deviation, which gives advantages of -1e6 where tracked
    quantiles meet a bundle of equal scores.

    Attributes:
        bundle: B_q, tasks in a bundle.
        low: level alpha.
        high: level beta.
        measure: `mixed`, `range` or `seeking`.
        mix: weight of the tail (omega; u for `seeking`).
        quantiles: `tracked` where there are any (see `QuantileTracking`), those of the `bundle`,
            or the mean of `both`.
        natural_baseline: adds c.
        mean_baseline: subtracts the integral over the tracked levels of range and tail.
        normalise: divide by the bundle's deviation.
        least_std: smallest deviation that is divided by.
        credit: what an episode with return R gets: `uniform`, U; `score`, U/2 if R > 0, else 3U/2;
            `deviation`, U divided by sigma_g of its task; `share`, U d / sum d with d = R - mu_g,
            over the episodes of the paper, or equal shares where the sum is about 0.
        pairing: `random` or `order`, see `papers`.
        epsilon: added to denominators.
        tracked: quantiles at `LEVELS`; the controller sets them.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    bundle: int = 5
    low: float = 0.2
    high: float = 0.8
    measure: str = "mixed"
    mix: float = 1.5
    quantiles: str = "tracked"
    natural_baseline: bool = False
    mean_baseline: bool = False
    normalise: bool = True
    least_std: float = LEAST_STD
    credit: str = "uniform"
    pairing: str = "random"
    epsilon: float = 1e-6
    tracked: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        in_range("bundle", self.bundle, 1)
        in_range("low", self.low, 0, 1, open_low=True)
        in_range("high", self.high, self.low, 1, open_low=True)
        one_of("measure", self.measure, MEASURES)
        in_range("mix", self.mix, 0)
        one_of("quantiles", self.quantiles, QUANTILES)
        in_range("least_std", self.least_std, 0)
        one_of("credit", self.credit, CREDITS)
        one_of("pairing", self.pairing, ("random", "order"))
        in_range("epsilon", self.epsilon, 0, open_low=True)

    def check(self, algorithm: Algorithm) -> None:
        """Refuse further normalisation."""
        reject_normalising(algorithm, self)

    def check_run(self, facts: RunFacts) -> None:
        """Refuse a number of tasks that does not fill the bundles."""
        if facts.tasks_per_step % self.bundle:
            raise ConfigError(
                f"RiskPO puts {self.bundle} tasks into a bundle, but a step has "
                f"{facts.tasks_per_step}; choose `tasks_per_step` as a multiple of `bundle`, or "
                "another `bundle`."
            )

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages; leaves `paper` [B] and `paper_score` [B] among the notes."""
        found = papers(batch, self.bundle, self.pairing)
        score_P = self.scores(batch, found)
        risk_P = torch.zeros_like(score_P)
        for number in torch.unique(found.bundle_P):
            inside_P = found.bundle_P == number
            risk_P[inside_P] = self.risk(score_P[inside_P])
        batch = batch.with_notes(paper=found.index_B, paper_score=found.spread(score_P))
        return spread(batch, self._credit(batch, found, risk_P))

    def scores(self, batch: Batch, found: Papers) -> Tensor:
        """Return the score of each paper [P], float64."""
        return found.sum(batch.returns_B.double()) * (self.bundle / found.count_P)

    def risk(self, score_P: Tensor) -> Tensor:
        """Return U of the papers of one bundle [P] from their scores."""
        low, high = self._edges(score_P)
        middle_P = self._range(score_P, low, high) - self._mean(self._range, low, high)
        match self.measure:
            case "mixed":
                tail_P = self._tail(score_P, low, high) - self._mean(self._tail, low, high)
                risk_P = (self.mix * tail_P + middle_P) / (self.mix + 1)
            case "seeking":
                above_P = (score_P - high).clamp(min=0) / (1 - self.high + self.epsilon)
                risk_P = (self.mix * above_P + middle_P) / (self.mix + 1)
            case _:
                risk_P = middle_P
        std = score_P.std() if len(score_P) > 1 else score_P.new_zeros(())
        return risk_P / (std + self.epsilon) if self.normalise and std >= self.least_std else risk_P

    def _edges(self, score_P: Tensor) -> tuple[Tensor, Tensor]:
        """Return (q_a, q_b)."""
        own = torch.quantile(score_P, score_P.new_tensor([self.low, self.high]))
        if not self.tracked or self.quantiles == "bundle":
            return own[0], own[1]
        nearest = [min(range(19), key=lambda i: abs(LEVELS[i] - x)) for x in (self.low, self.high)]
        earlier = score_P.new_tensor([self.tracked[index] for index in nearest])
        edges = (own + earlier) / 2 if self.quantiles == "both" else earlier
        return edges[0], edges[1]

    def _range(self, score: Tensor, low: Tensor, high: Tensor) -> Tensor:
        inside = (score - low).clamp(min=0) - (score - high).clamp(min=0)
        if self.natural_baseline:
            inside = inside + low - high
        return inside / (self.high - self.low + self.epsilon)

    def _tail(self, score: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return -(low - score).clamp(min=0) / (self.low + self.epsilon)

    def _mean(
        self, part: Callable[[Tensor, Tensor, Tensor], Tensor], low: Tensor, high: Tensor
    ) -> Tensor:
        """Return the integral of a part over the tracked levels, 0 without `mean_baseline`."""
        if not self.mean_baseline or not self.tracked:
            return low.new_zeros(())
        levels, tracked = low.new_tensor(LEVELS), low.new_tensor(self.tracked)
        return torch.trapezoid(part(tracked, low, high), levels)

    def _credit(self, batch: Batch, found: Papers, risk_P: Tensor) -> Tensor:
        """Return what each row's episode gets of its paper's value [B]."""
        risk_B = found.spread(risk_P)
        returns_B = batch.returns_B.double()
        group = group_statistics(batch, returns_B)
        match self.credit:
            case "uniform":
                return risk_B
            case "score":
                return risk_B * torch.where(returns_B > 0, 0.5, 1.5)
            case "deviation":
                std_B = torch.where(group.std_B <= LEAST_STD, 1.0, group.std_B)
                return risk_B / (std_B + self.epsilon)
        lead_B = returns_B - group.mean_B
        sum_B = found.spread(found.sum(lead_B))
        equal_B = 1 / found.spread(found.count_P.double()).clamp(min=1)
        flat_B = sum_B.abs() <= 1e-6
        return risk_B * torch.where(flat_B, equal_B, lead_B / torch.where(flat_B, 1.0, sum_B))
