"""Quantiles of paper scores that are tracked over the run (RiskPO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from agentrl.algorithms.advantages.risk import LEVELS, RiskOverBundles
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


def track(quantiles: Sequence[float], scores: Tensor, rate: float) -> tuple[float, ...]:
    """Return the quantiles at `LEVELS` after one more batch of scores.

    q_s + rate (s - share of scores below q_s); without earlier quantiles those of the scores
    (linear interpolation).  In float32 as in the released trainer, where scores that equal a
    quantile up to rounding decide.
    """
    scores, levels = scores.float(), torch.tensor(LEVELS, device=scores.device)
    if not quantiles:
        return tuple(torch.quantile(scores, levels).tolist())
    known = torch.tensor(quantiles, device=scores.device)
    below = (scores.unsqueeze(0) < known.unsqueeze(1)).float().mean(1)
    return tuple((known + rate * (levels - below)).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileTracking:
    """Keeps the quantiles that `RiskOverBundles` reads, updated after every update of the model.

    The first update uses the quantiles of each bundle.

    Source: RTkenny/RiskPO:verl/trainer/ppo/ray_trainer.py.

    Attributes:
        rate: how far a quantile moves per update, in units of score.
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        in_range("controllers.rate", self.rate, 0)

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin without quantiles; raises `ConfigError` for another advantage."""
        if not isinstance(algorithm.advantage, RiskOverBundles):
            raise ConfigError(
                "`controllers` holds QuantileTracking, which serves the advantage RiskOverBundles, "
                f"but `advantage` is {type(algorithm.advantage).__name__}."
            )
        return _QuantileTracking(self)


@dataclass(slots=True)
class _QuantileTracking(Controller):
    settings: QuantileTracking
    quantiles: tuple[float, ...] = field(default=())

    def apply(self, algorithm: Algorithm) -> Algorithm:
        advantage: Any = algorithm.advantage
        return replace(algorithm, advantage=replace(advantage, tracked=self.quantiles))

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        papers_B, scores_B = batch.notes["paper"], batch.notes["paper_score"]
        papers_B, scores_B = papers_B[papers_B >= 0], scores_B[papers_B >= 0]
        unique, index_B = torch.unique(papers_B, return_inverse=True)
        if len(unique):
            scores_P = scores_B.new_zeros(len(unique))
            scores_P[index_B] = scores_B
            self.quantiles = track(self.quantiles, scores_P, self.settings.rate)

    def state_dict(self) -> dict[str, Any]:
        return {"quantiles": list(self.quantiles)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.quantiles = tuple(float(value) for value in state["quantiles"])
