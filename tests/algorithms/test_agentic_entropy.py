"""EPO: hand-computed numbers, finite differences, plain loops, checkpoints."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Algorithm, Batch, Normaliser, Stat, get, policy_loss
from agentrl.algorithms import controllers as control
from agentrl.algorithms.advantages.group import EpisodeReturn
from agentrl.algorithms.regularisers.entropy_corridor import (
    EntropyCorridor,
    EntropyHistory,
    hinge,
    smoothing_weight,
)
from agentrl.algorithms.regularisers.entropy_steps import (
    EntropyStepPenalty,
    TurnEntropyHistory,
    phase_weight,
    step_penalty,
)
from agentrl.algorithms.regularisers.turn_mean import turn_weights
from agentrl.errors import ConfigError
from tests.algorithms.played import (
    ENTROPIES,
    LAYOUTS,
    MASK,
    Turn,
    entropy_batch,
    played,
    random_plays,
    with_advantage,
)


def entropy_loss(term, batch: Batch, entropies: torch.Tensor | None = None) -> torch.Tensor:
    algorithm = with_advantage(EpisodeReturn(), regularisers=(term,))
    if entropies is not None:
        batch = batch.with_stats({Stat.ENTROPY_GRAD: entropies})
    return policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).value


def test_hinge_by_hand():
    values = hinge(torch.tensor([0.2, 0.5, 1.0, 1.5, 1.9]), 1.0, 0.5, 1.5)
    assert values.tolist() == pytest.approx([0.3, 0.0, 0.0, 0.0, 0.4])


def test_corridor_loss_by_hand():
    term = EntropyCorridor(
        weight=0.1, kappa_low=0.5, kappa_high=1.5, alpha=0.2, decay=3.0, reference=1.0
    )
    batch = entropy_batch(ENTROPIES, MASK, step=4)
    beta = 1 + math.exp(-3.0 * 4 / 5)
    outside = 0.4 + 1.5 + 0.1 + 0.7  # entropies 0.1, 3.0, 0.4 and 2.2
    mean = (0.1 + 0.9 + 3.0 + 1.1 + 0.4 + 2.2 + 1.4) / 7
    assert float(entropy_loss(term, batch)) == pytest.approx(
        -0.1 * (mean - beta * 0.2 * outside / 7)
    )


def test_corridor_gradient_by_finite_differences_pushes_back_and_is_zero_inside():
    bonus = EntropyCorridor(kappa_low=0.5, kappa_high=1.5, alpha=0.0, reference=1.0)
    term = replace(bonus, alpha=0.5, weight=1.0)
    bonus = replace(bonus, weight=1.0)
    entropies = ENTROPIES.clone().requires_grad_()
    batch = entropy_batch(entropies, MASK, step=2)
    (whole,) = torch.autograd.grad(entropy_loss(term, batch), entropies)
    (alone,) = torch.autograd.grad(entropy_loss(bonus, batch), entropies)
    smoothing = whole - alone
    for row, column in MASK.nonzero().tolist():
        moved = []
        for sign in (1, -1):
            changed = ENTROPIES.clone()
            changed[row, column] += sign * 1e-6
            moved.append(float(entropy_loss(term, batch, changed)))
        slope = (moved[0] - moved[1]) / 2e-6
        assert float(whole[row, column]) == pytest.approx(slope, rel=1e-6)
        wanted = (ENTROPIES[row, column] > 1.5).long() - (ENTROPIES[row, column] < 0.5).long()
        assert int(torch.sign(smoothing[row, column])) == int(wanted)
    assert float(whole[0, 3]) == 0.0


def test_corridor_is_off_without_history_and_the_weight_falls_from_two_towards_one():
    term, batch = EntropyCorridor(weight=1.0, kappa_high=0.1), entropy_batch(ENTROPIES, MASK)
    assert float(entropy_loss(term, batch)) == pytest.approx(-9.1 / 7)
    assert smoothing_weight(0, 150, 3.0) == 2.0
    assert smoothing_weight(75, 150, 3.0) == pytest.approx(1 + math.exp(-3))
    assert smoothing_weight(150, 150, 3.0) == pytest.approx(1 + math.exp(-6))
    assert smoothing_weight(1, 1, 3.0) == pytest.approx(1 + math.exp(-3))
    unknown = replace(batch, steps=0)
    with pytest.raises(ConfigError, match="schedule_steps"):
        entropy_loss(replace(term, reference=1.0), unknown)
    entropy_loss(replace(term, reference=1.0, schedule_steps=150), unknown)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_turn_mean_equals_plain_loops(layout, seed):
    plays = random_plays(seed)
    batch = played(plays, layout).clean()
    weights_BT = turn_weights(batch)
    assert float(weights_BT.sum()) == pytest.approx(float(batch.mask_BT.sum()))
    of_episodes = []
    for _, turns in plays:
        of_turns = [sum(turn.entropies) / len(turn.entropies) for turn in turns]
        of_episodes.append(sum(of_turns) / len(of_turns))
    expected = sum(of_episodes) / len(of_episodes)
    found = (weights_BT * batch.stats[Stat.OLD_ENTROPY]).sum() / batch.mask_BT.sum()
    assert float(found) == pytest.approx(expected)
    entropy_BT = batch.stats[Stat.OLD_ENTROPY]
    zeros = torch.zeros_like(entropy_BT)
    ready = replace(batch, advantages_BT=zeros).with_stats(
        {Stat.LOGPROBS: zeros, Stat.OLD_LOGPROBS: zeros, Stat.ENTROPY_GRAD: entropy_BT}
    )
    for term in (EntropyCorridor(weight=2.0), EntropyStepPenalty(weight=2.0)):
        loss = entropy_loss(replace(term, averaging="turn-mean"), ready)
        assert float(loss) == pytest.approx(-2.0 * expected)


def test_turn_mean_with_one_turn_is_the_mean_over_episodes():
    plays = [(0, [Turn(entropies=h)]) for h in ((1.0, 2.0, 3.0), (0.5,), (0.2, 0.4))]
    batch = played(plays, "full").clean()
    found = (turn_weights(batch) * batch.stats[Stat.OLD_ENTROPY]).sum() / 6
    assert float(found) == pytest.approx((2.0 + 0.5 + 0.3) / 3)


def update(running, algorithm, batch: Batch) -> Algorithm:
    """Play one update of the controllers; return the algorithm that would have been trained."""
    control.see(running, batch)
    current = control.apply(running, algorithm)
    control.observe(running, {}, batch)
    return current


def test_history_is_the_mean_of_earlier_updates_and_survives_a_checkpoint():
    algorithm = get("epo")
    running = control.start(algorithm)
    assert control.requires(running) == {Stat.OLD_ENTROPY}
    references = []
    for factor in (1.0, 3.0, 5.0):
        batch = entropy_batch(factor * ENTROPIES, MASK)
        references.append(update(running, algorithm, batch).regularisers[-1].reference)
    mean = 9.1 / 7
    assert references == [None, pytest.approx(mean), pytest.approx(2 * mean)]
    resumed = control.start(algorithm)
    resumed[0].load_state_dict(json.loads(json.dumps(running[0].state_dict())))
    current = control.apply(resumed, algorithm)
    assert current.regularisers[-1].reference == pytest.approx(3 * mean)
    control.see(resumed, batch)  # an update that is not made does not count
    assert control.apply(resumed, algorithm) == current
    with pytest.raises(ConfigError, match="EntropyCorridor"):
        EntropyHistory().start(get("grpo"))


def test_released_history_has_a_number_per_turn_with_the_present_update_and_zeros_before():
    algorithm = get("epo", variant="step", max_turns=4)
    running = control.start(algorithm)
    plays = [(0, [Turn(entropies=(1.0, 2.0)), Turn(entropies=(3.0,))])]
    plays.append((0, [Turn(entropies=(6.0,))]))
    first = update(running, algorithm, played(plays, "window"))
    assert first.regularisers[-1].profile == pytest.approx((0.0, 0.0, 3.0, 3.0))
    long = [(0, [Turn(entropies=(float(k),)) for k in range(6)])]
    second = update(running, algorithm, played(long, "full"))
    assert second.regularisers[-1].profile == pytest.approx((1.0, 1.5, 3.5, 4.0))
    resumed = control.start(algorithm)
    resumed[0].load_state_dict(json.loads(json.dumps(running[0].state_dict())))
    assert control.apply(resumed, algorithm) == control.apply(running, algorithm)
    with pytest.raises(ConfigError, match="EntropyStepPenalty"):
        TurnEntropyHistory().start(get("grpo"))


def test_released_penalty_has_strict_ends_no_gradient_and_waits_for_late_turns():
    penalty = step_penalty(torch.tensor([0.5, 0.6, 1.5, 9.0]), torch.tensor(1.0), 0.5, 1.5, 0.25)
    assert penalty.tolist() == [0.25, 0.0, 0.25, 0.25]
    term = EntropyStepPenalty(
        weight=1.0, alpha=0.25, phase=False, first_turn=2, profile=(9.0, 9.0, 1.0)
    )
    turns = torch.tensor([[2], [2]]).expand(2, 4)
    entropies = ENTROPIES.clone().requires_grad_()
    batch = entropy_batch(entropies, MASK, turns_BT=turns)
    loss = entropy_loss(term, batch)
    assert loss.item() == pytest.approx(-(9.1 / 7 - 0.25 * 4 / 7))  # 0.1, 3.0, 0.4, 2.2: outside
    (gradient,) = torch.autograd.grad(loss, entropies)
    torch.testing.assert_close(gradient, -MASK / 7)
    early = replace(batch, turns_BT=turns - 1)
    assert entropy_loss(term, early).item() == pytest.approx(-9.1 / 7)
    row = replace(term, mode="seq")  # row means 4/3 and 5.1/4 are inside
    assert entropy_loss(row, batch).item() == pytest.approx(-9.1 / 7)


def test_released_phase_weight():
    assert phase_weight(0, 150) == 1.0
    assert phase_weight(75, 150) == pytest.approx(1 - 0.2 * (1 - math.exp(-2)))
    assert phase_weight(76, 150) == pytest.approx(0.8 * math.exp(-3 / 75))
    assert phase_weight(150, 150) == pytest.approx(0.8 * math.exp(-3))


def test_one_turn_never_reaches_the_released_penalty():
    algorithm = get("epo", variant="step")
    running = control.start(algorithm)
    batch = entropy_batch(ENTROPIES, MASK)
    current = update(running, algorithm, batch)
    plain = get("epo", variant="step", smooth_weight=0.0)
    losses = [
        entropy_loss(choice.regularisers[-1], batch)
        for choice in (current, control.apply(control.start(plain), plain))
    ]
    assert losses[0] == losses[1]
