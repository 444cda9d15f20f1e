"""`Algorithm`: a value that fills the slots of one learner step.

    returns -> reward_shaping -> group_filter -> advantage -> transforms -> sample_filters
                                                                |            (estimate_advantages)
    log-probs -> ratio -> bounds -> late_transforms -> surrogate x token_weights x behaviour
                                                                |            (policy_loss)
                         aggregation( ... ) + sum coefficient x aggregation(regulariser)

Choosing a method means choosing slots; see `agentrl.algorithms.registry` for the named ones and
docs/algorithms/README.md for the members of each slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.batch import Stat
from agentrl.algorithms.bounds import ConstantBounds
from agentrl.algorithms.controllers import ControllerSettings
from agentrl.algorithms.ratios import TokenRatio
from agentrl.algorithms.slots import (
    Aggregate,
    BatchStep,
    BoundsRule,
    LateTransform,
    Prepares,
    Ratio,
    Regulariser,
    Slot,
    Surrogate,
    Weight,
)
from agentrl.algorithms.surrogates import PPOClip
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A complete method; frozen, comparable, and cheap to change with `dataclasses.replace`.

    Attributes:
        name: what it is registered as.
        advantage: the base estimator; exactly one.
        reward_shaping: changes to rewards, in order.
        group_filter: removes whole groups by mask; None keeps all.
        transforms: changes to advantages that do not read the ratio, in order.
        sample_filters: remove rows or tokens by mask, after advantages are known; what they
            remove also leaves the normaliser.
        ratio: importance ratio of current to old policy.
        bounds: of the ratio.
        late_transforms: changes to advantages that read ratio or bounds, in order.
        surrogate: the per-token loss.
        token_weights: factors of the loss; they never change the normaliser.
        behaviour: factors that correct for the rollout engine's policy; likewise.
        regularisers: further terms of the loss.
        aggregation: token values to a number, for the surrogate and the regularisers.
        controllers: settings of what changes between updates.
    """

    name: str
    advantage: BatchStep
    reward_shaping: tuple[BatchStep, ...] = ()
    group_filter: BatchStep | None = None
    transforms: tuple[BatchStep, ...] = ()
    sample_filters: tuple[BatchStep, ...] = ()
    ratio: Ratio = field(default_factory=TokenRatio)
    bounds: BoundsRule = field(default_factory=ConstantBounds)
    late_transforms: tuple[LateTransform, ...] = ()
    surrogate: Surrogate = field(default_factory=PPOClip)
    token_weights: tuple[Weight, ...] = ()
    behaviour: tuple[Weight, ...] = ()
    regularisers: tuple[Regulariser, ...] = ()
    aggregation: Aggregate = field(default_factory=Aggregation)
    controllers: tuple[ControllerSettings, ...] = ()

    def __post_init__(self) -> None:
        if self.surrogate.needs_ratio_gradient and not self.ratio.has_gradient:
            raise ConfigError(
                f"`surrogate` {type(self.surrogate).__name__} learns through the ratio, but "
                f"`ratio` {type(self.ratio).__name__} is a constant, so nothing would be learned; "
                "use TokenRatio or SequenceRatio, or the surrogate WeightPG."
            )
        names = [regulariser.name for regulariser in self.regularisers]
        if len(set(names)) != len(names):
            raise ConfigError(f"`regularisers` holds a name twice: {', '.join(names)}.")

    def slots(self) -> Iterator[Slot]:
        """Yield every filled slot in the order it runs."""
        for item in fields(self):
            value = getattr(self, item.name)
            for slot in value if isinstance(value, tuple) else (value,):
                if hasattr(slot, "requires"):
                    yield slot

    @property
    def requires(self) -> frozenset[Stat]:
        """Every statistic a slot reads; `LOGPROBS` always."""
        return frozenset({Stat.LOGPROBS}).union(*(slot.requires for slot in self.slots()))

    @property
    def prepare_requires(self) -> frozenset[Stat]:
        """Statistics read by `prepare`; those that are `Stat.current` need a no-grad pre-pass."""
        prepares = (slot for slot in self.slots() if isinstance(slot, Prepares))
        return frozenset().union(*(slot.requires for slot in prepares))
