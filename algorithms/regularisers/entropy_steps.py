"""EPO as released: a constant penalty on entropies outside a corridor, by turn.

The penalty is piecewise constant, so its gradient is zero: what trains is the entropy bonus alone.
It is kept to compare with released results; `EntropyCorridor` is the form that has an effect.
"""

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
from agentrl.algorithms.regularisers.entropy_corridor import AVERAGES, TURN_MEAN, averaged_by
from agentrl.algorithms.regularisers.turn_mean import turn_weights
from agentrl.algorithms.slots import PerRow, View
from agentrl.algorithms.steps import steps
from agentrl.errors import ConfigError

PENALTY_MODES = ("token", "seq")


def step_penalty(
    entropy: Tensor, reference: Tensor, low: float, high: float, alpha: float
) -> Tensor:
    """Return 0 where low reference < H < high reference, strictly, and `alpha` elsewhere."""
    inside = (entropy > low * reference) & (entropy < high * reference)
    return torch.where(inside, 0.0, alpha).to(entropy.dtype)


def phase_weight(step: int, steps: int) -> float:
    """Return the weight of update `step` of `steps`.

    1 - 0.2 (1 - exp(-2 k / h)) up to the half h = floor(K / 2), then 0.8 exp(-3 (k - h) / (K - h)),
    with a jump in between.
    """
    half = steps // 2
    if step <= half:
        return 1 - 0.2 * (1 - math.exp(-2 * step / half))
    return 0.8 * math.exp(-3 * (step - half) / (steps - half))


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyStepPenalty:
    """Regulariser: `-weight * Mean(H - smooth_weight w_k P)`, P without gradient.

    P is off in an optimiser batch without a turn of number `first_turn` or later.

    Source: WujiangXu/EPO:verl/workers/actor/dp_actor.py, `generate_entropy_penalty`,
    `_calculate_epoch_based_entropy_weight` and `update_policy`.  There "a batch" is a micro-batch
    (`stat_scope="micro"`), and `seq` averages over padding as well; here over valid tokens.

    Attributes:
        weight: lambda, the bonus per nat.
        kappa_low: lower end of the corridor, a factor of the turn's entry of `profile`.
        kappa_high: upper end.
        alpha: the penalty outside.
        smooth_weight: factor of the penalty.
        phase: multiply by `phase_weight`.
        schedule_steps: its K, 150 in the released code whatever the run.
        first_turn: half the turns of an episode; 25 in the released code whatever the task.
        mode: `token` compares each token, `seq` the mean of a turn.
        averaging: a mode of `Aggregation`, or `turn-mean`.
        profile: mean entropy by turn; set by the controller.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset({Stat.ENTROPY_GRAD, Stat.OLD_ENTROPY})
    prepare_requires: ClassVar[frozenset[Stat]] = frozenset({Stat.OLD_ENTROPY})
    name: ClassVar[str] = "entropy_corridor"
    weight: float = 0.001
    kappa_low: float = 0.5
    kappa_high: float = 1.5
    alpha: float = 0.1
    smooth_weight: float = 1.0
    phase: bool = True
    schedule_steps: int = 150
    first_turn: int = 25
    mode: str = "token"
    averaging: str = Mode.TOKEN_MEAN
    profile: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        in_range("entropy_weight", self.weight, 0)
        in_range("kappa_low", self.kappa_low, 0)
        in_range("kappa_high", self.kappa_high, self.kappa_low)
        in_range("alpha", self.alpha, 0)
        in_range("smooth_weight", self.smooth_weight, 0)
        in_range("schedule_steps", self.schedule_steps, 2)
        in_range("first_turn", self.first_turn, 0)
        one_of("penalty_mode", self.mode, PENALTY_MODES)
        one_of("averaging", self.averaging, AVERAGES)

    @property
    def coefficient(self) -> float:
        """Negative: the loss falls as entropy rises."""
        return -self.weight

    @property
    def aggregation(self) -> Aggregation:
        """That of `averaging`."""
        return averaged_by(self.averaging)

    def prepare(self, view: View) -> tuple[bool, PerRow]:
        """Return whether P is on, and the weights of the turn mean."""
        late_BT = view.valid_BT & (view.batch.turns_BT >= self.first_turn)
        return bool(late_BT.any()), PerRow.of(view.batch, turn_weights(view.batch))

    def __call__(self, view: View) -> Tensor:
        """Return the values [B, T]."""
        active, weights = view.state(self)
        values_BT = view.stat(Stat.ENTROPY_GRAD)
        if active and self.profile:
            values_BT = values_BT - self.smooth_weight * self.penalty(view.batch)
        return values_BT * weights.rows(view.batch) if self.averaging == TURN_MEAN else values_BT

    def penalty(self, batch: Batch) -> Tensor:
        """Return w_k P [B, T]; raises `StatisticMissing` without the current entropy."""
        entropy_BT = batch.stat(Stat.ENTROPY_GRAD).detach()
        if self.mode == "seq":
            index = steps(batch)
            entropy_BT = index.spread(index.mean(entropy_BT))
        profile_K = entropy_BT.new_tensor(self.profile)
        turns_BT = batch.turns_BT.long().clamp(0, len(self.profile) - 1)
        reference_BT = profile_K[turns_BT]
        penalty_BT = step_penalty(
            entropy_BT, reference_BT, self.kappa_low, self.kappa_high, self.alpha
        )
        return penalty_BT * (phase_weight(batch.step, self.schedule_steps) if self.phase else 1.0)


@dataclass(frozen=True, slots=True)
class TurnEntropyHistory:
    """Controller: the profile is the mean over updates, the present one included, by turn.

    An update's entry is the mean entropy of each turn's tokens.  It has `turns` numbers: a longer
    one loses its first turns, a shorter one gets zeros before them, as released, so that late
    turns line up and early ones do not.

    Attributes:
        turns: most turns of an episode.
    """

    turns: int = 50

    def __post_init__(self) -> None:
        in_range("max_turns", self.turns, 1)

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin without history; raises `ConfigError` without an `EntropyStepPenalty`."""
        if not any(isinstance(term, EntropyStepPenalty) for term in algorithm.regularisers):
            raise ConfigError("`TurnEntropyHistory` needs the regulariser `EntropyStepPenalty`.")
        return _TurnEntropyHistory(self.turns)


