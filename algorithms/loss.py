"""From advantages and log-probs to the loss of one micro-batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agentrl.algorithms import masked
from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.metrics import Metric
from agentrl.algorithms.slots import Bounds, Prepares, View, Weight


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of a micro-batch.

    Attributes:
        value: scalar with gradient; the values of all micro-batches add up to the whole batch's.
        metrics: merge with `metrics.combine`, read with `metrics.report`.
    """

    value: Tensor
    metrics: dict[str, Metric]


@torch.no_grad()
def prepare(
    algorithm: Algorithm,
    batch: Batch,
    normaliser: Normaliser | None = None,
    *,
    generator: torch.Generator | None = None,
) -> dict[object, Any]:
    """Compute what slots need to know about the whole optimiser batch.

    Args:
        algorithm: slots with a `prepare` method are asked, in the order they run.
        batch: all rows of the optimiser batch, with `algorithm.prepare_requires`.
        normaliser: counts of the optimiser batch, by default those of `batch`.
        generator: randomness for slots that draw.

    Returns:
        State by slot, to pass to every `policy_loss` of the batch.  Empty for most methods.
    """
    if not algorithm.prepare_requires:
        return {}
    normaliser = normaliser or Normaliser.of(batch.mask_BT)
    found: dict[object, Any] = {}

    def ask(slot: object, view: View) -> None:
        if isinstance(slot, Prepares) and slot.prepare_requires:
            found[slot] = slot.prepare(view)

    view = _start(algorithm, batch, normaliser, generator, found)
    if Stat.LOGPROBS in algorithm.prepare_requires:
        view = _with_ratio(algorithm, view, ask)
    else:
        for slot in (algorithm.bounds, *algorithm.late_transforms):
            ask(slot, view)
    later = (algorithm.surrogate, *algorithm.token_weights, *algorithm.behaviour)
    for slot in (*later, *algorithm.regularisers):
        ask(slot, view)
    return found


def policy_loss(
    algorithm: Algorithm,
    batch: Batch,
    normaliser: Normaliser,
    *,
    generator: torch.Generator | None = None,
    prepared: Mapping[object, Any] | None = None,
) -> Loss:
    """Return the loss of a micro-batch.

    The sum over the micro-batches of an optimiser batch, each with the counts and the `prepared`
    state of the whole, equals the loss of the whole; so do gradients and merged metrics.

    Args:
        algorithm: its slots from `ratio` on are applied.
        batch: rows after `estimate_advantages`, with every statistic of `algorithm.requires`.
        normaliser: counts of the whole optimiser batch, over all processes.
        generator: randomness for slots that draw.
        prepared: what `prepare` returned; None computes it from this micro-batch alone.

    Raises:
        StatisticMissing: a slot reads a statistic that is not there, or there are no advantages.
    """
    view = make_view(algorithm, batch, normaliser, generator, prepared)
    weight_BT = _product(algorithm.token_weights, view)
    behaviour_BT = _product(algorithm.behaviour, view)
    loss_BT = algorithm.surrogate(view) * weight_BT * behaviour_BT
    value = algorithm.aggregation(loss_BT, view.valid_BT, normaliser)
    metrics = _metrics(algorithm, view, weight_BT, behaviour_BT)
    metrics["loss/policy"] = Metric.sum(value)
    for term in algorithm.regularisers:
        values_BT = term(view)
        aggregate = term.aggregation or algorithm.aggregation
        share = term.coefficient * aggregate(values_BT, view.valid_BT, normaliser)
        metrics[term.name] = Metric.mean(values_BT, view.valid_BT)
        metrics[f"loss/{term.name}"] = Metric.sum(share)
        value = value + share
    metrics["loss"] = Metric.sum(value)
    return Loss(value, metrics)


def make_view(
    algorithm: Algorithm,
    batch: Batch,
    normaliser: Normaliser,
    generator: torch.Generator | None = None,
    prepared: Mapping[object, Any] | None = None,
) -> View:
    """Return what the slots inside the loss see: ratio, bounds and final advantages."""
    if prepared is None:
        prepared = prepare(algorithm, batch, normaliser, generator=generator)
    return _with_ratio(algorithm, _start(algorithm, batch, normaliser, generator, prepared))


