"""TextWorld: the generator's shortcuts, the two back ends, panels, prompts, experts."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import textworld
from textworld.challenges import CHALLENGES
from textworld.envs.tw import TextWorldEnv as PlainTextWorldEnv

from agentrl.envs import INFO_KEYS
from agentrl.envs.textworld import (
    ChatPrompt,
    CompactPrompt,
    TextWorldEnv,
    cache_directory,
    expert_actions,
    prepare_panel,
    store,
)
from agentrl.envs.textworld.games import KINDS, GameSpec
from agentrl.envs.textworld.generation import generate
from agentrl.envs.textworld.player import printable_ascii
from agentrl.errors import AgentRLError, ConfigError, DataError, UnknownNameError
from agentrl.types import Task

HARD_COOKING = {"recipe": 2, "take": 2, "go": 6, "open": True, "cook": True, "cut": True}
SPECS = [
    GameSpec.of("coin_collector", 7, {"level": 105}),
    GameSpec.of("treasure_hunter", 7, {"level": 5}),
    GameSpec.of("cooking", 0, HARD_COOKING),
    GameSpec.of("simple", 7, {}),
]
each_kind = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)


def task_of(spec: GameSpec, **options: Any) -> Task:
    chosen = {"kind": spec.kind, **spec.settings, **options}
    return Task(id=spec.label, env_id="agentrl/TextWorld-v0", seed=spec.seed, options=chosen)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Game .* is not fully supported")
@each_kind
def test_the_lean_generator_makes_byte_identical_games(spec: GameSpec):
    options = textworld.GameOptions()
    options.seeds = spec.seed
    settings = dict(spec.settings)
    settings["split"] = settings.pop("food_split", None)
    plain = CHALLENGES[KINDS[spec.kind].challenge][1](settings, options)
    lean = generate(spec)
    assert json.dumps(lean.serialize()) == json.dumps(plain.serialize())


@each_kind
def test_facts_play_equals_textworlds_own(spec: GameSpec):
    path = store.ensure(spec, "facts")
    plain = PlainTextWorldEnv(textworld.EnvInfos(admissible_commands=True, policy_commands=True))
    plain.load(str(path))
    state = plain.reset()
    env = TextWorldEnv()
    _, info = env.reset(seed=spec.seed, options=task_of(spec, expert=True).options)
    rng = random.Random(0)
    for _ in range(25):
        assert info["admissible_actions"] == state.admissible_commands
        assert info["expert_action"] == next(iter(state.policy_commands), None)
        action = rng.choice([*state.admissible_commands, "sing"])
        state, score, done = plain.step(action)
        _, _, terminated, _, info = env.step(action)
        assert (info["raw_score"], terminated, info["won"]) == (score, done, state.won)
        assert info["action_valid"] == (action != "sing")
        if done:
            break


@pytest.mark.slow
@each_kind
def test_both_back_ends_play_the_same_game(spec: GameSpec):
    actions = expert_actions(task_of(spec))
    plays = []
    for backend in ("facts", "prose"):
        env = TextWorldEnv(backend=backend)
        env.reset(seed=spec.seed, options=task_of(spec, backend=backend).options)
        steps = [env.step(action) for action in actions]
        plays.append(
            [(r, t, i["admissible_actions"], i["score"], i["anchor"]) for _, r, t, _, i in steps]
        )
        env.close()
    assert plays[0] == plays[1]


@each_kind
def test_experts_win_and_rewards_add_up_to_one(spec: GameSpec):
    task = task_of(spec)
    env = TextWorldEnv()
    env.reset(seed=task.seed, options=task.options)
    steps = [env.step(action) for action in expert_actions(task)]
    assert steps[-1][2] and steps[-1][4]["won"]
    assert sum(step[1] for step in steps) == pytest.approx(1.0)
    assert all(step[4]["action_valid"] for step in steps)


def test_the_short_view_says_where_one_can_go_and_what_is_there():
    env = TextWorldEnv()
    observation, info = env.reset(seed=0, options={"level": 103})
    assert observation == "Cellar. Exits: south, west."
    assert info["task"] == "Take the coin."
    assert env.step("go west")[0] == "Shower. Exits: east, north, south."
    assert env.step("dance")[0] == "Not possible. Shower. Exits: east, north, south."
    assert env.step("go north")[0] == "Laundromat. Exits: east, south. Here: coin."
    observation, reward, terminated, _, info = env.step("take coin")
    assert observation == "Laundromat. Exits: east, south. Carrying: coin."
    assert (reward, terminated, info["won"]) == (1.0, True, True)


def test_a_lost_game_ends_without_success():
    spec = SPECS[1]
    wrong = next(
        fact.arguments[0].name
        for quest in generate(spec).quests
        for event in quest.fail_events
        for fact in event.condition.preconditions
    )
    name = generate(spec).infos[wrong].name
    env = TextWorldEnv()
    _, info = env.reset(seed=spec.seed, options=task_of(spec).options)
    rng = random.Random(0)
    for _ in range(2000):
        take = [a for a in info["admissible_actions"] if a.startswith(f"take {name}")]
        moves = [a for a in info["admissible_actions"] if a.startswith(("go", "open"))]
        _, reward, terminated, _, info = env.step(take[0] if take else rng.choice(moves))
        if terminated:
            break
    assert terminated and info["lost"] and not info["won"] and reward == 0.0


def test_the_episode_is_truncated_after_max_steps():
    env = TextWorldEnv(max_steps=3)
    env.reset(seed=0)
    assert [env.step("look")[3] for _ in range(3)] == [False, False, True]


def test_train_and_heldout_games_differ():
    maps = []
    for split in ("train", "heldout"):
        for task in TextWorldEnv.panel(split, levels=[103, 104, 105, 106], count=40):
            game = generate(
                GameSpec.of("coin_collector", task.seed, {"level": task.options["level"]})
            )
            names = {key: info.name for key, info in game.infos.items()}
            facts = [(f.name, [names[v.name] for v in f.arguments]) for f in game.world.facts]
            maps.append(str(sorted(map(str, facts))))
    assert len(set(maps)) == 80


def test_a_longer_panel_begins_with_the_shorter_one():
    short = TextWorldEnv.panel("train", levels=[103, 104], count=5)
    assert list(TextWorldEnv.panel("train", levels=[103, 104], count=9))[:5] == list(short)
    assert [task.options["level"] for task in short] == [103, 104, 103, 104, 103]


def test_mixtures_take_turns():
    mixture = [{"kind": "coin_collector", "levels": [103, 105]}, {"kind": "cooking", "cut": True}]
    panel = TextWorldEnv.panel("heldout", mixture=mixture, count=4, max_steps=20)
    assert [task.task_type for task in panel] == [
        "coin_collector-103",
        "coin_collector-105",
        "cooking",
        "coin_collector-103",
    ]
    assert all(task.options["max_steps"] == 20 for task in panel)


def test_the_panel_hash_is_stable():
    assert TextWorldEnv.panel("train", levels=[103], count=3).hash == "95e6484a8e16e819"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levls": [1]}, "Did you mean 'level"),
        ({"kind": "coin_colector"}, "Did you mean 'coin_collector'"),
        ({"backend": "fact"}, "Did you mean 'facts'"),
        ({"max_steps": 0}, "`max_steps` must be a positive integer"),
        ({"level": "5"}, "`level` of TextWorld kind 'coin_collector' must be of type int"),
        ({"count": 0}, "`count` must be at least 1"),
        ({"game_files": ["/no/such.json"]}, "does not exist"),
    ],
)
def test_wrong_panel_options_are_one_clear_error(options: dict[str, Any], message: str):
    with pytest.raises(AgentRLError, match=message):
        TextWorldEnv.panel("train", **options)


def test_an_unknown_split_names_the_nearest():
    with pytest.raises(UnknownNameError, match="'heldout'"):
        TextWorldEnv.panel("held_out")


def test_a_level_that_does_not_exist_says_so():
    with pytest.raises(ConfigError, match=r"within \[1-300\]"):
        TextWorldEnv(level=301).reset(seed=0)


def test_a_game_file_is_played_and_recognised_by_its_content(tmp_path: Path):
    source = store.ensure(SPECS[0], "facts")
    copy = tmp_path / "mine.json"
    copy.write_bytes(source.read_bytes())
    task = TextWorldEnv.panel("test", game_files=[str(copy)])[0]
    env = TextWorldEnv()
    _, info = env.reset(seed=task.seed, options=task.options)
    assert set(INFO_KEYS) <= set(info) and info["task_type"] == "game_file"
    assert expert_actions(task)[-1] == "take coin"
    copy.write_text(copy.read_text() + " ")
    with pytest.raises(DataError, match="restore the file"):
        env.reset(seed=task.seed, options=task.options)


def test_glulx_files_are_refused_with_the_way_out(tmp_path: Path):
    (tmp_path / "old.ulx").write_bytes(b"Glul")
    with pytest.raises(ConfigError, match=r"compiled to `\.z8`"):
        TextWorldEnv(game_file=str(tmp_path / "old.ulx")).reset(seed=0)


@pytest.mark.slow
def test_parallel_makers_of_one_game_do_not_clash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    code = (
        "from agentrl.envs.textworld.store import ensure;"
        "from agentrl.envs.textworld.games import GameSpec;"
        "print(ensure(GameSpec.of('coin_collector', 1, {'level': 1}), 'facts'))"
    )
    with ThreadPoolExecutor(3) as makers:
        run = [sys.executable, "-c", code]
        paths = list(makers.map(lambda _: subprocess.check_output(run, text=True), range(3)))
    assert len(set(paths)) == 1
    assert textworld.Game.load(paths[0].strip()).walkthrough == ["take coin"]
    assert [path.suffix for path in cache_directory().glob("coin*")] == [".json"]


def test_progress_is_plain_lines_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    panel = TextWorldEnv.panel("train", levels=[1], count=3)
    assert prepare_panel(panel, workers=1) == 3
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1].startswith("Generating games: 3/3") and "\x1b" not in "".join(lines)
    assert prepare_panel(panel, workers=1) == 0


@pytest.mark.slow
def test_an_impossible_game_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    specs = [GameSpec.of("coin_collector", 0, {"level": level}) for level in (301, 1)]
    with pytest.raises(ConfigError, match="301"):
        store.prepare([(spec, "facts") for spec in specs], workers=1, quiet=True)
    assert store.game_path(specs[1], "facts").exists()


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (" go  north\n", "go north"),
        ("gö \x1b[1mnorth 你", "g [1mnorth"),
        ("", ""),
        ("x" * 300, "x" * 197),
        ("\\help \\north", "help north"),
    ],
)
def test_actions_are_reduced_to_printable_ascii(text: str, action: str):
    assert printable_ascii(text) == action


REFUSED = [
    "quit",
    "RESTORE game",
    "tw-print score",
    "save",
    "look. save",
    "look, then SAVE",
    "save.",
]


@pytest.mark.parametrize("command", REFUSED)
def test_interpreter_commands_are_refused(command: str):
    env = TextWorldEnv(backend="prose", level=103)
    _, info = env.reset(seed=0)
    observation, _, terminated, _, after = env.step(command)
    assert observation == "That is not part of the game." and not terminated
    assert not after["action_valid"] and after["anchor"] == info["anchor"]
    assert env.fork().step("look")[0] == env.step("look")[0]
    env.close()


INFO = {"task": "Take the coin.", "admissible_actions": ["go east", "look"], "step": 2}


def test_the_compact_prompt_is_goal_observation_and_bare_command():
    prompt = CompactPrompt()
    assert prompt.system(INFO) == "Take the coin."
    assert prompt.observe("Attic. Exits: east.", INFO) == "Attic. Exits: east."
    assert CompactPrompt(show_actions=True).observe("A.", INFO) == "A.\nActions: go east, look"
    parsed = prompt.parse("  go east\nand then", INFO)
    assert (parsed.action, parsed.valid) == ("go east", True)
    assert prompt.parse("fly", INFO).reason == "not an admissible action"


def test_the_chat_prompt_reads_the_action_tag():
    prompt = ChatPrompt()
    assert "<think>" in str(prompt.system(INFO)) and "Take the coin." in str(prompt.system(INFO))
    assert prompt.observe("Attic.", INFO).endswith("'go east'\n'look'")
    for text in ("<think>x</think><action> go east </action>", "<think></think><action>'go east'"):
        assert prompt.parse(text, INFO).action == "go east" and prompt.parse(text, INFO).valid
    untagged = prompt.parse("I think that I should go east", INFO)
    assert (untagged.action, untagged.valid) == ("I think that I should go east"[-30:], False)
