"""Slots inside the loss: identities between methods and hand-computed cases."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import (
    Batch,
    Normaliser,
    Stat,
    estimate_advantages,
    get,
    policy_loss,
    prepare,
)
from agentrl.algorithms import controllers as control
from agentrl.algorithms.aggregation import Aggregation, Mode
from agentrl.algorithms.behaviour.weights import BehaviourWeight
from agentrl.algorithms.filters.standard import Mismatch, RejectionWeight, RejectMismatch
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import SequenceRatio
from agentrl.algorithms.regularisers.kl import KINDS, kl_estimate
from agentrl.algorithms.regularisers.standard import KLToReference
from agentrl.algorithms.surrogates.standard import PPOClip, RatioPG

GRPO = get("grpo", kl_coefficient=0.0)


@pytest.fixture
def ready(make_batch):
    return estimate_advantages(GRPO, make_batch())


@pytest.mark.parametrize("mode", list(Mode))
def test_aggregation_equals_a_plain_loop(mode):
    values = torch.tensor([[1.0, 2.0, 4.0], [8.0, math.nan, 16.0], [math.inf, 1.0, 1.0]])
    valid = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 0, 0]]).bool()
    rows = [[1.0, 2.0], [8.0, 16.0]]
    expected = {
        Mode.TOKEN_MEAN: 27 / 4,
        Mode.TOKEN_SUM: 27.0,
        Mode.SEQ_MEAN_TOKEN_SUM: 27 / 2,
        Mode.SEQ_MEAN_TOKEN_MEAN: sum(sum(row) / len(row) for row in rows) / 2,
        Mode.SEQ_MEAN_TOKEN_SUM_NORM: 27 / 2 / 10,
    }[mode]
    result = Aggregation(mode)(values, valid, Normaliser.of(valid, length=10))
    assert float(result) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("advantage", [2.0, -2.0, 0.0])
@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.0, 1.2, 1.25, 3.5])
@pytest.mark.parametrize("dual", [None, 3.0])
def test_ppo_clip_gradient_by_cases(ready, advantage, ratio, dual):
    batch = replace(ready, advantages_BT=torch.full_like(ready.mask_BT, advantage))
    current = (batch.stats[Stat.OLD_LOGPROBS] + math.log(ratio)).requires_grad_()
    algorithm = replace(GRPO, surrogate=PPOClip(dual), bounds=ConstantBounds(0.2, 0.22))
    algorithm = replace(algorithm, aggregation=Aggregation(Mode.TOKEN_SUM))
    loss = policy_loss(
        algorithm, batch.with_stats({Stat.LOGPROBS: current}), Normaliser.of(batch.mask_BT)
    )
    loss.value.backward()
    off = (advantage > 0 and ratio > 1.22) or (advantage < 0 and ratio < 0.8 - 1e-9)
    off = off or (advantage < 0 and dual is not None and ratio > dual)
    expected = 0.0 if off else -advantage * ratio
    assert current.grad[0, 0].item() == pytest.approx(expected)


def test_clip_fractions_count_the_tokens_that_stop_learning(ready):
    algorithm = replace(GRPO, surrogate=PPOClip(1.3))
    batch = ready.with_stats({Stat.LOGPROBS: ready.stats[Stat.LOGPROBS].clone().requires_grad_()})
    loss = policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT))
    loss.value.backward()
    numbers = {name: metric.value for name, metric in loss.metrics.items()}
    silent = (batch.stats[Stat.LOGPROBS].grad == 0) & batch.valid_BT & (batch.advantages != 0)
    clipped = numbers["clip/high"] + numbers["clip/low"] + numbers["clip/dual"]
    assert clipped > 0
    assert clipped * batch.valid_BT.sum() == pytest.approx(float(silent.sum()))


def test_open_bounds_turn_ppo_clip_into_the_plain_ratio(ready, evaluate):
    wide = replace(GRPO, bounds=ConstantBounds(None, None))
    value, gradients = evaluate(wide, ready)
    other, others = evaluate(replace(wide, surrogate=RatioPG()), ready)
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(gradients[Stat.LOGPROBS], others[Stat.LOGPROBS])


def test_both_sequence_ratios_have_the_same_row_gradient_sum(ready, evaluate):
    """With one advantage per row and a row mean they agree in any common parameter."""
    base = replace(GRPO, bounds=ConstantBounds(None, None))
    _, tokens = evaluate(replace(base, ratio=SequenceRatio(per_token=True)), ready)
    _, whole = evaluate(replace(base, ratio=SequenceRatio(per_token=False)), ready)
    torch.testing.assert_close(
        tokens[Stat.LOGPROBS].sum(-1), whole[Stat.LOGPROBS].sum(-1), rtol=1e-7, atol=1e-10
    )


@pytest.mark.parametrize("kind", KINDS)
def test_kl_estimators_vanish_at_equality_and_have_the_documented_slope(kind):
    same = torch.zeros(3, dtype=torch.float64)
    assert (kl_estimate(same, same, kind) == 0).all()
    current = torch.tensor([0.3, -0.2, 0.05], dtype=torch.float64, requires_grad=True)
    value = kl_estimate(current, same, kind)
    (slope,) = torch.autograd.grad(value.sum(), current)
    delta = current.detach()
    if kind.endswith("+") or kind == "k2":
        expected = delta
    elif kind == "k1":
        expected = torch.ones(3, dtype=torch.float64)
    elif kind == "abs":
        expected = delta.sign()
    else:
        expected = 1 - (-delta).exp()
    torch.testing.assert_close(slope, expected)
    if kind.endswith("+"):
        torch.testing.assert_close(value, kl_estimate(current, same, kind[:-1]))


def test_ratio_corrected_kl_is_the_ratio_times_the_estimator(ready):
    term = KLToReference(coefficient=1.0, kind="k3", ratio_corrected=True)
    algorithm = replace(GRPO, regularisers=(term,), aggregation=Aggregation(Mode.TOKEN_SUM))
    loss = policy_loss(algorithm, ready, Normaliser.of(ready.mask_BT))
    stats, valid = ready.stats, ready.valid_BT
    ratio = (stats[Stat.LOGPROBS] - stats[Stat.OLD_LOGPROBS]).exp()
    kl = kl_estimate(stats[Stat.LOGPROBS], stats[Stat.REF_LOGPROBS], "k3")
    assert loss.metrics["loss/kl_ref"].value == pytest.approx(float((ratio * kl)[valid].sum()))


def test_behaviour_weights_vanish_when_engine_and_learner_agree(ready, evaluate):
    agreed = ready.with_stats({Stat.ROLLOUT_LOGPROBS: ready.stats[Stat.OLD_LOGPROBS]})
    value, _ = evaluate(GRPO, agreed)
    for level in ("token", "sequence", "mean"):
        for action in ("truncate", "mask"):
            for normalise in (False, True):
                weight = BehaviourWeight(level=level, action=action, normalise=normalise)
                other, _ = evaluate(replace(GRPO, behaviour=(weight,)), agreed)
                torch.testing.assert_close(other, value)


def test_self_normalised_weights_have_mean_one_over_the_whole_batch_in_any_cut(ready):
    weight = BehaviourWeight(level="token", normalise=True)
    algorithm = replace(GRPO, behaviour=(weight,))
    normaliser, prepared = Normaliser.of(ready.mask_BT), prepare(algorithm, ready)
    whole = policy_loss(algorithm, ready, normaliser, prepared=prepared)
    assert whole.metrics["behaviour/mean"].value == pytest.approx(1.0, abs=1e-6)
    parts = [
        policy_loss(algorithm, ready.rows(index), normaliser, prepared=prepared).value
        for index in torch.arange(10).split(3)
    ]
    torch.testing.assert_close(sum(parts), whole.value)


def test_rejection_as_a_filter_shrinks_the_normaliser_and_as_a_weight_does_not(ready, evaluate):
    test = Mismatch(level="token", kind="k2", high=0.01)
    filtered = RejectMismatch((test,))(ready)
    assert 0 < filtered.mask_BT.sum() < ready.mask_BT.sum()
    weighted = replace(
        GRPO,
        behaviour=(RejectionWeight((test,)),),
        aggregation=Aggregation(Mode.TOKEN_MEAN),
    )
    plain = replace(GRPO, aggregation=Aggregation(Mode.TOKEN_MEAN))
    small, _ = evaluate(plain, filtered)
    large, _ = evaluate(weighted, ready)
    share = filtered.mask_BT.sum() / ready.mask_BT.sum()
    torch.testing.assert_close(large, small * share)


def test_bounds_of_k1_are_bounds_of_the_ratio_of_old_to_rollout_policy(ready):
    keep = Mismatch(level="token", kind="k1", low=0.9, high=1.3).keep(ready)
    gap = ready.stats[Stat.OLD_LOGPROBS] - ready.stats[Stat.ROLLOUT_LOGPROBS]
    inside = (gap.exp() >= 0.9) & (gap.exp() <= 1.3)
    assert (keep == inside)[ready.valid_BT].all()


@pytest.fixture
def fifty():
    """A batch of fifty episodes."""
    return Batch(
        mask_BT=torch.ones(50, 1),
        groups_B=torch.zeros(50),
        episodes_B=torch.arange(50),
        returns_B=torch.zeros(50),
        turns_BT=torch.zeros(50, 1),
    )


def test_adaptive_kl_follows_its_target_and_survives_a_checkpoint(fifty):
    settings = control.AdaptiveKL(target=0.1, horizon=100)
    algorithm = get("grpo", kl_coefficient=0.04, controllers=(settings,))
    running = control.start(algorithm)
    control.observe(running, {"kl_ref": 0.5}, fifty)
    raised = control.apply(running, algorithm).regularisers[0].coefficient
    assert raised == pytest.approx(0.04 * (1 + 0.2 * 50 / 100))
    control.observe(running, {"kl_ref": 0.09}, fifty)
    state = json.loads(json.dumps([controller.state_dict() for controller in running]))
    fresh = control.start(algorithm)
    for controller, saved in zip(fresh, state, strict=True):
        controller.load_state_dict(saved)
    assert control.apply(fresh, algorithm) == control.apply(running, algorithm)
    lowered = control.apply(fresh, algorithm).regularisers[0].coefficient
    assert lowered == pytest.approx(raised * (1 - 0.1 * 50 / 100))


def test_adaptive_kl_keeps_still_after_an_update_that_trained_nothing(fifty):
    algorithm = get("grpo", kl_coefficient=0.04, controllers=(control.AdaptiveKL(target=0.1),))
    running = control.start(algorithm)
    control.observe(running, {}, fifty)
    assert control.apply(running, algorithm) == algorithm


class _LearningWeight:
    """A weight that would let a gradient through, to see that it cannot."""

    requires = frozenset({Stat.LOGPROBS})

    def __call__(self, view):
        return view.stat(Stat.LOGPROBS).exp()


@pytest.mark.parametrize("slot", ["behaviour", "token_weights"])
def test_weights_scale_the_gradient_and_have_none_of_their_own(ready, evaluate, slot):
    base = replace(GRPO, aggregation=Aggregation(Mode.TOKEN_SUM))
    _, plain = evaluate(base, ready)
    _, weighted = evaluate(replace(base, **{slot: (_LearningWeight(),)}), ready)
    scale = torch.where(ready.valid_BT, ready.stats[Stat.LOGPROBS].exp(), 0.0)
    torch.testing.assert_close(
        weighted[Stat.LOGPROBS], plain[Stat.LOGPROBS] * scale.nan_to_num(), rtol=1e-9, atol=1e-12
    )


def test_late_transforms_see_the_bounds_and_are_detached(ready, evaluate):
    class Halve:
        requires = frozenset()

        def __call__(self, view):
            inside = (view.ratio_BT >= view.bounds.low) & (view.ratio_BT <= view.bounds.high)
            return view.advantages_BT * torch.where(inside, 0.5, 0.0) * view.ratio_BT.sign()

    wide = replace(GRPO, bounds=ConstantBounds(None, None))
    _, plain = evaluate(wide, ready)
    _, halved = evaluate(replace(wide, late_transforms=(Halve(),)), ready)
    torch.testing.assert_close(halved[Stat.LOGPROBS], plain[Stat.LOGPROBS] / 2)


def test_a_regulariser_can_have_its_own_aggregation(ready):
    term = KLToReference(coefficient=2.0, aggregation=Aggregation(Mode.TOKEN_SUM))
    loss = policy_loss(replace(GRPO, regularisers=(term,)), ready, Normaliser.of(ready.mask_BT))
    average = loss.metrics["kl_ref"].value
    total = 2.0 * average * float(ready.mask_BT.sum())
    assert loss.metrics["loss/kl_ref"].value == pytest.approx(total)
