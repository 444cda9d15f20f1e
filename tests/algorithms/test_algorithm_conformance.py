"""What every registered algorithm must satisfy, with and without mismatch correction."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from functools import partial

import pytest
import torch

from agentrl.algorithms import (
    Normaliser,
    Stat,
    combine,
    estimate_advantages,
    get,
    names,
    policy_loss,
    prepare,
    report,
)
from agentrl.algorithms.behaviour.presets import PRESETS
from agentrl.algorithms.statistics import LayerLogprobs
from agentrl.errors import StatisticMissing
from tests.algorithms.conftest import build, draws

SETTINGS = {
    "bnpo": {"high": 2.0},  # the returns of the batch lie in [0, 2]
    "passk": {"component": "success", "k": 2},  # the returns are not all 0 or 1
}
LEARNS_THROUGH = {
    "bupo": LayerLogprobs(layer=5, current=True),  # its view puts this in place of the log-probs
}
READS_LABELS = {"riskpo": "labels decide which episodes form a paper"}
DETACHED = {
    "WeightPG": "the ratio is a weight",
    "DivergencePG": "the ratio is a weight",
    "SequenceGammaPG": "a function of the row's ratio is a weight",
    "PrefixMinimum": "ratio and prefix are weights",
    "Decreasing": "token weights follow the current log-probs",
}  # losses that are no potential: a factor depends on the weights and has no gradient
VARIANTS = [(name, SETTINGS.get(name, {})) for name in names()]
VARIANTS += [("grpo", {"behaviour": preset}) for preset in PRESETS]
VARIANTS += [("grpo", {"entropy_coefficient": 0.01, "dual_clip": 3.0})]
VARIANTS += [("dapo", {"overlong": "filter"}), ("rloo", {"kl_reward_coefficient": 0.1})]
VARIANTS += [("siren", {"anchor": 0.3, "peak_quantile": 0.5}), ("lp_reg", {"share": 0.5})]
VARIANTS += [("lp_reg", {"share": 0.4, "positive_share": 0.6}), ("hapo", {"sign": "official"})]
VARIANTS += [("dapo", {"overlong_max_tokens": 6, "overlong_buffer_tokens": 4})]
VARIANTS += [("empo", {"variant": "trl"}), ("empo", {"variant": "verl"})]
VARIANTS += [("gtpo", {"divide_by_conflicts": True}), ("ttrl", {"answers": "actions"})]
VARIANTS += [("ares", {"variant": "released"}), ("seed_grpo", {"semantic_entropy": "likelihood"})]
VARIANTS += [("gigpo", {"match": "similarity", "mode": "mean_std_norm"})]
VARIANTS += [("gigpo", {"invalid_action_penalty": 0.1, "samples": "episodes"})]
VARIANTS += [("epo", {"averaging": "turn-mean"}), ("epo", {"base": "ppo"})]
VARIANTS += [("epo", {"variant": "step", "first_turn": 1, "penalty_mode": "seq"})]
VARIANTS += [("empg", {"base": "dapo"}), ("aepo", {"advantage_entropy": "old"})]
VARIANTS += [("aepo", {"credit": "subtree"}), ("arpo", {"credit": "step"})]
VARIANTS += [("cure", {"credit": "subtree"}), ("tree_grpo", {"credit": "step"})]
VARIANTS += [("dr_grpo", {"advantage": "tree"})]
VARIANTS += [
    ("bapo", {"positive_share": 0.6, "count_clipped": True}),
    ("clip_b", {"mu": 0.5}),
    ("clip_cov", {"fraction": 0.1, "covariance_low": 0.0, "covariance_high": 9.0}),
    ("clip_v", {"mu": 0.1, "max_fraction": 0.1}),
    ("dispo", {"variant": "topr"}),
    ("dppo", {"divergence": "kl", "bound_low": 0.01}),
    ("forking_tokens", {"variant": "exact"}),
    ("gmpo", {"behaviour": {"level": "token", "normalise": True}}),
    ("kl_cov", {"fraction": 0.2}),
    ("m2po", {"threshold": 0.01}),
    ("minpro", {"form": "clip", "clip_low": 0.2, "clip_high": 0.2, "include_current": True}),
    ("minpro", {"span": "row", "clip_first": True, "cap_prefix": True}),
    ("opsm", {"threshold": 0.0}),
    ("steer", {"shape": "exp"}),
]


@pytest.fixture(params=VARIANTS, ids=lambda v: "-".join([v[0], *map(str, v[1].values())]))
def algorithm(request):
    name, overrides = request.param
    return get(name, **overrides)


@pytest.fixture
def make_batch(algorithm):
    """Batches with every statistic that the algorithm reads."""
    return partial(build, requires=algorithm.requires)


def test_is_hashable_comparable_and_picklable(algorithm):
    copy = pickle.loads(pickle.dumps(algorithm))
    assert copy == algorithm
    assert hash(copy) == hash(algorithm)


def test_loss_and_gradients_are_finite_and_masked_positions_get_none(
    algorithm, make_batch, evaluate
):
    batch = estimate_advantages(algorithm, make_batch())
    value, gradients = evaluate(algorithm, batch)
    assert torch.isfinite(value)
    for gradient in gradients.values():
        assert torch.isfinite(gradient).all()
        assert (gradient[~batch.valid_BT] == 0).all()
    assert gradients[LEARNS_THROUGH.get(algorithm.name, Stat.LOGPROBS)].abs().sum() > 0


def test_advantages_are_zero_where_masked_and_carry_no_gradient(algorithm, make_batch):
    batch = estimate_advantages(algorithm, make_batch())
    assert not batch.advantages.requires_grad
    assert (batch.advantages[~batch.valid_BT] == 0).all()


@pytest.mark.parametrize("parts", [[5, 5], [1] * 10, [3, 0, 6, 1]])
def test_micro_batches_add_up_exactly(algorithm, make_batch, evaluate, parts):
    batch = estimate_advantages(algorithm, make_batch())
    normaliser = Normaliser.of(batch.mask_BT)
    prepared = prepare(algorithm, batch, generator=draws())
    whole, gradients = evaluate(algorithm, batch)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    losses = []
    for index in torch.split(order, parts):
        part = batch.rows(index)
        losses.append(policy_loss(algorithm, part, normaliser, prepared=prepared))
        _, share = evaluate(algorithm, part, normaliser, prepared)
        for name, gradient in gradients.items():
            torch.testing.assert_close(share[name], gradient[index], rtol=1e-10, atol=1e-13)
    total = sum(loss.value for loss in losses)
    torch.testing.assert_close(total, whole, rtol=1e-12, atol=1e-14)
    merged = report(combine(loss.metrics for loss in losses))
    undivided = policy_loss(algorithm, batch, normaliser, prepared=prepared)
    for name, number in report(undivided.metrics).items():
        assert merged[name] == pytest.approx(number, rel=1e-9, abs=1e-12), name


def test_row_order_does_not_matter(algorithm, make_batch, evaluate):
    batch = replace(make_batch(), index_B=torch.arange(10))  # votes: of equal ones the first wins
    order = torch.randperm(10, generator=torch.Generator().manual_seed(2))
    value, gradients = evaluate(algorithm, estimate_advantages(algorithm, batch))
    other, others = evaluate(algorithm, estimate_advantages(algorithm, batch.rows(order)))
    torch.testing.assert_close(other, value)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient[order])


def test_labels_of_groups_and_episodes_do_not_matter(algorithm, make_batch, evaluate):
    if algorithm.name in READS_LABELS:
        pytest.skip(READS_LABELS[algorithm.name])
    batch = make_batch()
    renamed = replace(batch, groups_B=1000 - batch.groups_B, episodes_B=50 - 3 * batch.episodes_B)
    value, _ = evaluate(algorithm, estimate_advantages(algorithm, batch))
    other, _ = evaluate(algorithm, estimate_advantages(algorithm, renamed))
    torch.testing.assert_close(other, value)


def test_padding_and_its_contents_do_not_matter(algorithm, make_batch, evaluate):
    batch = make_batch()
    normaliser = Normaliser.of(estimate_advantages(algorithm, batch).mask_BT, length=7)

    def wider(values, filler):
        filled = torch.where(batch.valid_BT, values, torch.full_like(values, filler))
        return torch.nn.functional.pad(filled, (0, 3), value=filler)

    padded = replace(
        batch,
        mask_BT=torch.nn.functional.pad(batch.mask_BT, (0, 3)),
        turns_BT=wider(batch.turns_BT, 99),
        rewards_BT=wider(batch.rewards_BT, 123.0),
        ids_BT=wider(batch.ids_BT, 99),
        spans_BT=wider(batch.spans_BT, 99),
        anchors_BT=wider(batch.anchors_BT, 99),
        observations_BT=wider(batch.observations_BT, 99),
        invalid_BT=wider(batch.invalid_BT, True),
        stats={name: wider(value, float("inf")) for name, value in batch.stats.items()},
    )
    value, gradients = evaluate(algorithm, estimate_advantages(algorithm, batch), normaliser)
    other, others = evaluate(algorithm, estimate_advantages(algorithm, padded), normaliser)
    torch.testing.assert_close(other, value)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name][:, :7], gradient)


def test_what_an_empty_row_says_does_not_matter(algorithm, make_batch, evaluate):
    batch = make_batch()
    assert not batch.valid_BT[-1].any()
    returns = batch.returns_B.clone()
    returns[-1] = 1e6
    value, _ = evaluate(algorithm, estimate_advantages(algorithm, batch))
    loud = replace(batch, returns_B=returns)
    other, _ = evaluate(algorithm, estimate_advantages(algorithm, loud))
    torch.testing.assert_close(other, value)


def test_a_batch_without_a_valid_token_gives_zero(algorithm, make_batch, evaluate):
    batch = make_batch()
    silent = replace(batch, mask_BT=torch.zeros_like(batch.mask_BT))
    value, gradients = evaluate(algorithm, estimate_advantages(algorithm, silent))
    assert value == 0
    assert all((gradient == 0).all() for gradient in gradients.values())


def test_every_group_with_one_member_is_finite(algorithm, make_batch, evaluate):
    batch = make_batch()
    alone = replace(batch, groups_B=batch.episodes_B)
    value, _ = evaluate(algorithm, estimate_advantages(algorithm, alone))
    assert torch.isfinite(value)


def test_gradient_is_the_derivative_of_the_loss(algorithm, make_batch, evaluate):
    """Central differences in float64, for slots that are differentiable in the value itself."""
    slots = (algorithm.surrogate, *algorithm.token_weights)
    reasons = [DETACHED[type(slot).__name__] for slot in slots if type(slot).__name__ in DETACHED]
    if reasons and algorithm.ratio.has_gradient:
        pytest.skip(reasons[0])
    if algorithm.name == "gspo":
        algorithm = replace(algorithm, ratio=replace(algorithm.ratio, per_token=False))
    batch = estimate_advantages(algorithm, make_batch())
    normaliser = Normaliser.of(batch.mask_BT)
    _, gradients = evaluate(algorithm, batch)
    step = 1e-6
    needed = [name for name in gradients if name in algorithm.requires]
    for name in needed:
        for row, column in ((0, 1), (2, 3), (3, 0), (5, 4), (6, 6)):
            moved = []
            for sign in (1, -1):
                values = batch.stats[name].clone()
                values[row, column] += sign * step
                changed = batch.with_stats({name: values})
                loss = policy_loss(algorithm, changed, normaliser, generator=draws())
                moved.append(float(loss.value))
            slope = (moved[0] - moved[1]) / (2 * step)
            got = float(gradients[name][row, column])
            assert got == pytest.approx(slope, rel=1e-5, abs=1e-8), name


def test_only_declared_statistics_are_read(algorithm, make_batch):
    batch = make_batch()
    stats = {name: batch.stats[name] for name in algorithm.requires}
    before = {name: value for name, value in stats.items() if not name.current}
    estimated = estimate_advantages(algorithm, replace(batch, stats=before))
    policy_loss(algorithm, estimated.with_stats(stats), Normaliser.of(estimated.mask_BT))


def test_a_missing_statistic_raises_and_is_named(algorithm, make_batch):
    batch = estimate_advantages(algorithm, make_batch())
    missing = LEARNS_THROUGH.get(algorithm.name, Stat.LOGPROBS)
    stats = {name: value for name, value in batch.stats.items() if name != missing}
    with pytest.raises(StatisticMissing, match=re.escape(f"`{missing}`")):
        policy_loss(algorithm, replace(batch, stats=stats), Normaliser.of(batch.mask_BT))


def test_on_policy_gradient_is_the_plain_policy_gradient(algorithm, make_batch, evaluate):
    """With current = old policy every surrogate here has the gradient -A m / normaliser."""
    plain = replace(algorithm, regularisers=(), behaviour=(), token_weights=(), controllers=())
    plain = replace(plain, late_transforms=(), policy_view=None)
    batch = make_batch(spread=0.0)
    batch = estimate_advantages(plain, batch)
    _, gradients = evaluate(plain, batch)
    normaliser = Normaliser.of(batch.mask_BT)
    slope = torch.zeros_like(batch.mask_BT).requires_grad_()
    total = plain.aggregation(-batch.advantages * slope, batch.valid_BT, normaliser)
    (expected,) = torch.autograd.grad(total, slope)
    torch.testing.assert_close(gradients[Stat.LOGPROBS], expected)


def test_required_metrics_are_reported(algorithm, make_batch):
    batch = estimate_advantages(algorithm, make_batch())
    numbers = report(policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).metrics)
    wanted = {
        "loss", "loss/policy", "clip/high", "clip/low", "ratio", "kl_old/k1", "kl_old/k3",
        "tokens/effective", "behaviour/ess", "token_weight", "entropy",
    }  # fmt: skip
    wanted |= {term.name for term in algorithm.regularisers}
    wanted |= {f"loss/{term.name}" for term in algorithm.regularisers}
    assert wanted <= set(numbers)
    assert all(torch.isfinite(torch.tensor(number)) for number in numbers.values())
    parts = [value for name, value in numbers.items() if name.startswith("loss/")]
    assert sum(parts) == pytest.approx(numbers["loss"])
