"""HAPO's sampler between learner and engine: what the learner measures decides temperatures."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from typing import Any

import pytest
import torch

from agentrl.algorithms import Algorithm, controllers, estimate_advantages, get
from agentrl.algorithms.ratios.log_entropy import log_entropy_statistics
from agentrl.algorithms.strategies.hapo_sampler import HapoSampler, SamplerStatistics
from agentrl.engines import SamplingParams, check_sampling
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.errors import ConfigError
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner.rows import rows
from agentrl.tree import Forest, Writer
from tests.learner.learner_samples import plain_stats, random_forest, tiny_model

TEMPERATURE = 0.9


def forest(seed: int = 1) -> Forest:
    """Groups with contrast and one without; the engine reports entropies that are not T_0's."""
    found = random_forest(seed, trees=4)
    for episode in found.trees[0].episodes:
        episode.reward = 1.0
    for tree in found.trees:
        for node in tree.nodes:
            if node.writer is Writer.MODEL:
                node.entropies = [9.9] * len(node.ids)
    return found


def make(updates_per_step: int, **settings: Any) -> Learner:
    options = LearnerSettings(learning_rate=1e-3, updates_per_step=updates_per_step)
    return Learner(tiny_model(), get("hapo", **settings), options, temperature=TEMPERATURE, seed=1)


def statistics_of(learner: Learner) -> list[float]:
    found = learner.current_algorithm().rollout.statistics
    return [float(getattr(found, name)) for name in ("median", "std", "scale_above", "scale_below")]


@pytest.mark.parametrize("updates_per_step", [1, 2])
def test_statistics_are_those_of_the_trained_tokens_under_the_old_policy(
    updates_per_step: int,
) -> None:
    learner, rollout = make(updates_per_step, entropy_pivot=0.6), forest()
    assert learner.current_algorithm().rollout.statistics is None
    found = rows(rollout)
    _, entropies_BT = plain_stats(tiny_model(), found, TEMPERATURE)
    trained_BT = estimate_advantages(learner.algorithm, found.batch).valid_BT
    assert 0 < trained_BT.sum() < found.batch.valid_BT.sum()  # a group was dropped
    expected = log_entropy_statistics(entropies_BT.detach(), trained_BT, 0.6)
    assert learner.update(rollout)["updates"] == updates_per_step
    numbers = [expected.median, expected.std, expected.scale_above, expected.scale_below]
    assert statistics_of(learner) == pytest.approx([float(n) for n in numbers], rel=1e-5)


def test_an_update_that_trains_nothing_keeps_the_statistics() -> None:
    learner = make(1)
    learner.update(forest())
    kept = statistics_of(learner)
    uniform = forest(2)
    for tree in uniform.trees:
        for episode in tree.episodes:
            episode.reward = 1.0
    assert learner.update(uniform)["updates"] == 0
    assert statistics_of(learner) == kept


def test_a_resumed_run_samples_at_the_same_temperatures_bit_for_bit() -> None:
    learner, resumed = make(1), make(1)
    learner.update(forest())
    buffer = io.BytesIO()
    torch.save(learner.state_dict(), buffer)
    buffer.seek(0)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    logits_RV = torch.randn(50, 41) * torch.linspace(0.1, 1, 50)[:, None]
    ours, theirs = (side.current_algorithm().rollout for side in (learner, resumed))
    assert torch.equal(ours(logits_RV, 0.7), theirs(logits_RV, 0.7))
    assert len(ours(logits_RV, 0.7).unique()) > 10


def test_an_engine_samples_every_token_at_the_temperature_of_the_formula() -> None:
    learner = make(1, temperature_tau=0.5)
    learner.update(forest())
    sampler = learner.current_algorithm().rollout
    engine = EmbeddedEngine(learner.model)
    params = SamplingParams(
        temperature=TEMPERATURE, max_tokens=12, seed=0, temperature_rule=sampler
    )
    check_sampling(engine, params)
    prompt = [3, 1, 4, 1, 5]
    completion = asyncio.run(engine.generate(prompt, params))
    twin = tiny_model(attn_implementation="sdpa")
    twin.load_state_dict(learner.model.state_dict())
    with torch.no_grad():
        logits_TV = twin(torch.tensor([prompt + completion.ids])).logits[0]
    logits_TV = logits_TV[len(prompt) - 1 : -1]
    entropies_T = torch.distributions.Categorical(logits=logits_TV).entropy()
    found = sampler.statistics
    h_T = (entropies_T.log() - found.median) / found.std
    h_T = torch.where(h_T > 0, h_T * found.scale_above, h_T * found.scale_below).clamp(-1, 1)
    table_TV = torch.log_softmax(logits_TV / (TEMPERATURE * (1 + 0.5 * h_T))[:, None], dim=-1)
    chosen_T = table_TV.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
    assert completion.logprobs == pytest.approx(chosen_T.tolist(), abs=1e-4)
    assert h_T.min() < -0.01 and h_T.max() > 0.01


def test_no_strength_means_no_sampler_and_no_statistics() -> None:
    algorithm = get("hapo", temperature_tau=0)
    assert algorithm.rollout is None and algorithm.controllers == ()


def test_the_controller_needs_a_sampler_to_steer() -> None:
    with pytest.raises(ConfigError, match="HapoSampler"):
        get("grpo", controllers=(SamplerStatistics(),))
    with pytest.raises(ConfigError, match="entropy_pivot"):
        SamplerStatistics(pivot=1.5)


def test_before_the_first_update_the_algorithm_is_as_given() -> None:
    algorithm: Algorithm = get("hapo")
    started = controllers.start(algorithm)
    assert controllers.apply(started, algorithm) is algorithm
    assert HapoSampler().statistics is None
    logits_RV = torch.randn(4, 6)
    assert HapoSampler()(logits_RV, 0.7).tolist() == pytest.approx([0.7] * 4)
    tuned = replace(HapoSampler(), tau=0.2)
    assert tuned.statistics is None
