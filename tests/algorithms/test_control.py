"""Arbitrary-entropy PO: how control rollouts come into the batch, and at which temperature."""

from __future__ import annotations

import json

import pytest
import torch

from agentrl.algorithms import Batch, controllers, get
from agentrl.algorithms.strategies.control import ControlRollouts, ControlSamples
from agentrl.errors import ConfigError


def batch_of(sources, advantages, episodes=None):
    """One token per row; rows are episodes unless named."""
    count = len(sources)
    numbers = torch.arange(count) if episodes is None else torch.tensor(episodes)
    return Batch(
        mask_BT=torch.ones(count, 1),
        groups_B=torch.tensor(sources),
        episodes_B=numbers,
        returns_B=torch.zeros(count),
        turns_BT=torch.zeros(count, 1),
        sources_B=torch.tensor(sources),
        advantages_BT=torch.tensor(advantages).unsqueeze(-1),
    )


def test_good_control_episodes_replace_as_many_ordinary_ones_with_advantage_one():
    batch = batch_of([0, 0, 0, 0, 1, 1, 1], [0.3, -0.3, 0.5, -0.5, 0.9, 0.04, -0.9])
    mixed = ControlSamples(limit=60)(batch)
    assert mixed.mask_BT[:, 0].tolist() == [0, 1, 1, 1, 1, 0, 0]
    assert mixed.advantages[:5, 0].tolist() == pytest.approx([0.3, -0.3, 0.5, -0.5, 1.0])


def test_no_more_than_the_limit_come_in_and_their_order_in_the_batch_does_not_matter():
    batch = batch_of([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.9, 0.8, 0.7])
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    mixed = ControlSamples(limit=2)(batch)
    assert mixed.mask_BT[:, 0].tolist() == [0, 0, 1, 1, 1, 0]
    assert torch.equal(ControlSamples(limit=2)(batch.rows(order)).mask_BT, mixed.mask_BT[order])


def test_an_episode_of_several_rows_comes_in_as_a_whole():
    batch = batch_of([0, 0, 1, 1], [0.1, 0.2, 0.9, 0.9], episodes=[0, 1, 2, 2])
    mixed = ControlSamples()(batch)
    assert mixed.mask_BT[:, 0].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("sources", [[0, 0], [0, 1]])
def test_without_a_good_control_episode_the_ordinary_ones_stay_as_they_are(sources):
    mixed = ControlSamples()(batch_of(sources, [0.5, -0.5]))
    assert mixed.mask_BT[:, 0].tolist() == [1 - source for source in sources]
    assert mixed.advantages[0, 0] == 0.5


def test_the_temperature_follows_the_entropy_and_survives_a_checkpoint():
    algorithm = get("aepo_arbitrary", entropy_target=0.5, control_episodes=9)

    def state(running):
        now = controllers.apply(running, algorithm)
        return now.rollout.temperature, now.transforms[0].limit

    running = controllers.start(algorithm)
    assert state(running) == (1.2, 9)  # the entropy is 0 before the first update
    controllers.observe(running, {"entropy": 0.6}, batch_of([0], [0.0]))
    assert state(running) == (0.8, 4)
    controllers.observe(running, {}, batch_of([0], [0.0]))  # nothing was trained
    fresh = controllers.start(algorithm)
    fresh[0].load_state_dict(json.loads(json.dumps(running[0].state_dict())))
    assert state(fresh) == (0.8, 4)
    controllers.observe(fresh, {"entropy": 0.5}, batch_of([0], [0.0]))
    assert state(fresh) == (1.2, 9)


def test_a_share_of_the_tasks_is_sampled_again():
    assert [ControlRollouts(share=0.25).tasks(count) for count in (1, 4, 16, 19)] == [1, 1, 4, 4]


def test_the_controller_needs_control_rollouts_to_steer():
    with pytest.raises(ConfigError, match="ControlRollouts"):
        controllers.start(get("aepo_arbitrary", rollout=None))
