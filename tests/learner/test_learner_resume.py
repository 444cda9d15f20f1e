import copy
import io
from typing import Any

import pytest
import torch
from learner_samples import parameters, random_forest, tiny_model

from agentrl.algorithms import get
from agentrl.learner import Learner, LearnerSettings


def make(model: Any) -> Learner:
    settings = LearnerSettings(
        learning_rate=1e-2, warmup_steps=2, schedule="cosine", updates_per_step=2, weight_decay=0.1
    )
    return Learner(model, get("grpo", kl_coefficient=0.1), settings, total_steps=20, seed=3)


def through_disk(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_resuming_gives_the_same_weights_bit_for_bit(stop_after: int) -> None:
    forests = [random_forest(seed, trees=4) for seed in range(5)]
    model = tiny_model(dtype=torch.float32)
    learner = make(model)
    learner.supervised(forests[0])
    saved = None
    for step, forest in enumerate(forests):
        if step == stop_after:
            saved = through_disk((learner.state_dict(), copy.deepcopy(model.state_dict())))
        report = learner.update(forest)
    assert saved is not None
    resumed = tiny_model("qwen3", torch.float32)
    resumed.load_state_dict(saved[1])
    again = make(resumed)
    again.load_state_dict(saved[0])
    for forest in forests[stop_after:]:
        report_again = again.update(forest)
    assert torch.equal(parameters(model), parameters(resumed))
    assert report["loss"] == report_again["loss"]
    assert learner.steps == again.steps


def test_imitation_resumes_too() -> None:
    forest = random_forest(0)
    model = tiny_model(dtype=torch.float32)
    learner = make(model)
    learner.supervised(forest)
    state, weights = through_disk((learner.state_dict(), copy.deepcopy(model.state_dict())))
    learner.supervised(forest)
    resumed = tiny_model("qwen3", torch.float32)
    resumed.load_state_dict(weights)
    again = make(resumed)
    again.load_state_dict(state)
    again.supervised(forest)
    assert torch.equal(parameters(model), parameters(resumed))
