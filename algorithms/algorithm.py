"""`Algorithm`: a value that fills the slots of one learner step.

    prompt -> rollout -> reward -> reward_shaping -> group_filter -> advantage -> transforms
           -> sample_filters                                           (estimate_advantages)
    policy_view -> ratio -> bounds -> late_transforms -> surrogate x token_weights x behaviour
           -> aggregation( ... ) + sum coefficient x aggregation(regulariser)  (policy_loss)
    controllers, replay, memory: what changes between updates, in checkpoints

Choosing a method means choosing slots; see `agentrl.algorithms.registry` for the named ones and
docs/algorithms/README.md for the members of each slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.controllers import ControllerSettings
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import TokenRatio
from agentrl.algorithms.slots import (
    Aggregate,
    BatchStep,
    BoundsRule,
    LateTransform,
    PolicyView,
    Prepares,
    PromptStrategy,
    Ratio,
    Regulariser,
    RolloutStrategy,
    RunFacts,
    Slot,
    Surrogate,
    Weight,
)
from agentrl.algorithms.statistics import Stat, Statistic
from agentrl.algorithms.surrogates.standard import PPOClip
from agentrl.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """A complete method; frozen, comparable, and cheap to change with `dataclasses.replace`.

    Attributes:
        name: what it is registered as.
        advantage: the base estimator; exactly one.
        prompt: varies the first prompt; None leaves the environment's.
        rollout: how the episodes of a group are produced; None samples them independently.
        reward: replaces the environment's reward, for example by a vote; None keeps it.
        reward_shaping: changes to rewards, in order.
        group_filter: removes whole groups by mask; None keeps all.
        transforms: changes to advantages that do not read the ratio, in order.
        sample_filters: remove rows or tokens by mask, after advantages are known; what they
            remove also leaves the normaliser.
        policy_view: which log-probs stand for the policy; None takes the model's output.
        ratio: importance ratio of current to old policy.
        bounds: of the ratio.
        late_transforms: changes to advantages that read ratio or bounds, in order.
        surrogate: the per-token loss.
        token_weights: factors of the loss; they never change the normaliser.
        behaviour: factors that correct for the rollout engine's policy; likewise.
        regularisers: further terms of the loss.
        aggregation: token values to a number, for the surrogate and the regularisers.
        controllers: settings of what changes between updates.
        replay: settings of a buffer of earlier rows that are trained again; None has none.
        memory: settings of a memory of cases that prompts draw on; None has none.
        stat_scope: over which rows slots that `prepare` take their statistics: `mini` (one
            optimiser step), `update` (all of them) or `micro` (each micro-batch by itself: what
            released trainers do; results then depend on `microbatch_tokens`).
    """

    name: str
    advantage: BatchStep
    prompt: PromptStrategy | None = None
    rollout: RolloutStrategy | None = None
    reward: BatchStep | None = None
    reward_shaping: tuple[BatchStep, ...] = ()
    group_filter: BatchStep | None = None
    transforms: tuple[BatchStep, ...] = ()
    sample_filters: tuple[BatchStep, ...] = ()
    policy_view: PolicyView | None = None
    ratio: Ratio = field(default_factory=TokenRatio)
    bounds: BoundsRule = field(default_factory=ConstantBounds)
    late_transforms: tuple[LateTransform, ...] = ()
    surrogate: Surrogate = field(default_factory=PPOClip)
    token_weights: tuple[Weight, ...] = ()
    behaviour: tuple[Weight, ...] = ()
    regularisers: tuple[Regulariser, ...] = ()
    aggregation: Aggregate = field(default_factory=Aggregation)
    controllers: tuple[ControllerSettings, ...] = ()
    replay: Any = None
    memory: Any = None
    stat_scope: str = "mini"

    def __post_init__(self) -> None:
        if self.surrogate.needs_ratio_gradient and not self.ratio.has_gradient:
            raise ConfigError(
                f"`surrogate` {type(self.surrogate).__name__} learns through the ratio, but "
                f"`ratio` {type(self.ratio).__name__} is a constant, so nothing would be learned; "
                "use TokenRatio or SequenceRatio, or the surrogate WeightPG."
            )
        if not callable(self.advantage):
            raise ConfigError(
                f"`advantage` is {self.advantage!r}; it must be exactly one base estimator. What "
                "changes its advantages afterwards goes into `transforms`."
            )
        names = [regulariser.name for regulariser in self.regularisers]
        if len(set(names)) != len(names):
            raise ConfigError(f"`regularisers` holds a name twice: {', '.join(names)}.")
        one_of("stat_scope", self.stat_scope, ("mini", "update", "micro"))
        for slot in self.filled():
            if hasattr(slot, "check"):
                slot.check(self)

    def filled(self) -> Iterator[Any]:
        """Yield every filled slot in the order it runs."""
        for name in SLOTS:
            value = getattr(self, name)
            yield from value if isinstance(value, tuple) else () if value is None else (value,)

    def slots(self) -> Iterator[Slot]:
        """Yield the filled slots that read statistics, in the order they run."""
        return (slot for slot in self.filled() if hasattr(slot, "requires"))

    def check_run(self, facts: RunFacts) -> None:
        """Raise `ConfigError` where a slot cannot work in such a run."""
        for slot in self.filled():
            if hasattr(slot, "check_run"):
                slot.check_run(facts)

    @property
    def requires(self) -> frozenset[Statistic]:
        """Every statistic a slot reads; `LOGPROBS` always."""
        return frozenset({Stat.LOGPROBS}).union(*(slot.requires for slot in self.slots()))

    @property
    def prepare_requires(self) -> frozenset[Statistic]:
        """Statistics read by `prepare`; those that are current need a pass without gradient."""
        needed = _union(
            slot.prepare_requires for slot in self.slots() if isinstance(slot, Prepares)
        )
        if Stat.LOGPROBS not in needed:
            return needed
        before = (self.policy_view, self.ratio, self.bounds, *self.late_transforms)
        return needed | _union(slot.requires for slot in before if slot is not None)

    @property
    def early_requires(self) -> frozenset[Statistic]:
        """Statistics that are read before the first micro-batch of an update."""
        early = (getattr(self, name) for name in SLOTS[: SLOTS.index("policy_view")])
        slots = [s for value in early for s in (value if isinstance(value, tuple) else (value,))]
        needs = (slot.requires for slot in slots if hasattr(slot, "requires"))
        return self.prepare_requires | _union(needs)


def _union(needs: Iterable[frozenset[Statistic]]) -> frozenset[Statistic]:
    return frozenset().union(*needs)


SLOTS = (
    "prompt",
    "rollout",
    "reward",
    "reward_shaping",
    "group_filter",
    "advantage",
    "transforms",
    "sample_filters",
    "policy_view",
    "ratio",
    "bounds",
    "late_transforms",
    "surrogate",
    "token_weights",
    "behaviour",
    "regularisers",
    "aggregation",
    "controllers",
    "replay",
    "memory",
)
"""The slots in the order they run."""
