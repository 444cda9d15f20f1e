"""Training the policy that an inner layer defines, for the first part of a run (BuPO)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range
from agentrl.algorithms.controllers import Controller
from agentrl.algorithms.slots import RunFacts
from agentrl.algorithms.statistics import LayerLogprobs, Statistic
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """Policy view: current and old log-probs are those of an inner layer.

    Gradients reach the embeddings, the layers up to this one and the output matrix.

    Attributes:
        layer: number of the decoder layer, from 0.
    """

    layer: int = 5

    def __post_init__(self) -> None:
        in_range("layer", self.layer, 0)

    @property
    def old(self) -> LayerLogprobs:
        """Log-probs of the layer under the old weights."""
        return LayerLogprobs(layer=self.layer)

    @property
    def requires(self) -> frozenset[Statistic]:
        """Log-probs of the layer, current and old."""
        return frozenset({self.old, self.old.now()})

    def check(self, algorithm: Algorithm) -> None:
        """Raise `ConfigError` for slots that would compare the layer with the whole model."""
        if algorithm.behaviour:
            raise ConfigError(
                "`behaviour` corrects for the engine's policy, which is the whole model's, but "
                "`policy_view` takes the old policy from an inner layer; leave `behaviour` empty."
            )
        for term in algorithm.regularisers:
            if Stat.REF_LOGPROBS in term.requires:
                raise ConfigError(
                    f"`regularisers` has {term.name!r}, which would compare an inner layer with "
                    "the reference's last one; set its coefficient to 0 under `policy_view`."
                )

    def check_run(self, facts: RunFacts) -> None:
        """Raise `ConfigError` unless the layer is an inner one of the model."""
        if facts.layers and self.layer >= facts.layers - 1:
            raise ConfigError(
                f"`layer` is {self.layer}, but the model has {facts.layers} decoder layers, "
                f"numbered from 0; choose an inner one, at most {facts.layers - 2}."
            )

    def __call__(self, batch: Batch) -> Batch:
        """Return a copy with the layer's log-probs in place of the policy's."""
        return batch.with_stats(
            {
                Stat.LOGPROBS: batch.stat(self.old.now()),
                Stat.OLD_LOGPROBS: batch.stat(self.old),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewStage:
    """Controller: the policy view is in force for the first updates only.

    Attributes:
        updates: S; from then on the loss is that of the model's own policy.
    """

    updates: int = 30

    def __post_init__(self) -> None:
        in_range("view_updates", self.updates, 0)

    def start(self, algorithm: Algorithm) -> Controller:
        """Begin at update 0."""
        return _ViewStage(self)


@dataclass(slots=True)
class _ViewStage(Controller):
    settings: ViewStage
    done: int = 0

    def apply(self, algorithm: Algorithm) -> Algorithm:
        if self.done < self.settings.updates:
            return algorithm
        return replace(algorithm, policy_view=None)

    def observe(self, report: Mapping[str, float], batch: Batch) -> None:
        self.done += 1

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.done = int(state["done"])
