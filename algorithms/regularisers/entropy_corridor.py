"""EPO: an entropy bonus and a penalty on entropies outside a corridor around their history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.regularisers.turn_mean import turn_weights
from agentrl.algorithms.slots import PerRow, View
from agentrl.errors import ConfigError

TURN_MEAN = "turn-mean"
AVERAGES = (*Mode, TURN_MEAN)


def averaged_by(averaging: str) -> Aggregation:
    """Return the aggregation that goes with an entry of `AVERAGES`."""
    return Aggregation(Mode.TOKEN_MEAN if averaging == TURN_MEAN else averaging)


def hinge(entropy: Tensor, reference: float, low: float, high: float) -> Tensor:
    """Return [low reference - H]_+ + [H - high reference]_+, element by element, in nats."""
    return torch.relu(low * reference - entropy) + torch.relu(entropy - high * reference)


def smoothing_weight(step: int, steps: int, decay: float) -> float:
    """Return beta_k = 1 + exp(-decay k / floor(K / 2)) of update k of K; falls from 2 towards 1."""
    return 1 + math.exp(-decay * step / max(steps // 2, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyCorridor:
    """Regulariser: `-weight * Mean(H - beta_k alpha P)`, P the hinge outside the corridor.

    The corridor is [kappa_low, kappa_high] times the mean entropy of earlier updates, which
    `EntropyHistory` fills in; P is 0 before there is one.  Its gradient pushes entropies back.

    Source: EPO, version 2 of the paper.  Version 1 and the released code: `EntropyStepPenalty`.

    Attributes:
        weight: lambda, the bonus per nat.
        kappa_low: lower end, a factor of the reference; 0 has no lower end.
        kappa_high: upper end.
        alpha: weight of the penalty, at most 0.5 (the paper's analysis).
        decay: gamma of beta_k.
        schedule_steps: K of beta_k; None takes the steps of the run.
        averaging: `turn-mean` (paper: tokens, turns, episodes), or a mode of `Aggregation`
            (released code: `token-mean`).
        reference: mean entropy of earlier updates in nats; set by the controller.
    """

    name: ClassVar[str] = "entropy_corridor"
    weight: float = 0.001
    kappa_low: float = 0.0
    kappa_high: float = 2.0
    alpha: float = 0.1
    decay: float = 3.0
    schedule_steps: int | None = None
    averaging: str = Mode.TOKEN_MEAN
    reference: float | None = None

    def __post_init__(self) -> None:
        in_range("entropy_weight", self.weight, 0)
        in_range("kappa_low", self.kappa_low, 0)
        in_range("kappa_high", self.kappa_high, self.kappa_low)
        in_range("alpha", self.alpha, 0, 0.5)
        in_range("decay", self.decay, 0)
        if self.schedule_steps is not None:
            in_range("schedule_steps", self.schedule_steps, 1)
        one_of("averaging", self.averaging, AVERAGES)

    @property
    def requires(self) -> frozenset[Stat]:
        """The entropy with gradient."""
        return frozenset({Stat.ENTROPY_GRAD}) | self.prepare_requires

    @property
    def prepare_requires(self) -> frozenset[Stat]:
        """Not empty where turns are counted over the whole batch."""
        return frozenset({Stat.OLD_ENTROPY} if self.averaging == TURN_MEAN else ())

    @property
    def coefficient(self) -> float:
        """Negative: the loss falls as entropy rises."""
        return -self.weight

    @property
    def aggregation(self) -> Aggregation:
        """That of `averaging`."""
        return averaged_by(self.averaging)

    def prepare(self, view: View) -> PerRow:
        """Return the weights of the turn mean."""
        return PerRow.of(view.batch, turn_weights(view.batch))

    def __call__(self, view: View) -> Tensor:
        """Return the values [B, T]."""
        values_BT = view.stat(Stat.ENTROPY_GRAD)
        if self.reference is not None:
            outside_BT = hinge(values_BT, self.reference, self.kappa_low, self.kappa_high)
            values_BT = values_BT - self._beta(view.batch) * self.alpha * outside_BT
        if self.averaging == TURN_MEAN:
            weights: PerRow = view.state(self)
            values_BT = values_BT * weights.rows(view.batch)
        return values_BT

    def _beta(self, batch: Batch) -> float:
        steps = self.schedule_steps or batch.steps
        if not steps:
            raise ConfigError(
                "EPO's schedule needs the number of updates of the run, which is not known here; "
                "set `schedule_steps` (the paper has 150 for ALFWorld, 125 for ScienceWorld)."
            )
        return smoothing_weight(batch.step, steps, self.decay)


@dataclass(frozen=True, slots=True)
class EntropyHistory:
    """Controller: the corridor's reference is the mean of all earlier updates' mean entropies.

    An update's entropy is the mean over all sampled tokens under the old policy, before filters.
    It counts once the update was made.
    """

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin without history; raises `ConfigError` without an `EntropyCorridor`."""
        if not any(isinstance(term, EntropyCorridor) for term in algorithm.regularisers):
            raise ConfigError("`EntropyHistory` needs the regulariser `EntropyCorridor`.")
        return _EntropyHistory()


@dataclass(slots=True)
class _EntropyHistory(Controller):
    means: list[float] = field(default_factory=list)
    seen: float | None = None

    @property
    def requires(self) -> frozenset[Stat]:
        return frozenset({Stat.OLD_ENTROPY})

    def apply(self, algorithm: Algorithm) -> Algorithm:
        reference = sum(self.means) / len(self.means) if self.means else None
        terms: list[Any] = list(algorithm.regularisers)
        for index, term in enumerate(terms):
            if isinstance(term, EntropyCorridor):
                terms[index] = replace(term, reference=reference)
        return replace(algorithm, regularisers=tuple(terms))

    def see(self, batch: Batch) -> None:
        valid_BT = batch.valid_BT
        entropy_BT = batch.stat(Stat.OLD_ENTROPY).double()
        self.seen = float(masked.mean(entropy_BT, valid_BT)) if valid_BT.any() else None

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        if self.seen is not None:
            self.means.append(self.seen)

    def state_dict(self) -> dict[str, Any]:
        return {"means": list(self.means)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.means = [float(mean) for mean in state["means"]]
