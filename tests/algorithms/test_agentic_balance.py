"""AEPO and ARPO: gradients of the clip, standardised entropies, composition; wrong settings."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Normaliser, Stat, get, policy_loss, prepare
from agentrl.algorithms.advantages.group import EpisodeReturn
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.surrogates.entropy_balance import EntropyAwareAdvantage, EntropyBalancedClip
from agentrl.algorithms.surrogates.standard import PPOClip
from agentrl.errors import ConfigError
from tests.algorithms.played import ENTROPIES, MASK, entropy_batch, with_advantage


def factors(surrogate, ratios, advantages) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses and F, where the loss's gradient is -F A dl, of single tokens."""
    logprobs = torch.tensor(ratios, dtype=torch.float64).log().unsqueeze(-1).requires_grad_()
    batch = entropy_batch(torch.zeros_like(logprobs), torch.ones_like(logprobs))
    advantages = torch.tensor(advantages, dtype=torch.float64).unsqueeze(-1)
    batch = replace(batch, advantages_BT=advantages).with_stats({Stat.LOGPROBS: logprobs})
    bounds = ConstantBounds(0.2, 0.3)
    algorithm = with_advantage(EpisodeReturn(), surrogate=surrogate, bounds=bounds)
    loss = policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).value
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return loss.detach(), (-gradient * len(logprobs) / advantages).squeeze(-1)


def test_aepo_clip_keeps_the_gradient_at_the_upper_bound_and_the_value():
    ratios = [2.0, 1.2, 0.5, 2.0, 0.9, 0.5, 4.0]
    advantages = [1.5, 1.5, 1.5, -1.0, -1.0, -1.0, -1.0]
    balanced, found = factors(EntropyBalancedClip(3.0), ratios, advantages)
    plain, without = factors(PPOClip(3.0), ratios, advantages)
    assert balanced == plain
    assert found.tolist() == pytest.approx([1.3, 1.2, 0.5, 2.0, 0.9, 0.0, 0.0])
    assert without.tolist() == pytest.approx([0.0, 1.2, 0.5, 2.0, 0.9, 0.0, 0.0])


def test_aepo_clip_works_with_open_bounds():
    algorithm = with_advantage(
        EpisodeReturn(), surrogate=EntropyBalancedClip(), bounds=ConstantBounds(None, None)
    )
    logprobs = torch.tensor([[1.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    batch = entropy_batch(torch.zeros(2, 1).double(), torch.ones(2, 1).double())
    batch = replace(batch, advantages_BT=torch.ones(2, 1).double())
    batch = batch.with_stats({Stat.LOGPROBS: logprobs})
    loss = policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).value
    (gradient,) = torch.autograd.grad(loss, logprobs)
    torch.testing.assert_close(gradient, -logprobs.detach().exp() / 2)


@pytest.mark.parametrize("entropy", ["current", "old"])
def test_aepo_advantages_are_standardised_over_the_whole_batch(entropy):
    aware = EntropyAwareAdvantage(strength=0.5, entropy=entropy)
    algorithm = with_advantage(EpisodeReturn(), late_transforms=(aware,))
    logprobs = torch.zeros_like(ENTROPIES).requires_grad_()
    batch = entropy_batch(ENTROPIES, MASK, advantages_BT=MASK * 2).clean()
    batch = replace(batch, index_B=torch.tensor([5, 2])).with_stats(
        {Stat.ENTROPY: ENTROPIES, Stat.LOGPROBS: logprobs}
    )
    found = [float(h) for h in ENTROPIES[MASK > 0]]
    mean = sum(found) / 7
    std = math.sqrt(sum((h - mean) ** 2 for h in found) / 6)
    expected = torch.where(MASK > 0, 2 * (1 + 0.5 * (ENTROPIES - mean) / std), 0.0)
    prepared = prepare(algorithm, batch)
    normaliser = Normaliser.of(MASK)
    parts = [batch.rows(torch.tensor([row])) for row in (1, 0)]
    loss = sum(policy_loss(algorithm, p, normaliser, prepared=prepared).value for p in parts)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    torch.testing.assert_close(gradient, -expected / 7)


def test_aepo_advantages_stay_for_equal_entropies():
    aware = EntropyAwareAdvantage()
    algorithm = with_advantage(EpisodeReturn(), late_transforms=(aware,))
    entropies = torch.full_like(ENTROPIES, 0.5)
    batch = entropy_batch(entropies, MASK, advantages_BT=MASK).with_stats({Stat.ENTROPY: entropies})
    loss = policy_loss(algorithm, batch, Normaliser.of(MASK)).value
    assert float(loss) == pytest.approx(-1.0)


def test_aepo_computes_entropy_whenever_its_advantage_is_on():
    assert Stat.ENTROPY in get("aepo").requires
    assert Stat.ENTROPY in get("aepo", balanced_clip=False).requires
    assert Stat.ENTROPY not in get("aepo", balanced_advantage=False).requires
    assert get("aepo", advantage_entropy="old").prepare_requires == {Stat.OLD_ENTROPY}
    both_off = get("aepo", balanced_advantage=False, balanced_clip=False)
    assert replace(both_off, name="arpo", rollout=get("arpo").rollout) == get("arpo")


def test_arpo_and_aepo_name_their_rollouts():
    for name in ("arpo", "aepo"):
        rollout = get(name, rollouts=12, initial_rollouts=6).rollout
        assert (rollout.name, rollout.rollouts, rollout.initial_rollouts) == (name, 12, 6)


def test_wrong_settings_are_named():
    for name, settings, match in (
        ("gigpo", {"mode": "std"}, "mode"),
        ("gigpo", {"samples": "rows"}, "samples"),
        ("gigpo", {"match": "text"}, "match"),
        ("gigpo", {"similarity": 1.5}, "similarity"),
        ("epo", {"variant": "paper"}, "variant"),
        ("epo", {"base": "dapo"}, "base"),
        ("epo", {"alpha": 0.6}, "alpha"),
        ("epo", {"kappa_low": 3.0}, "kappa_high"),
        ("epo", {"averaging": "mean"}, "averaging"),
        ("empg", {"base": "ppo"}, "base"),
        ("aepo", {"advantage_entropy": "new"}, "advantage_entropy"),
    ):
        with pytest.raises(ConfigError, match=match):
            get(name, **settings)
