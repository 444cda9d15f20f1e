"""Every registered algorithm through the real learner: layout, micro-batches, resuming."""

from __future__ import annotations

import copy
import io
import math
import random
from typing import Any

import pytest
import torch

from agentrl.algorithms import Algorithm, get, names
from agentrl.assembly import build_algorithm
from agentrl.config import AlgorithmConfig, EngineConfig, RunConfig
from agentrl.learner import Learner, LearnerSettings
from agentrl.tree import Forest, Writer
from tests.algorithms.small import SMALL
from tests.learner.learner_samples import parameters, random_forest, tiny_model


def agent_forest(seed: int) -> Forest:
    """A random forest with all that an environment tells: states, answers, success, validity."""
    forest = random_forest(seed, trees=3, members=6)
    rng = random.Random(seed)
    for tree in forest.trees:
        for node in tree.nodes:
            if node.writer is Writer.MODEL:
                place = rng.randrange(3)
                node.reward = 0.0
                node.info |= {"observation": f"room {place}", "anchor": str(place)}
                node.info |= {"format_valid": rng.random() < 0.8, "action": f"go {place}"}
                node.info["text"] = node.info["action"]
        for episode in tree.episodes:
            won = float(rng.random() < 0.5)
            episode.reward = won
            episode.metrics = {"success": won, "score": won}
            episode.answer = rng.choice(["1", "2", None])
    return forest


def make(name: str, model: Any, algorithm: Algorithm | None = None, **settings: Any) -> Learner:
    options = {"learning_rate": 1e-3, "updates_per_step": 2} | settings
    return Learner(
        model,
        algorithm or get(name, **SMALL.get(name, {})),
        LearnerSettings(**options),
        total_updates=6,
        token_text=lambda token: f" word{token}",
        seed=1,
    )


def through_disk(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("name", names())
def test_micro_batches_do_not_change_what_is_learned(name: str) -> None:
    results = []
    for tokens in (60, 16384):
        model = tiny_model()
        learner = make(name, model, microbatch_tokens=tokens)
        reports = [learner.update(agent_forest(seed)) for seed in range(3)]
        assert all(math.isfinite(value) for report in reports for value in report.values())
        assert sum(report["updates"] for report in reports) > 0
        results.append(parameters(model))
    assert not torch.equal(results[0], parameters(tiny_model()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", names())
def test_the_default_correction_trains_every_algorithm_that_takes_one(name: str) -> None:
    """Engine log-probs of 0 to -3 nats against a random model: most weights are at a bound."""
    config = RunConfig(
        algorithm=AlgorithmConfig(name=name, options=SMALL.get(name, {})),
        engine=EngineConfig(kind="vllm"),
    )
    algorithm = build_algorithm(config)
    learner = make(name, tiny_model(), algorithm)
    reports = [learner.update(agent_forest(seed)) for seed in range(2)]
    assert all(math.isfinite(value) for report in reports for value in report.values())
    means = [report["behaviour/mean"] for report in reports if "behaviour/mean" in report]
    assert means and all((mean == pytest.approx(1)) == (not algorithm.behaviour) for mean in means)


@pytest.mark.parametrize("name", ["empo", "ttrl", "ettrl"])
def test_what_the_votes_say_is_reported(name: str) -> None:
    report = make(name, tiny_model()).update(agent_forest(0))
    assert 0 < report["vote/majority_share"] <= 1
    assert 0 <= report["vote/majority_success"] <= 1


@pytest.mark.parametrize("updates_per_step", [1, 2])
@pytest.mark.parametrize("name", names())
def test_a_resumed_run_learns_the_same_bit_for_bit(name: str, updates_per_step: int) -> None:
    model = tiny_model(dtype=torch.float32)
    learner = make(name, model, updates_per_step=updates_per_step)
    for seed in range(3):
        learner.update(agent_forest(seed))
    saved = through_disk((learner.state_dict(), copy.deepcopy(model.state_dict())))
    learner.update(agent_forest(3))
    other = tiny_model(dtype=torch.float32)
    other.load_state_dict(saved[1])
    resumed = make(name, other, updates_per_step=updates_per_step)
    resumed.load_state_dict(saved[0])
    resumed.update(agent_forest(3))
    assert torch.equal(parameters(model), parameters(other))
