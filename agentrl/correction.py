"""Which weights correct for the policy of the engine, and why.

An engine with weights and rounding of its own samples from a policy that is close to the learner's
and not equal to it.  `engine.correction` says what is done about that; `auto` weighs the loss by
`DEFAULT` unless the engine shares the learner's weights or the algorithm has its own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrl import algorithms
from agentrl.algorithms import Algorithm
from agentrl.config.schema import AUTO, EngineConfig
from agentrl.errors import ConfigError
from agentrl.plans import temperature_rule

DEFAULT = "token-tis"


@dataclass(frozen=True, slots=True)
class Correction:
    """An algorithm with the correction it trains with.

    Attributes:
        algorithm: as it is trained.
        name: of the correction.
        reason: why it is this one, in words.
    """

    algorithm: Algorithm
    name: str
    reason: str

    def __str__(self) -> str:
        return f"Correction for the engine: {self.name} ({self.reason})"


def corrected(name: str, options: Mapping[str, Any], engine: EngineConfig) -> Correction:
    """Build an algorithm with the behaviour weights that belong to an engine.

    Args:
        name: of the algorithm.
        options: `algorithm.options`.
        engine: its kind and `correction`.

    Raises:
        UnknownNameError: there is no such algorithm or option.
        ConfigError: `engine.correction` and `behaviour` in `options` both say what to do, or the
            algorithm takes no behaviour weights and some are asked for.
    """
    asked = engine.correction
    if asked == AUTO:
        return _automatic(name, options, engine)
    if "behaviour" in options:
        raise ConfigError(
            f"`engine.correction` is {asked!r} and `algorithm.options.behaviour` is "
            f"{options['behaviour']!r}: both set the same weights. Leave one of them out."
        )
    algorithm = algorithms.get(name, **options, behaviour=asked)
    return Correction(algorithm, asked, "`engine.correction`")


def _automatic(name: str, options: Mapping[str, Any], engine: EngineConfig) -> Correction:
    algorithm = algorithms.get(name, **options)
    if "behaviour" in options:
        return Correction(algorithm, str(options["behaviour"]), "`algorithm.options.behaviour`")
    if algorithm.behaviour:
        return Correction(algorithm, "the algorithm's own", f"{name} has weights of its own")
    if engine.shares_weights:
        reason = f"the {engine.kind} engine computes with the learner's own weights"
        return Correction(algorithm, "none", reason)
    if temperature_rule(algorithm.rollout) is not None:
        reason = f"{name} chooses temperatures on purpose, which weights would undo"
        return Correction(algorithm, "none", reason)
    try:
        weighted = algorithms.get(name, **options, behaviour=DEFAULT)
    except ConfigError as refusal:  # without weights it was built, so it is these it refuses
        return Correction(algorithm, "none", str(refusal))
    reason = f"the default, since the {engine.kind} engine has weights and rounding of its own"
    return Correction(weighted, DEFAULT, reason)
