"""KL-Cov's term: stay near the old policy on a few tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.ratios.kinds import log_ratio
from agentrl.algorithms.slots import Aggregate, View
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.algorithms.weights.rankings import TopFraction
from agentrl.algorithms.weights.scores import Covariance
from agentrl.algorithms.weights.selectors import Selector, chosen

_POLICIES = frozenset({Stat.LOGPROBS, Stat.OLD_LOGPROBS})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRatioPenalty:
    """`coefficient * Agg(|l - l_old| on the chosen tokens, 0 elsewhere)`.

    The gradient is coefficient sign(l - l_old); it is 0 where both agree, so nothing happens in
    the first optimiser step of an update.

    Source: The Entropy Mechanism (arXiv 2505.22617), KL-Cov; the paper writes KL(old || new) on
    these tokens, its code (and verl-project/verl) takes the absolute log-ratio, which is followed.

    Attributes:
        coefficient: beta.
        selector: the tokens.
        aggregation: its own; None uses the algorithm's.
    """

    name: ClassVar[str] = "kl_old_selected"
    coefficient: float = 1.0
    selector: Selector = field(default_factory=lambda: TopFraction(Covariance(), 2e-4))
    aggregation: Aggregate | None = None

    def __post_init__(self) -> None:
        in_range("kl_coefficient", self.coefficient, 0)

    @property
    def requires(self) -> frozenset[Statistic]:
        """Both policies and what the selector reads."""
        return _POLICIES | self.selector.requires

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """What the selector prepares."""
        return self.selector.prepare_requires

    def prepare(self, view: View) -> Any:
        """Return the selector's state."""
        return self.selector.prepare(view)

    def __call__(self, view: View) -> Tensor:
        """Return |l - l_old| [B, T] on the chosen tokens."""
        return masked.fill(log_ratio(view.batch).abs(), chosen(self, self.selector, view))
