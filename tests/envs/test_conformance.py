"""What every registered environment must do."""

from __future__ import annotations

import json
import pickle
import random
from typing import Any

import pytest
from gymnasium.utils.env_checker import check_env

import tests.envs.corridor
import tests.envs.faulty  # noqa: F401 (registers)
from agentrl import envs
from agentrl.envs import INFO_KEYS, TextEnv, contract
from agentrl.types import Task, TaskPanel

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "corridor": ("tests/Corridor-v0", {}),
    "faulty": ("tests/Faulty-v0", {"rate": 0.0}),
    "coin": ("agentrl/TextWorld-v0", {"levels": [103, 105], "count": 4, "max_steps": 12}),
    "treasure": ("agentrl/TextWorld-v0", {"kind": "treasure_hunter", "count": 2}),
    "cooking": ("agentrl/TextWorld-v0", {"kind": "cooking", "count": 2, "cut": True}),
    "simple": ("agentrl/TextWorld-v0", {"kind": "simple", "count": 2}),
    "prose": ("agentrl/TextWorld-v0", {"backend": "prose", "count": 1, "max_steps": 12}),
}
Transcript = list[tuple[Any, ...]]

case = pytest.mark.parametrize("name", CASES)
forkable = pytest.mark.parametrize(
    "name", [name for name, (env_id, _) in CASES.items() if envs.env_class(env_id).can_fork()]
)


def panel(name: str, split: str = "train") -> TaskPanel:
    env_id, options = CASES[name]
    return envs.env_class(env_id).panel(split, **options)


def start(task: Task) -> tuple[TextEnv, str, dict[str, Any]]:
    env = envs.make(task.env_id)
    observation, info = contract.checked_reset(env.reset(seed=task.seed, options=task.options))
    assert isinstance(env, TextEnv)
    return env, observation, contract.completed(info, observation, task, 0)


def play(env: TextEnv, task: Task, info: dict[str, Any], seed: int, steps: int = 12) -> Transcript:
    """Play random actions, now and then a nonsensical one; check what comes back."""
    rng = random.Random(seed)
    transcript: Transcript = []
    for number in range(1, steps + 1):
        actions = (info["admissible_actions"] or ["walk", "wait"]) + ["sing loudly"]
        result = contract.checked_step(env.step(rng.choice(actions)))
        observation, reward, terminated, truncated, info = result
        info = contract.completed(info, observation, task, number)
        check_info(info)
        transcript.append((observation, reward, terminated, truncated, info))
        if terminated or truncated:
            break
    return transcript


def check_info(info: dict[str, Any]) -> None:
    assert set(INFO_KEYS) <= set(info)
    assert json.loads(json.dumps(info)) == info
    for key in ("won", "action_valid"):
        assert type(info[key]) is bool
    for key in ("task", "task_id", "split", "task_type", "anchor"):
        assert type(info[key]) is str
    assert 0.0 <= info["score"] <= 1.0
    actions = info["admissible_actions"]
    assert actions is None or actions == sorted(set(actions))


@case
def test_the_class_has_a_prompt_that_shows_and_reads(name: str):
    task = panel(name)[0]
    env, observation, info = start(task)
    for prompt in (type(env).prompt, *type(env).prompts.values()):
        assert isinstance(prompt.system(info), str | None)
        assert observation in prompt.observe(observation, info)
        assert isinstance(prompt.stop_strings, tuple)
        assert not prompt.parse("", info).valid
    env.close()


@case
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasium_accepts_it(name: str):
    env = envs.make(CASES[name][0])
    check_env(env, skip_render_check=True)
    env.close()


@case
def test_info_starts_complete_and_typed(name: str):
    task = panel(name)[0]
    env, _, info = start(task)
    check_info(info)
    assert info["step"] == 0 and info["action_valid"] is True and info["won"] is False
    assert info["task"]
    assert (info["task_id"], info["split"]) == (task.id, task.split)
    env.close()


@case
def test_the_same_task_and_actions_give_the_same_episode(name: str):
    task = panel(name)[-1]
    transcripts = []
    for _ in range(2):
        env, observation, info = start(task)
        transcripts.append([observation, info, *play(env, task, info, seed=1)])
        env.close()
    assert transcripts[0] == transcripts[1]


@case
def test_episodes_end_and_count_their_steps(name: str):
    task = panel(name)[0]
    env, _, info = start(task)
    transcript = play(env, task, info, seed=2, steps=60)
    assert [step[4]["step"] for step in transcript] == list(range(1, len(transcript) + 1))
    assert not any(step[2] or step[3] for step in transcript[:-1])
    assert not (transcript[-1][2] and transcript[-1][3])
    env.close()


@case
def test_odd_actions_do_no_harm(name: str):
    task = panel(name)[0]
    env, _, _ = start(task)
    for action in ("", "   ", "x" * 5000, "go\nnorth", "café 你好 🙂", "\x00\x1b[31m", "'; quit"):
        result = contract.checked_step(env.step(action))
        if result[2] or result[3]:
            break
        check_info(contract.completed(result[4], result[0], task, 1))
    env.close()


@case
def test_panels_are_ordered_hashed_and_disjoint(name: str):
    train, again, heldout = panel(name), panel(name), panel(name, "heldout")
    assert train == again and train.hash == again.hash
    assert train[0].split == "train"
    if name != "corridor":  # which has only one split
        assert {task.id for task in train}.isdisjoint(task.id for task in heldout)
        assert {task.seed for task in train}.isdisjoint(task.seed for task in heldout)
    assert pickle.loads(pickle.dumps(list(train))) == list(train)
    assert TaskPanel.from_json(json.loads(json.dumps(train.to_json()))).hash == train.hash
    assert all(task.env_id == CASES[name][0] for task in train)


@forkable
def test_a_fork_goes_on_exactly_as_the_original_would(name: str):
    task = panel(name)[0]
    env, _, info = start(task)
    prefix = play(env, task, info, seed=3, steps=3)
    info = prefix[-1][4]
    twin = env.fork()
    after_fork = play(twin, task, info, seed=4, steps=6)
    assert play(env, task, info, seed=4, steps=6) == after_fork
    env.close()
    twin.close()


@forkable
def test_a_fork_and_its_original_do_not_influence_each_other(name: str):
    task = panel(name)[0]
    undisturbed, _, info = start(task)
    play(undisturbed, task, info, seed=5, steps=2)
    env, _, info = start(task)
    info = play(env, task, info, seed=5, steps=2)[-1][4]
    twin = env.fork()
    play(twin, task, info, seed=6, steps=6)
    expected = play(undisturbed, task, info, seed=7, steps=4)
    assert play(env, task, info, seed=7, steps=4) == expected
    twin.close()
    env.close()
    undisturbed.close()
