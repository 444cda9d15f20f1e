"""ALFWorld on generated games: play, rewards, forks, experts, panels, both engines."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agentrl import envs
from agentrl.envs.alfworld import TASK_TYPES, ALFWorldEnv, generated_game, prepare_panel, store
from agentrl.envs.alfworld.engine import NOTHING, CompactGame
from agentrl.envs.alfworld.layouts import content_digest
from agentrl.envs.alfworld.names import readable_names
from agentrl.envs.alfworld.player import CompactPlayer
from agentrl.envs.alfworld.translation import translate
from agentrl.errors import ConfigError, DataError, MissingExtraError, UnknownNameError

pytest.importorskip("fast_downward", reason="the extra `alfworld` is not installed")

every_type = pytest.mark.parametrize("task_type", TASK_TYPES)


def start(seed: int = 0, **options: Any) -> tuple[ALFWorldEnv, str, dict[str, Any]]:
    env = ALFWorldEnv(**options)
    observation, info = env.reset(seed=seed)
    return env, observation, info


def walkthrough(seed: int, task_type: str | None) -> list[str]:
    commands: list[str] = generated_game(seed, task_type).content["walkthrough"]
    return commands


@every_type
def test_the_walkthrough_of_a_generated_game_wins_with_its_last_command(task_type: str):
    env, observation, info = start(3, task_type=task_type)
    assert observation.endswith(f"Your task is to: {info['task']}")
    *before, last = walkthrough(3, task_type)
    for command in before:
        _, reward, terminated, _, info = env.step(command)
        assert info["action_valid"] and (reward, terminated) == (0.0, False), command
    _, reward, terminated, truncated, info = env.step(last)
    assert (reward, terminated, truncated) == (10.0, True, False)
    assert (info["won"], info["score"], info["raw_score"]) == (True, 1.0, 1)


@every_type
def test_the_expert_wins_after_random_detours(task_type: str):
    for seed in range(3):
        env, _, info = start(seed, task_type=task_type, expert=True)
        rng = random.Random(seed)
        for number in range(50):
            detour = number < 5 or rng.random() < 0.3
            pool = info["admissible_actions"] if detour else [info["expert_action"]]
            _, _, terminated, _, info = env.step(rng.choice(pool))
            if terminated:
                break
        assert info["won"], (task_type, seed)
        assert info["expert_action"] is None


def test_the_walkthrough_stands_in_where_the_goal_is_of_another_form():
    content = dict(generated_game(0, "pick_and_place_simple").content)
    game = CompactGame(translate(content) | {"aim": None})
    player = CompactPlayer(game)
    twin = player.fork()
    twin.send("look")
    assert twin.advise() is None
    for command in content["walkthrough"]:
        assert player.advise() == command
        player.send("dance")
        player.send(command)
    assert player.frame().won


def test_the_reward_is_paid_once_and_play_goes_on_after_the_end():
    env, _, _ = start(1, task_type="pick_and_place_simple", win_reward=4)
    rewards = [env.step(command)[1] for command in walkthrough(1, "pick_and_place_simple")]
    assert rewards[-1] == 4.0 and sum(rewards) == 4.0
    observation, reward, terminated, _, info = env.step("look")
    assert (reward, terminated, info["raw_score"]) == (0.0, True, 1)
    assert observation.startswith("You are at")


def test_an_inadmissible_command_changes_nothing():
    env, _, before = start(2)
    for command in ("dance", "Look", "go to nowhere 1", ""):
        observation, reward, terminated, _, info = env.step(command)
        assert (observation, reward, terminated) == (NOTHING, 0.0, False)
        assert info["action_valid"] is False
        assert info["admissible_actions"] == before["admissible_actions"]
        assert info["anchor"] == before["anchor"]
    assert env.step("  look \n")[4]["action_valid"] is True


def test_episodes_are_cut_at_the_step_limit():
    env, _, _ = start(0, max_steps=2)
    assert env.step("look")[3] is False
    assert env.step("dance")[3] is True


def test_anchors_are_equal_for_equal_states_and_only_for_them():
    env, _, info = start(0, task_type="pick_clean_then_place_in_recep")
    first = info["anchor"]
    assert env.step("look")[4]["anchor"] == first
    go = next(a for a in info["admissible_actions"] if a.startswith("go to"))
    there = env.step(go)[4]["anchor"]
    assert there != first
    assert env.step(f"examine {go.removeprefix('go to ')}")[4]["anchor"] == there


def play(env: ALFWorldEnv, actions: list[str]) -> list[Any]:
    return [env.step(action) for action in actions]


def random_actions(env: ALFWorldEnv, rng: random.Random, count: int) -> list[str]:
    """Play random actions and return them."""
    actions = []
    for _ in range(count):
        admissible = env.step("dance")[4]["admissible_actions"]
        actions += ["dance", rng.choice(admissible)]
        env.step(actions[-1])
    return actions


def test_forks_go_on_as_fresh_runs_of_the_same_actions_do():
    for number in range(100):
        rng = random.Random(number)
        options = {"task_type": TASK_TYPES[number % 6], "expert": True, "max_steps": 1000}
        env, _, _ = start(number % 12, **options)
        prefix = random_actions(env, rng, rng.randint(0, 8))
        twin = env.fork()
        one, other = random_actions(env, rng, 4), random_actions(twin, rng, 4)
        for played, actions in ((env, one), (twin, other)):
            fresh, _, _ = start(number % 12, **options)
            play(fresh, [*prefix, *actions])
            assert play(fresh, ["look", "inventory"]) == play(played, ["look", "inventory"])


def test_our_engine_says_what_textworld_says():
    rng = random.Random(0)
    for seed, task_type in enumerate(("pick_heat_then_place_in_recep", "look_at_obj_in_light")):
        ours, *first = start(seed, task_type=task_type)
        theirs, *expected = start(seed, task_type=task_type, engine="textworld")
        steps = [first, expected]
        script = walkthrough(seed, task_type)[:-1]
        for number in range(16):
            for entry in steps:
                entry[-1].pop("anchor")
            assert steps[0] == steps[1]
            pool = [*steps[0][-1]["admissible_actions"], "dance"]
            command = script[number] if number < len(script) else rng.choice(pool)
            steps = [list(ours.step(command)), list(theirs.step(command))]
        twin = theirs.fork()
        assert twin.step("look")[0] == ours.step("look")[0]
        twin.close()
        theirs.close()


def test_ids_of_a_class_are_numbered_downwards_in_sorted_order():
    ids = ["desk_bar_1", "desk_bar_0", "sink_bar_0", "sink_bar_0_bar_sinkbasin", "agent1"]
    assert readable_names(ids) == {
        "agent1": "agent1",
        "desk_bar_0": "desk 2",
        "desk_bar_1": "desk 1",
        "sink_bar_0": "sink 1",
        "sink_bar_0_bar_sinkbasin": "sinkbasin 1",
    }


def test_generated_games_depend_on_seed_and_type_alone():
    assert generated_game(5) == generated_game(5)
    digests = {content_digest(generated_game(s, t).content) for s in range(20) for t in TASK_TYPES}
    assert len(digests) == 20 * len(TASK_TYPES)


def test_generated_panels_are_stable_disjoint_and_of_the_asked_types():
    kinds = ["pick_two_obj_and_place", "look_at_obj_in_light"]
    train = ALFWorldEnv.panel("train", generated=True, count=6, task_types=kinds)
    heldout = ALFWorldEnv.panel("heldout", generated=True, count=6, task_types=kinds)
    assert [task.task_type for task in train] == kinds * 3
    assert {t.options["digest"] for t in train}.isdisjoint(t.options["digest"] for t in heldout)
    assert ALFWorldEnv.panel("train", generated=True, count=3, task_types=kinds) == train[:3]
    assert heldout[0].split == "heldout"


def test_a_generated_game_of_another_version_is_refused():
    with pytest.raises(DataError, match=r"another version of AgentRL"):
        start(0, digest="0" * 16)


def test_preparing_a_panel_translates_each_game_once(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    panel = ALFWorldEnv.panel("valid_train", generated=True, count=3, seed=77)
    assert prepare_panel(panel, workers=2, quiet=True) == 3
    assert prepare_panel(panel, quiet=True) == 0
    path = store.stored_path(panel[0].options["digest"])
    path.write_bytes(path.read_bytes()[:100])
    env = envs.make(panel[0].env_id)
    env.reset(seed=panel[0].seed, options=dict(panel[0].options))  # a torn file is made again
    assert len(path.read_bytes()) > 100
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")]


def test_a_broken_game_is_one_clear_error_in_preparation_and_play(
    monkeypatch: pytest.MonkeyPatch, tmp_path
):
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    content = dict(generated_game(0).content)
    for key, text in {
        "pddl_problem": content["pddl_problem"][:-200],
        "pddl_domain": "(define (domain household)",
        "grammar": content["grammar"].replace("feedback ::", "feedback :"),
    }.items():
        with pytest.raises(DataError, match=r"^ALFWorld game 'x': The game's "):
            store.compact_game("0" * 16, "x", lambda k=key, t=text: content | {k: t})
    assert not list(tmp_path.rglob("*.z"))


def test_a_cache_that_cannot_be_written_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set AGENTRL_CACHE"):
        start(123456)


def test_only_a_few_games_stay_in_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "GAMES_IN_MEMORY", 2)
    for seed in range(4):
        start(seed, task_type="look_at_obj_in_light")
    assert len(store._games) == 2


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "fast_downward", None)
    with pytest.raises(MissingExtraError, match=r"agentrl\[alfworld\]"):
        translate(generated_game(0).content)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_step": 3}, "max_steps"),
        ({"max_steps": 0}, "positive integer"),
        ({"split": "valid_sen"}, "valid_seen"),
        ({"engine": "fast"}, "compact"),
        ({"task_type": "pick_two"}, "pick_two_obj_and_place"),
        ({"win_reward": "much"}, "must be a number"),
    ],
)
def test_wrong_options_are_named_with_the_nearest_right_one(options: dict[str, Any], error: str):
    with pytest.raises((UnknownNameError, ConfigError), match=error):
        ALFWorldEnv(**options)


def test_wrong_panel_settings_are_refused():
    for settings, error in (
        ({"split": "test"}, "Unknown split"),
        ({"split": "train", "task_types": ["pick"]}, "`task_types`"),
        ({"split": "train", "task_types": "pick_two_obj_and_place"}, "must be a list"),
        ({"split": "train", "count": 0}, "positive integer"),
        ({"split": "train", "generated": True, "seed": -1}, "at least 0"),
    ):
        with pytest.raises((UnknownNameError, ConfigError), match=error):
            ALFWorldEnv.panel(**settings)  # type: ignore[arg-type]