@dataclass(slots=True)
class _TurnEntropyHistory(Controller):
    turns: int
    entries: list[list[float]] = field(default_factory=list)

    @property
    def requires(self) -> frozenset[Stat]:
        return frozenset({Stat.OLD_ENTROPY})

    def apply(self, algorithm: Algorithm) -> Algorithm:
        count = len(self.entries)
        profile = tuple(sum(turn) / count for turn in zip(*self.entries, strict=True))
        terms: list[Any] = list(algorithm.regularisers)
        for index, term in enumerate(terms):
            if isinstance(term, EntropyStepPenalty):
                terms[index] = replace(term, profile=profile)
        return replace(algorithm, regularisers=tuple(terms))

    def see(self, batch: Batch) -> None:
        valid_BT = batch.valid_BT
        if not valid_BT.any():
            return
        entropy_BT = batch.stat(Stat.OLD_ENTROPY).double()
        last = int(batch.turns_BT[valid_BT].max())
        means = [
            float(masked.mean(entropy_BT, valid_BT & (batch.turns_BT == turn)))
            for turn in range(last + 1)
        ]
        entry = means[-self.turns :]
        self.entries.append([0.0] * (self.turns - len(entry)) + entry)

    def state_dict(self) -> dict[str, Any]:
        return {"entries": [list(entry) for entry in self.entries]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.entries = [[float(mean) for mean in entry] for entry in state["entries"]]
