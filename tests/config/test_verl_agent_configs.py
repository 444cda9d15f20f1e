"""The shipped configurations in the manner of verl-agent set what its papers set."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentrl import assembly
from agentrl.config import load_config
from agentrl.envs import env_class
from agentrl.envs.prompts import StepProfile, prompt_id

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PAPERS = {  # steps, characters sent without a tag, lower case, all actions in the history
    "alfworld": (50, 30, True, False),
    "webshop": (15, 20, True, False),
    "scienceworld": (30, 20, False, True),
}


@pytest.mark.parametrize("name", PAPERS)
def test_limits_penalty_and_reward_are_those_of_the_papers(name):
    config = load_config(CONFIGS / f"{name}_verl_agent.yaml")
    steps = PAPERS[name][0]
    assert config.rollout.max_turns == steps
    for options in (config.environment.train, config.environment.heldout):
        assert (options["max_steps"], options["win_reward"]) == (steps, 10.0)
    assert config.rollout.invalid_action_penalty == 0.1
    assert (config.rollout.tasks_per_step, config.rollout.group_size) == (16, 8)
    assert (config.rollout.max_tokens_per_turn, config.evaluation.temperature) == (512, 0.4)
    assembly.build_algorithm(config)


@pytest.mark.parametrize("name", PAPERS)
def test_the_prompt_is_the_compatibility_profile(name):
    config = load_config(CONFIGS / f"{name}_verl_agent.yaml")
    environment = env_class(config.environment.id)
    prompt = assembly.prompt_of(config, environment)
    assert isinstance(prompt, StepProfile)
    assert prompt_id(environment, config.environment.prompt).startswith("verl-agent@")
    rule, (_, tail, lower, all_actions) = prompt.projection, PAPERS[name]
    assert (rule.tail, rule.lower, rule.closed, rule.unquote) == (tail, lower, True, False)
    assert (prompt.history, prompt.all_actions, prompt.stop_strings) == (2, all_actions, ())
    assert prompt.max_characters == (13000 if name == "webshop" else None)
    assert str(assembly.context_of(config, prompt)) == "window(0)"
