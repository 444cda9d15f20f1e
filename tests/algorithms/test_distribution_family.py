"""DCPO, Lp-Reg, BuPO, SIREN, HAPO and adaptive entropy: identities and cases computed by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from agentrl.algorithms import Normaliser, Stat, estimate_advantages, get, policy_loss
from agentrl.algorithms import controllers as control
from agentrl.algorithms.advantages.group import GroupRelative
from agentrl.algorithms.loss import make_view, prepare
from agentrl.algorithms.ratios.entropy_bounds import (
    EntropyBounds,
    EntropyRedistribution,
    EntropyScale,
    TokenGroupRelative,
)
from agentrl.algorithms.ratios.layer_view import LayerView
from agentrl.algorithms.regularisers.adaptive_entropy import AdaptiveEntropy
from agentrl.algorithms.regularisers.entropy_anchor import AnchoredEntropy, EntropyAnchor
from agentrl.algorithms.slots import RunFacts
from agentrl.algorithms.statistics import (
    FilteredLogprobs,
    LayerLogprobs,
    TemperedLogprobs,
    TopPEntropy,
)
from agentrl.algorithms.transforms.distribution_mix import DistributionMix, EntropyFeedback
from agentrl.errors import ConfigError
from tests.algorithms.conftest import build, value_and_gradients

PROBS = torch.tensor([[0.15, 0.5, 0.05, 0.3]], dtype=torch.float64)


def same(first, second, batch):
    """Assert that two algorithms have equal loss and gradients on a batch with advantages."""
    value, gradients = value_and_gradients(first, batch)
    other, others = value_and_gradients(second, batch)
    torch.testing.assert_close(value, other, rtol=1e-12, atol=1e-14)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-12, atol=1e-14)


def through_json(controllers, fresh):
    """Carry the state of controllers to fresh ones the way checkpoints do."""
    for old, new in zip(controllers, fresh, strict=True):
        new.load_state_dict(json.loads(json.dumps(old.state_dict())))
    return fresh


class TestStatistics:
    @pytest.mark.parametrize(
        ("kind", "threshold", "target", "expected"),
        [
            ("min-p", 0.2, 3, 0.3 / 0.95),  # 0.05 < 0.2 * 0.5 goes
            ("min-p", 0.4, 3, 0.3 / 0.8),
            ("min-p", 1.0, 1, 1.0),
            ("fixed", 0.1, 0, 0.15 / 0.95),
            ("fixed", 0.2, 1, 0.5 / 0.8),
            ("fixed", 0.0, 2, 0.05),
        ],
    )
    def test_filtered_logprobs(self, kind, threshold, target, expected):
        statistic = FilteredLogprobs(kind=kind, threshold=threshold)
        found = statistic.of_logits(PROBS.log() + 3, torch.tensor([target]))
        assert found.item() == pytest.approx(math.log(expected))

    def test_a_removed_token_has_almost_no_probability(self):
        found = FilteredLogprobs(threshold=0.2).of_logits(PROBS.log(), torch.tensor([2]))
        assert found.item() < -9_000

    @pytest.mark.parametrize(
        ("top_p", "top_k", "kept"),
        [(0.9, 9, [0.5, 0.3]), (0.96, 9, [0.5, 0.3, 0.15]), (0.9, 1, [0.5]), (0.4, 9, [])],
    )
    def test_the_token_that_crosses_top_p_is_left_out(self, top_p, top_k, kept):
        statistic = TopPEntropy(top_p=top_p, top_k=top_k)
        found = statistic.of_logits(PROBS.log(), torch.tensor([0])).item()
        shares = [value / sum(kept) for value in kept]
        assert found == pytest.approx(-sum(q * math.log(q) for q in shares), abs=1e-9)

    def test_an_empty_nucleus_has_a_finite_gradient(self):
        logits = PROBS.log().requires_grad_()
        TopPEntropy(top_p=0.4).of_logits(logits, torch.tensor([0])).sum().backward()
        assert (logits.grad == 0).all()

    def test_settings_out_of_range_are_refused(self):
        with pytest.raises(ConfigError, match="`filter` is 'top'"):
            FilteredLogprobs(kind="top")
        with pytest.raises(ConfigError, match="`entropy_top_p` is 0"):
            TopPEntropy(top_p=0)


class TestDcpo:
    def batch(self, **changes):
        mix = DistributionMix(**changes)
        batch = build(requires=mix.requires)
        return mix, replace(batch.clean(), advantages_BT=torch.ones_like(batch.mask_BT))

    def test_without_a_correct_episode_advantages_stay(self):
        mix, batch = self.batch(threshold=2.0)
        assert mix.alpha(batch) == 0
        assert torch.equal(mix(batch).advantages, batch.mask_BT)

    def test_at_the_target_advantages_stay(self):
        mix, batch = self.batch(entropy=0.5)
        assert torch.equal(mix(batch).advantages, batch.mask_BT)

    @pytest.mark.parametrize(("entropy", "gap"), [(0.45, 0.05), (0.1, 0.1), (0.58, 0.08)])
    def test_by_hand(self, entropy, gap):
        """Six of eight counted episodes have a return above 0.4; episode 1 has two rows."""
        mix, batch = self.batch(entropy=entropy, threshold=0.4)
        strength = gap / (6 / 8)
        alpha = strength / (1 + strength)
        hot = TemperedLogprobs(temperature=1.2 if entropy <= 0.5 else 0.8)
        assert mix.tempered == hot
        rho = (batch.stat(hot) - batch.stat(Stat.OLD_LOGPROBS)).exp()
        found = mix(batch).advantages
        for row, returns in enumerate(batch.returns_B.tolist()):
            for column in range(7):
                expected = 1 - alpha + alpha * (returns > 0.4) * float(rho[row, column])
                expected *= float(batch.mask_BT[row, column])
                assert float(found[row, column]) == pytest.approx(expected, rel=1e-6)

    def test_the_bare_return_decides(self):
        mix, batch = self.batch(entropy=0.45)
        shaped = replace(batch, outcomes_B=batch.returns_B, returns_B=batch.returns_B - 5)
        torch.testing.assert_close(mix(shaped).advantages, mix(batch).advantages)

    def test_the_previous_entropy_chooses_the_temperature(self):
        algorithm = get("dcpo")
        running = control.start(algorithm)
        for entropy, expected in ((0.4, 1.2), (0.5, 1.2), (0.51, 0.8)):
            control.observe(running, {"entropy": entropy}, build())
            fresh = through_json(running, control.start(algorithm))
            for controllers in (running, fresh):
                current = control.apply(controllers, algorithm)
                assert TemperedLogprobs(temperature=expected) in current.requires
                assert current.transforms[0].entropy == entropy
        control.observe(running, {}, build())  # nothing was trained
        assert control.apply(running, algorithm) == current

    def test_a_controller_without_its_transform_is_refused(self):
        with pytest.raises(ConfigError, match="DistributionMix"):
            get("grpo", controllers=(EntropyFeedback(),))


class TestLpReg:
    def test_without_tokens_it_is_clipped_grpo(self):
        base = get("grpo", clip_low=1.0, clip_high=9.0, kl_coefficient=0, aggregation="token-mean")
        batch = estimate_advantages(base, build(requires=get("lp_reg").requires))
        same(get("lp_reg", share=0.0), base, batch)
        assert FilteredLogprobs() not in get("lp_reg", share=0.0).requires
        assert int((batch.advantages < 0).sum()) * 0.1 < 2
        same(get("lp_reg", share=0.1), base, batch)  # one token is no selection
        beyond = batch.with_stats({FilteredLogprobs(): batch.stats[Stat.LOGPROBS] - 1})
        same(get("lp_reg", share=1.0), base, beyond)

    @pytest.mark.parametrize("clip_low", [0.05, 1.0])
    def test_against_plain_loops(self, clip_low):
        algorithm = get("lp_reg", share=0.6, clip_low=clip_low, clip_high=0.1)
        proxy = FilteredLogprobs()
        batch = estimate_advantages(algorithm, build(requires=algorithm.requires))
        now, old = batch.stats[Stat.LOGPROBS], batch.stats[Stat.OLD_LOGPROBS]
        places = [tuple(place) for place in batch.valid_BT.nonzero().tolist()]
        negative = [place for place in places if batch.advantages[place] < 0]
        negative.sort(key=lambda place: float(now[place]))
        lowest = negative[: int(0.6 * len(negative))]
        chosen = {place for place in lowest if now[place] < batch.stats[proxy][place]}
        assert 2 <= len(chosen) < len(lowest)
        total, open_ones = 0.0, 0
        for place in places:
            advantage, ratio = float(batch.advantages[place]), math.exp(now[place] - old[place])
            free, clipped = -advantage * ratio, -advantage * min(max(ratio, 1 - clip_low), 1.1)
            if place in chosen:
                back = float(batch.stats[proxy][place] - now[place])
                total += free + math.exp(back) - back - 1
                open_ones += free < clipped
            else:
                total += max(free, clipped)
        assert open_ones or clip_low == 1.0
        value = policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).value
        assert float(value) == pytest.approx(total / len(places))

    def test_it_acts_on_policy_and_only_upwards(self):
        algorithm = get("lp_reg", share=0.6)
        batch = estimate_advantages(algorithm, build(spread=0.0, requires=algorithm.requires))
        _, gradients = value_and_gradients(algorithm, batch)
        _, plain = value_and_gradients(get("lp_reg", share=0.0), batch)
        pull = gradients[Stat.LOGPROBS] - plain[Stat.LOGPROBS]
        assert (pull < 0).any()
        assert (pull <= 0).all()


class TestBupo:
    def test_the_layers_policy_first_then_the_models(self):
        algorithm = get("bupo", layer=3, layer_updates=2)
        running = control.start(algorithm)
        batch = estimate_advantages(algorithm, build(requires=algorithm.requires))
        base = replace(
            get("grpo", kl_coefficient=0, dual_clip=10.0, aggregation="token-mean"), name="bupo"
        )
        now = LayerLogprobs(layer=3, current=True)
        for _ in range(2):
            current = control.apply(running, algorithm)
            value, gradients = value_and_gradients(current, batch)
            inner = {
                Stat.LOGPROBS: batch.stats[now],
                Stat.OLD_LOGPROBS: batch.stats[LayerLogprobs(layer=3)],
            }
            other, others = value_and_gradients(base, batch.with_stats(inner))
            torch.testing.assert_close(value, other)
            torch.testing.assert_close(gradients[now], others[Stat.LOGPROBS])
            assert not gradients[Stat.LOGPROBS].any()
            control.observe(running, {}, batch)
            running = through_json(running, control.start(algorithm))
        current = control.apply(running, algorithm)
        same(current, base, batch)
        assert current.requires == {Stat.LOGPROBS, Stat.OLD_LOGPROBS}

    def test_impossible_combinations_are_refused(self):
        with pytest.raises(ConfigError, match="`behaviour`"):
            get("bupo", behaviour="token-tis")
        with pytest.raises(ConfigError, match="'kl_ref'"):
            get("bupo", regularisers=get("grpo").regularisers)
        facts = RunFacts(group_size=4, tasks_per_step=2, layers=6)
        with pytest.raises(ConfigError, match="at most 4"):
            get("bupo").check_run(facts)
        get("bupo", layer=4).check_run(facts)
        get("bupo").check_run(replace(facts, layers=0))
        assert LayerView(layer=2).requires == {
            LayerLogprobs(layer=2),
            LayerLogprobs(layer=2, current=True),
        }


class TestSiren:
    def test_without_a_coefficient_it_is_dr_grpo(self):
        algorithm = get("siren", anchor_coefficient=0.0)
        base = get("dr_grpo")
        same(algorithm, base, estimate_advantages(base, build(requires=get("siren").requires)))
        assert algorithm.requires == base.requires
        assert algorithm.controllers == ()

    def entropies(self, batch, statistic, quantile):
        """H by plain loops, and the peaks."""
        total, peaks = 0.0, []
        for row in range(len(batch.mask_BT)):
            columns = batch.valid_BT[row].nonzero().flatten().tolist()
            values = sorted(float(batch.stats[statistic][row, column]) for column in columns)
            if not values:
                continue
            place = quantile * (len(values) - 1)
            low, high = values[math.floor(place)], values[math.ceil(place)]
            limit = low + (high - low) * (place - math.floor(place))
            kept = [c for c in columns if float(batch.stats[statistic][row, c]) > limit]
            peaks += [(row, column) for column in kept]
            if kept:
                total += sum(float(batch.stats[statistic][row, c]) for c in kept) / len(kept)
        return total / int(batch.valid_BT.any(-1).sum()), peaks

    @pytest.mark.parametrize("quantile", [0.3, 0.8])
    def test_value_and_gradient_against_plain_loops(self, quantile):
        algorithm = get("siren", anchor=0.25, anchor_coefficient=2.0, peak_quantile=quantile)
        statistic = TopPEntropy(current=True)
        batch = estimate_advantages(algorithm, build(requires=algorithm.requires))
        mean, peaks = self.entropies(batch, statistic, quantile)
        bare = replace(algorithm, regularisers=())
        value, gradients = value_and_gradients(algorithm, batch)
        plain, _ = value_and_gradients(bare, batch)
        assert float(value - plain) == pytest.approx(2 * (mean - 0.25) ** 2, rel=1e-6)
        rows = int(batch.valid_BT.any(-1).sum())
        expected = torch.zeros_like(batch.mask_BT)
        for row, column in peaks:
            count = sum(other == row for other, _ in peaks)
            expected[row, column] = 2 * 2 * (mean - 0.25) / count / rows
        torch.testing.assert_close(gradients[statistic], expected, rtol=1e-6, atol=1e-9)

    def test_the_anchor_is_that_of_the_first_rollout(self):
        algorithm = get("siren", peak_quantile=0.5)
        old = TopPEntropy()
        running = control.start(algorithm)
        assert control.requires(running) == {old}
        before = control.apply(running, algorithm)
        fresh = through_json(running, control.start(algorithm))
        batch = build(requires={old})
        for controllers in (running, fresh):
            control.see(controllers, batch)
        current = control.apply(running, algorithm)
        assert current.requires == before.requires
        anchor = current.regularisers[0].anchor
        expected, _ = self.entropies(batch, old, 0.5)
        assert anchor == pytest.approx(expected)
        assert control.requires(running) == frozenset()
        control.see(running, build(seed=3, requires={old}))
        again = through_json(running, control.start(algorithm))
        for controllers in (running, fresh, again):
            assert control.apply(controllers, algorithm) == current

    def test_no_penalty_before_there_is_an_anchor(self):
        algorithm = get("siren")
        batch = estimate_advantages(algorithm, build(requires=algorithm.requires))
        same(algorithm, replace(algorithm, regularisers=(), controllers=()), batch)
        assert prepare(algorithm, batch) == {}

    def test_a_rollout_without_tokens_sets_no_anchor(self):
        running = control.start(get("siren"))
        batch = build(requires={TopPEntropy()})
        control.see(running, replace(batch, mask_BT=torch.zeros_like(batch.mask_BT)))
        assert running[0].state_dict() == {"anchor": None}

    def test_a_given_anchor_needs_no_controller(self):
        assert get("siren", anchor=0.4).controllers == ()
        assert get("siren", anchor=0.4).regularisers[0] == AnchoredEntropy(anchor=0.4)
        with pytest.raises(ConfigError, match="AnchoredEntropy"):
            get("grpo", controllers=(EntropyAnchor(),))


class TestHapo:
    OFF: ClassVar = {"clip_alpha": 0.0, "advantage_beta": 0.0, "temperature_tau": 0.0}

    def test_switched_off_it_is_ppo_clip(self):
        algorithm = get("hapo", **self.OFF, advantage=GroupRelative())
        base = get("grpo", kl_coefficient=0, dual_clip=10.0, aggregation="token-mean")
        same(algorithm, base, estimate_advantages(base, build()))
        assert algorithm.rollout is None

    def test_advantage_by_hand(self):
        """Returns 1 and 0 over 3 and 1 tokens: mean 3/4, deviation sqrt(3)/4."""
        batch = build()
        mask = torch.zeros(2, 7, dtype=torch.float64)
        mask[0, [0, 2, 3]] = mask[1, 4] = 1
        batch = replace(
            batch.rows(torch.tensor([0, 4])),
            mask_BT=mask,
            groups_B=torch.tensor([5, 5]),
            returns_B=torch.tensor([1.0, 0.0], dtype=torch.float64),
        )
        found = TokenGroupRelative(epsilon=0.0)(batch).advantages
        expected = torch.tensor([0.25, -0.75], dtype=torch.float64) / (math.sqrt(3) / 4)
        torch.testing.assert_close(found, expected.unsqueeze(-1) * mask)
        plain = TokenGroupRelative(scale="none")(batch).advantages
        torch.testing.assert_close(plain[:, [0, 4]].diagonal(), expected * math.sqrt(3) / 4)
        limited = TokenGroupRelative(limit=1.7)(batch).advantages
        torch.testing.assert_close(limited, GroupRelative()(batch).advantages)

    def test_one_large_advantage_makes_its_whole_group_fall_back(self):
        batch = build()
        ours, limited = TokenGroupRelative(limit=9.0), TokenGroupRelative(limit=1.4)
        free, found = ours(batch).advantages, limited(batch).advantages
        grpo = GroupRelative()(batch).advantages
        large = {int(batch.groups_B[row]) for row in range(10) if free[row].abs().max() >= 1.4}
        assert 0 < len(large) < 4
        for row in range(10):
            wanted = grpo if int(batch.groups_B[row]) in large else free
            torch.testing.assert_close(found[row], wanted[row])

    def test_a_lone_episode_has_no_advantage(self):
        batch = build()
        alone = replace(batch, groups_B=batch.episodes_B)
        assert not TokenGroupRelative()(alone).advantages.any()

    def view(self, sign="intended", ratio=1.0):
        """Entropies e^-2, e^0, e^1 and e^4: with the pivot on the third h is -1, -1/3, 0, 1."""
        batch = build().rows(torch.tensor([0]))
        mask = torch.zeros(1, 7, dtype=torch.float64)
        mask[0, [0, 2, 3, 6]] = 1
        values = torch.full((1, 7), math.nan, dtype=torch.float64)
        logs = torch.tensor([-2.0, 0.0, 1.0, 4.0], dtype=torch.float64)
        values[0, [0, 2, 3, 6]] = logs.exp()
        zeros = torch.zeros_like(mask)
        batch = replace(batch.with_stats({Stat.ENTROPY: values}), mask_BT=mask)
        batch = batch.with_stats({Stat.OLD_LOGPROBS: zeros, Stat.LOGPROBS: zeros + math.log(ratio)})
        batch = replace(batch, advantages_BT=mask * 3)
        scale = EntropyScale(pivot=0.6, sign=sign)
        algorithm = get(
            "hapo",
            bounds=EntropyBounds(scale=scale),
            late_transforms=(EntropyRedistribution(scale=scale),),
        )
        assert algorithm.prepare_requires == {Stat.ENTROPY}
        return make_view(algorithm, batch, Normaliser.of(mask))

    @pytest.mark.parametrize(
        ("sign", "low", "high"),
        [
            ("intended", [0.6, 0.8 - 0.2 / 3, 0.8, 0.8], [1.2, 1.2, 1.2, 1.4]),
            ("official", [0.8, 0.8, 0.8, 0.8], [1.4, 1.2 + 0.2 / 3, 1.2, 1.4]),
        ],
    )
    def test_bounds_by_hand(self, sign, low, high):
        bounds = self.view(sign).bounds
        for found, expected in ((bounds.low, low), (bounds.high, high)):
            assert found[0, [0, 2, 3, 6]].tolist() == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("ratio", "expected"),
        [
            (1.0, [0.0, 2.0, 3.0, 3.0]),  # inside: low entropy is weakened
            (1.15, [3.0, 3.0, 3.0, 3.0]),  # outside but for the last, whose range is wider
            (1.25, [3.0, 3.0, 3.0, 6.0]),
            (0.85, [0.0, 3.0, 3.0, 6.0]),  # inside only where the range is widest
        ],
    )
    def test_redistribution_by_hand(self, ratio, expected):
        found = self.view(ratio=ratio).advantages_BT
        assert found[0, [0, 2, 3, 6]].tolist() == pytest.approx(expected)
        assert found[0, [1, 4, 5]].tolist() == [0, 0, 0]

    def test_statistics_are_those_of_the_whole_optimiser_batch(self):
        algorithm = get("hapo")
        batch = estimate_advantages(algorithm, build())
        normaliser, prepared = Normaliser.of(batch.mask_BT), prepare(algorithm, batch)
        whole = make_view(algorithm, batch, normaliser, prepared=prepared).bounds
        part = make_view(
            algorithm, batch.rows(torch.tensor([6])), normaliser, prepared=prepared
        ).bounds
        torch.testing.assert_close(part.low, whole.low[[6]])
        alone = make_view(algorithm, batch.rows(torch.tensor([6])), normaliser).bounds
        assert not torch.allclose(part.low, alone.low)


class TestAdaptiveEntropy:
    def test_path_of_the_coefficient(self):
        algorithm = get(
            "adaptive_entropy", entropy_target=0.3, entropy_delta=0.25, entropy_most=0.6
        )
        running = control.start(algorithm)
        batch = build()
        path = []
        for entropy in (0.1, 0.3, 0.2, 0.4, 0.5, 0.2):
            path.append(control.apply(running, algorithm).regularisers[0].weight)
            control.observe(running, {"entropy": entropy}, batch)
            control.observe(running, {}, batch)  # an update in which nothing was trained
            running = through_json(running, control.start(algorithm))
        path.append(control.apply(running, algorithm).regularisers[0].weight)
        # coefficient after each update: 0.25, 0.5, 0.6, 0.35, 0.1, 0.35; off after 0.4 and 0.5
        assert path == pytest.approx([0.0, 0.25, 0.5, 0.6, 0.0, 0.0, 0.35])

    def test_it_goes_with_any_method_that_has_a_bonus(self):
        algorithm = get(
            "dapo", entropy_coefficient=0.02, controllers=(AdaptiveEntropy(least=0.01),)
        )
        running = control.start(algorithm)
        assert control.apply(running, algorithm) == algorithm
        control.observe(running, {"entropy": 2.0}, build())
        assert control.apply(running, algorithm).regularisers[0].weight == 0
        assert control.apply(running, algorithm).requires == algorithm.requires
        with pytest.raises(ConfigError, match="entropy bonus"):
            get("dapo", controllers=(AdaptiveEntropy(),))

    def test_with_the_bonus_off_it_is_grpo(self):
        base = get("grpo", kl_coefficient=0, aggregation="token-mean")
        same(get("adaptive_entropy"), base, estimate_advantages(base, build()))

    def test_the_range_must_hold_something(self):
        with pytest.raises(ConfigError, match="`entropy_most`"):
            AdaptiveEntropy(least=0.5, most=0.1)
