"""ScienceWorld on the real simulator."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from agentrl.envs.base import Info
from agentrl.envs.scienceworld import TASKS, ScienceWorldEnv, pool
from agentrl.envs.scienceworld.gateway import call
from agentrl.errors import AgentRLError, DataError, EnvironmentFailure

pytest.importorskip("scienceworld", reason="needs the extra `scienceworld`")

LIVING = {"task": "find-living-thing", "variation": 1, "max_steps": 100}
Step = tuple[str, float, bool, bool, Info]


@pytest.fixture(scope="module", autouse=True)
def one_java() -> Iterator[None]:
    """All tests share one process, large enough for solutions; none is left afterwards."""
    pool.release(pool.lease("", pool.GOLD_HEAP_MIB))
    yield
    pool.shut_down()


@pytest.fixture
def env() -> Iterator[ScienceWorldEnv]:
    made = ScienceWorldEnv()
    yield made
    made.close()


def play(env: ScienceWorldEnv, *actions: str) -> list[Step]:
    return [env.step(action) for action in actions]


def some_actions(info: Info, rng: random.Random, count: int) -> list[str]:
    """Actions that mostly make sense in the room of `info`, and keep making some elsewhere."""
    rooms = ("kitchen", "outside", "hallway", "workshop", "greenhouse")
    actions = []
    for _ in range(count):
        template = rng.choice([t for t in info["action_templates"] if "focus" not in t])
        while "OBJ" in template:
            template = template.replace("OBJ", rng.choice(info["objects"]), 1)
        room = rng.choice(rooms)
        actions.append(rng.choice((template, template, f"teleport to {room}", f"go {room}", "0")))
    return actions


def test_only_an_agents_actions_count_as_steps(env: ScienceWorldEnv):
    env.reset(options={**LIVING, "max_steps": 3})
    steps = play(env, "look around", "sing", "wait")
    assert [info["step"] for *_, info in steps] == [1, 2, 3]
    assert [info["moves"] for *_, info in steps] == [0, 0, 11]
    assert [truncated for _, _, _, truncated, _ in steps] == [False, False, True]
    assert not any(terminated for _, _, terminated, _, _ in steps)


def test_the_native_limit_counts_simulated_time(env: ScienceWorldEnv):
    env.reset(options={**LIVING, "native_step_limit": 20})
    steps = play(env, "sing", "wait", "wait")
    assert [terminated for _, _, terminated, _, _ in steps] == [False, False, True]
    assert not steps[-1][4]["won"]


def test_input_the_simulator_does_not_know_is_invalid_and_changes_nothing(env: ScienceWorldEnv):
    _, start = env.reset(options=LIVING)
    observation, _, _, _, info = env.step("sing loudly")
    assert observation == "No known action matches that input."
    assert info["action_valid"] is False
    assert (info["anchor"], info["moves"]) == (start["anchor"], 0)
    assert env.step("  look around \n")[4]["action_valid"] is True


def test_a_request_that_can_mean_several_things_asks_for_a_number(env: ScienceWorldEnv):
    env.reset(options={"task": "power-component", "variation": 3, "max_steps": 50})
    env.step("go to hallway")
    observation, info = _ambiguous(env)
    assert observation.startswith("Ambiguous request")
    assert info["ambiguous"] and info["action_valid"]
    assert info["admissible_actions"] == sorted(info["admissible_actions"])
    assert "'0'" in env.prompt.observe(observation, info)
    answer, _, _, _, after = env.step("0")
    assert not answer.startswith("Ambiguous") and after["action_valid"]
    _ambiguous(env)
    *_, cancelled = env.step("look around")
    assert cancelled["action_valid"] is False and not cancelled["ambiguous"]


def _ambiguous(env: ScienceWorldEnv) -> tuple[str, Info]:
    observation, _, _, _, info = env.step("open door")
    return observation, info


def test_focus_on_a_wrong_object_fails_the_task(env: ScienceWorldEnv):
    env.reset(options={"task": "boil", "variation": 0, "simplifications": "easy"})
    _, reward, terminated, truncated, info = env.step("focus on orange")
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["raw_score"], info["score"], info["won"]) == (-100, 0.0, False)


def test_score_rewards_add_up_to_the_score_and_a_mistake_takes_them_back(env: ScienceWorldEnv):
    options = {**LIVING, "simplifications": "easy", "reward": "score_delta"}
    _, info = env.reset(options=options)
    rewards = [reward for _, reward, *_ in play(env, "teleport to kitchen", "teleport to outside")]
    assert sum(rewards) == pytest.approx(0.25)
    *_, reward, terminated, _, info = env.step("focus on axe")
    assert terminated and info["raw_score"] == -100
    assert sum(rewards) + reward == pytest.approx(info["score"]) == 0.0


def test_the_simulators_solution_wins_and_only_winning_pays(env: ScienceWorldEnv):
    _, info = env.reset(options={**LIVING, "expert": True, "win_reward": 3.0})
    rewards = []
    while info["expert_action"] is not None:
        _, reward, terminated, _, info = env.step(info["expert_action"])
        rewards.append(reward)
    assert terminated and info["won"] and info["raw_score"] == 100 and info["score"] == 1.0
    assert sum(rewards) == rewards[-1] == 3.0
    assert len(rewards) == len(env.gold_path())


def test_after_a_detour_the_expert_is_silent_until_the_episode_is_back(env: ScienceWorldEnv):
    observation, info = env.reset(options={**LIVING, "simplifications": "easy", "expert": True})
    room = observation.removeprefix("This room is called the ").partition(".")[0]
    first = info["expert_action"]
    assert first is not None
    assert env.step("sing")[4]["expert_action"] == first  # nothing changed
    assert env.step("teleport to foundry")[4]["expert_action"] is None
    assert env.step(f"teleport to {room}")[4]["expert_action"] == first


def test_an_episode_with_points_that_the_clock_ends_is_won_by_the_rule_of_epo(
    env: ScienceWorldEnv,
):
    for win, won in (("positive_score", True), ("full_score", False)):
        env.reset(
            options={**LIVING, "simplifications": "easy", "native_step_limit": 10, "win": win}
        )
        *_, info = play(env, "teleport to outside", "wait")[-1]
        assert info["raw_score"] > 0
        assert info["won"] is won


def test_without_asking_there_are_templates_and_objects_instead_of_all_actions(
    env: ScienceWorldEnv,
):
    _, info = env.reset(options=LIVING)
    assert info["admissible_actions"] is None
    assert "go OBJ" in info["action_templates"] and "door" in info["objects"]
    _, listed = env.reset(options={**LIVING, "admissible": True})
    actions = listed["admissible_actions"]
    assert actions == sorted(set(actions)) and "open door" in actions
    for names in (actions, info["action_templates"]):
        assert "reset task" not in names
    assert env.step("reset task")[4]["action_valid"]


def test_asking_for_objects_draws_no_random_numbers_of_the_world():
    """The simulator draws them to name objects that look alike, here the plants."""
    world = pool.lease("", pool.HEAP_MIB)
    drawn = set()
    for objects in (False, True):
        world.load("mendelian-genetics-known-plant", 3, "easy", False)
        world.observe("teleport to greenhouse", objects=objects)
        drawn.update(world.simulator.run_all([call(world._generator, "nextLong")]))
    world.load("mendelian-genetics-known-plant", 3, "easy", False)
    world.observe("teleport to greenhouse", valid=True)  # as the package's `step`
    (after_valid,) = world.simulator.run_all([call(world._generator, "nextLong")])
    pool.release(world)
    assert len(drawn) == 1 and after_valid not in drawn


def test_very_long_input_gets_the_answer_of_any_unknown_input(env: ScienceWorldEnv):
    env.reset(options=LIVING)
    observation, *_, info = env.step("look around " * 10_000)
    assert observation == "No known action matches that input." and not info["action_valid"]


@pytest.mark.parametrize(
    "text", ["", "go\nnorth", "café 你好 🙂", "\x00\x1b[31m", "\\n", "\ud800", "a\r\\b", "0"]
)
def test_odd_characters_reach_the_simulator_and_do_no_harm(env: ScienceWorldEnv, text: str):
    env.reset(options=LIVING)
    assert env.step(text)[4]["action_valid"] is False
    assert env.step("look around")[0].startswith("This room")


def test_short_observations_hold_room_doors_and_inventory(env: ScienceWorldEnv):
    observation, _ = env.reset(options={**LIVING, "observation": "short"})
    assert observation == (
        "Art studio: large cupboard (closed), table (bowl), wood cup (red paint), wood cup (blue "
        "paint), wood cup (yellow paint). Doors: hallway (closed). Carrying: orange."
    )
    assert env.step("open door")[0].startswith("The door is now open. Art studio:")


def test_episodes_reuse_one_java_process(env: ScienceWorldEnv):
    pids = set()
    for variation in range(3):
        env.reset(options={**LIVING, "variation": variation})
        pids.update(pool.processes())
        env.close()
    assert len(pids) == 1 == len(pool.processes())


@pytest.mark.parametrize(
    ("task", "variation", "options"),
    [
        ("grow-fruit", 70, {"simplifications": "easy"}),
        ("mendelian-genetics-known-plant", 5, {"admissible": True}),
    ],
)
def test_a_fork_is_independent_and_goes_on_like_the_original(
    task: str, variation: int, options: dict[str, Any]
):
    check_fork(task, variation, options, random.Random(0), count=3)


@pytest.mark.slow
def test_forks_of_random_sequences_are_exact_in_tasks_of_every_kind():
    for number, task in enumerate(list(TASKS.values())[1::3]):
        simplifications = "" if number % 2 else "easy"
        check_fork(
            task.name,
            task.split("dev")[0],
            {"simplifications": simplifications},
            random.Random(number),
        )


def check_fork(
    task: str, variation: int, options: dict[str, Any], rng: random.Random, count: int = 5
) -> None:
    """Fork, go on differently in one fork, then compare original, other fork and a fresh run."""
    env, fresh = ScienceWorldEnv(), ScienceWorldEnv()
    chosen = {"task": task, "variation": variation, "max_steps": 99, **options}
    _, info = env.reset(options=chosen)
    before, after = some_actions(info, rng, count), some_actions(info, rng, count)
    play(env, *before)
    twin, other = env.fork(), env.fork()
    play(other, *some_actions(info, rng, count))
    expected = [env.step(action) for action in after]
    fresh.reset(options=chosen)
    play(fresh, *before)
    for again in (twin, fresh):
        assert [again.step(action) for action in after] == expected, (task, before, after)
    assert len({next_random(same) for same in (env, twin, fresh)}) == 1, (task, before, after)
    assert len(pool.processes()) == 1
    for used in (env, fresh, twin, other):
        used.close()


def next_random(env: ScienceWorldEnv) -> object:
    """Return the number that bees and genetics would draw next; few actions show it."""
    assert env._world is not None
    return env._world.simulator.run_all([call(env._world._generator, "nextLong")])[0]


def test_what_java_raises_is_told_and_the_process_goes_on(env: ScienceWorldEnv):
    env.reset(options=LIVING)
    assert env._world is not None
    with pytest.raises(EnvironmentFailure, match="NumberFormatException"):
        env._world.simulator.run_all([call("z:java.lang.Integer", "parseInt", "x")])
    assert env.step("look around")[4]["action_valid"]


def test_a_task_made_for_another_simulator_is_refused(env: ScienceWorldEnv):
    with pytest.raises(DataError, match=r"made for ScienceWorld 1\.0-abc"):
        env.reset(options={**LIVING, "simulator": "1.0-abc"})


def test_info_holds_json_only(env: ScienceWorldEnv):
    for options in (LIVING, {**LIVING, "admissible": True, "expert": True}):
        _, info = env.reset(options=options)
        assert json.loads(json.dumps(info)) == info


def test_step_and_fork_want_a_reset_first():
    for act in (lambda env: env.step("wait"), lambda env: env.fork(), lambda env: env.gold_path()):
        with pytest.raises(AgentRLError, match="reset"):
            act(ScienceWorldEnv())


def test_the_table_of_tasks_is_that_of_the_package():
    from scienceworld.constants import TASKS as PACKAGED

    assert {(t.id, t.topic, t.name) for t in TASKS.values()} == {
        (row["task_id"], row["topic"], row["task_name"]) for row in PACKAGED
    }
    assert list(TASKS) == sorted(TASKS)


def splits_of_the_package(world: Any, name: str) -> list[list[int]]:
    world.load(name, 0, "", False)
    return [world.variations(split) for split in ("train", "dev", "test")]


def test_splits_are_those_of_the_package():
    world = pool.lease("", pool.HEAP_MIB)
    for name in ("boil", "chemistry-mix", "identify-life-stages-1", "identify-life-stages-2"):
        expected = [list(TASKS[name].split(split)) for split in ("train", "dev", "test")]
        assert splits_of_the_package(world, name) == expected
    pool.release(world)


# Last, because they end the process that the other tests share.


def test_environments_with_different_simplifications_do_not_mix():
    first, second = ScienceWorldEnv(), ScienceWorldEnv()
    first.reset(options=LIVING)
    second.reset(options={**LIVING, "simplifications": "easy"})
    assert first.step("teleport to kitchen")[4]["action_valid"] is False
    assert second.step("teleport to kitchen")[4]["action_valid"] is True
    assert len(pool.processes()) == 2
    first.close()
    second.close()
    assert len(pool.processes()) == 1


def test_a_dead_java_fails_its_episode_and_is_replaced(env: ScienceWorldEnv):
    env.reset(options=LIVING)
    assert env._world is not None
    env._world.simulator.process._process.kill()
    with pytest.raises(EnvironmentFailure) as caught:
        env.step("look around")
    assert caught.value.kind == "died"
    assert env.reset(options=LIVING)[0].startswith("This room")


def test_a_java_that_hangs_fails_its_episode_and_is_killed(env: ScienceWorldEnv):
    env.reset(options=LIVING)
    assert env._world is not None
    simulator = env._world.simulator
    simulator.process.gateway._socket.settimeout(0.3)
    with pytest.raises(EnvironmentFailure) as caught:
        simulator.run_all([call("z:java.lang.Thread", "sleep", 60_000)])
    assert caught.value.kind == "timeout"
    assert not simulator.alive