def _start(
    algorithm: Algorithm,
    batch: Batch,
    normaliser: Normaliser,
    generator: torch.Generator | None,
    prepared: Mapping[object, Any],
) -> View:
    """Return the view before ratio and bounds are known."""
    batch = batch.clean()
    advantages_BT = batch.advantages.detach()
    zero = advantages_BT.new_zeros(())
    return View(
        batch=batch,
        valid_BT=batch.valid_BT,
        advantages_BT=advantages_BT,
        ratio_BT=torch.full_like(advantages_BT, math.nan),
        bounds=Bounds(zero, zero + math.inf),
        normaliser=normaliser,
        generator=generator,
        prepared=prepared,
    )


def _with_ratio(
    algorithm: Algorithm, view: View, ask: Callable[[object, View], None] = lambda slot, view: None
) -> View:
    """Add ratio and bounds and transform the advantages; `ask` sees each slot before it runs."""
    if algorithm.policy_view is not None:
        view = replace(view, batch=algorithm.policy_view(view.batch).clean())
    ratio_BT = algorithm.ratio(view.batch)
    view = replace(view, ratio_BT=ratio_BT.detach())
    ask(algorithm.bounds, view)
    view = replace(view, bounds=algorithm.bounds(view), ratio_BT=ratio_BT)
    for transform in algorithm.late_transforms:
        ask(transform, view)
        advantages_BT = masked.fill(transform(view).detach(), view.valid_BT)
        view = replace(view, advantages_BT=advantages_BT)
    return view


def _product(weights: tuple[Weight, ...], view: View) -> Tensor:
    """Return the product of all weights [B, T], without gradient."""
    product_BT = torch.ones_like(view.advantages_BT)
    for weight in weights:
        product_BT = product_BT * weight(view).detach()
    return masked.fill(product_BT, view.valid_BT, 1.0)


@torch.no_grad()
def _metrics(
    algorithm: Algorithm, view: View, weight_BT: Tensor, behaviour_BT: Tensor
) -> dict[str, Metric]:
    """Return what every algorithm reports."""
    valid_BT, advantages_BT, ratio_BT = view.valid_BT, view.advantages_BT, view.ratio_BT
    behind_BT, ahead_BT = advantages_BT < 0, advantages_BT > 0
    metrics = {
        "clip/high": Metric.share(ahead_BT & (ratio_BT > view.bounds.high), valid_BT),
        "clip/low": Metric.share(behind_BT & (ratio_BT < view.bounds.low), valid_BT),
        "ratio": Metric.mean(ratio_BT, valid_BT),
        "advantage": Metric.mean(advantages_BT, valid_BT),
        "advantage/abs": Metric.mean(advantages_BT.abs(), valid_BT),
        "token_weight": Metric.mean(weight_BT, valid_BT),
        "behaviour/mean": Metric.mean(behaviour_BT, valid_BT),
        "behaviour/square": Metric.mean(behaviour_BT**2, valid_BT),
        "tokens/effective": Metric.sum((valid_BT & (weight_BT * behaviour_BT > 0)).sum()),
    }
    if algorithm.surrogate.dual_clip is not None:
        dual_BT = behind_BT & (ratio_BT > algorithm.surrogate.dual_clip)
        metrics["clip/dual"] = Metric.share(dual_BT, valid_BT)
    stats = view.batch.stats
    if Stat.LOGPROBS in stats and Stat.OLD_LOGPROBS in stats:
        back_BT = stats[Stat.OLD_LOGPROBS] - stats[Stat.LOGPROBS]
        metrics["kl_old/k1"] = Metric.mean(back_BT, valid_BT)
        metrics["kl_old/k3"] = Metric.mean(torch.expm1(-back_BT) + back_BT, valid_BT)
    for name in (Stat.ENTROPY, Stat.ENTROPY_GRAD):
        if name in stats:
            metrics["entropy"] = Metric.mean(stats[name], valid_BT)
    return metrics
