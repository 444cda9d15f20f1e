"""ALFWorld's data directories: every layout gives the same games, each fault one error."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from agentrl.envs.alfworld import ALFWorldEnv, data, generated_game
from agentrl.envs.alfworld.household import DOMAIN, GRAMMAR
from agentrl.envs.alfworld.layouts import Game, content_digest
from agentrl.errors import DataError, UnknownNameError

TYPES = ("pick_two_obj_and_place", "look_at_obj_in_light", "pick_and_place_simple")
SPLITS = ("train", "valid_unseen")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of its own, and no data anywhere."""
    for name in ("AGENTRL_DATA", "ALFWORLD_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "cache"))


def games(split: str) -> list[Game]:
    first = 10 * SPLITS.index(split)
    made = [generated_game(first + i, TYPES[i % 3]) for i in range(4)]
    return [
        Game(f"{g.task_type}-Thing-None-Place-{i}/trial_{i}", g.content) for i, g in enumerate(made)
    ]


def write_original(root: Path) -> Path:
    for split in SPLITS:
        for game in games(split):
            path = root / "json_2.1.1" / split / game.id / "game.tw-pddl"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(game.content))
    return root


def write_records(root: Path) -> Path:
    root.mkdir()
    (root / "domain.pddl").write_text(DOMAIN)
    (root / "grammar.twl2").write_text(GRAMMAR)
    for split in SPLITS:
        with lzma.open(root / f"{split}.jsonl.xz", "wt") as file:
            for game in games(split):
                grammar = game.content["grammar"]
                task = grammar.partition("Your task is to: ")[2].partition('."')[0]
                record = {"id": game.id, "task": task, **game.content}
                file.write(json.dumps(record) + "\n")
    return root


def test_all_layouts_give_the_same_panel(tmp_path: Path):
    original = write_original(tmp_path / "original")
    records = write_records(tmp_path / "records")
    report = data.prepare(original, tmp_path / "packed")
    assert (
        "train: 4 games (3553 published): look_at_obj_in_light 1, pick_and_place_simple 1, "
        in (report[0])
    )
    for split in SPLITS:
        panels = [
            ALFWorldEnv.panel(split, data_dir=str(path))
            for path in (original, records, tmp_path / "packed")
        ]
        assert len({panel.hash for panel in panels}) == 1
        assert [t.id for t in panels[0]] == sorted(game.id for game in games(split))
        assert {t.options["digest"] for t in panels[0]} == {
            content_digest(game.content) for game in games(split)
        }
    assert data.check(tmp_path / "packed") == data.check(original)


def test_published_games_are_found_read_and_played(tmp_path: Path):
    pytest.importorskip("fast_downward", reason="the extra `alfworld` is not installed")
    root = write_original(tmp_path / "original")
    panel = ALFWorldEnv.panel("heldout", data_dir=str(root), count=2, seed=1)
    env = ALFWorldEnv()
    for task in panel:
        _, info = env.reset(seed=task.seed, options=dict(task.options))
        assert (info["task_id"], info["split"]) == (task.id, "valid_unseen")
        content = next(g.content for g in games("valid_unseen") if g.id == task.id)
        assert [env.step(c)[2] for c in content["walkthrough"]][-1] is True


def test_filters_shuffles_and_counts_select_tasks(tmp_path: Path):
    root = str(write_original(tmp_path / "original"))
    whole = ALFWorldEnv.panel("train", data_dir=root)
    two = ALFWorldEnv.panel("train", data_dir=root, task_types=["pick_two_obj_and_place"])
    assert [t.id for t in two] == [t.id for t in whole if t.task_type == "pick_two_obj_and_place"]
    orders = [[t.id for t in ALFWorldEnv.panel("train", data_dir=root, seed=s)] for s in range(6)]
    assert len(set(map(tuple, orders))) > 1 and all(set(o) == set(orders[0]) for o in orders)
    assert [t.id for t in ALFWorldEnv.panel("train", data_dir=root, seed=3, count=2)] == orders[3][
        :2
    ]


def test_games_that_alfworld_skips_are_left_out(tmp_path: Path):
    root = write_original(tmp_path / "original")
    content = dict(games("train")[0].content)
    for name, solvable in (("a-movable-b/t", True), ("a-AppleSliced-b/t", True), ("a-b/t", False)):
        path = root / "json_2.1.1" / "train" / name / "game.tw-pddl"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**content, "solvable": solvable}))
    (root / "json_2.1.1" / "train" / "a-c" / "t").mkdir(parents=True)  # without a game
    assert len(ALFWorldEnv.panel("train", data_dir=str(root))) == 4


def test_without_data_the_error_says_where_it_looked_and_what_to_do(tmp_path: Path):
    with pytest.raises(DataError, match=r"agentrl/alfworld.*agentrl data alfworld.*generated"):
        ALFWorldEnv.panel("train")
    with pytest.raises(DataError, match=r"no ALFWorld games in .*nowhere'\."):
        ALFWorldEnv.panel("train", data_dir=str(tmp_path / "nowhere"))


def test_alfworlds_own_variable_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ALFWORLD_DATA", str(write_original(tmp_path / "original")))
    assert len(ALFWorldEnv.panel("train")) == 4


def test_a_wrong_directory_and_a_missing_split_are_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"has no ALFWorld games of split 'train'.*game\.tw-pddl"):
        ALFWorldEnv.panel("train", data_dir=str(tmp_path))
    with pytest.raises(DataError, match=r"has no ALFWorld games\."):
        data.check(tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        data.open_split("trian", tmp_path)
    root = write_original(tmp_path / "original")
    assert "valid_seen: missing (140 games published)" in data.check(root)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"grammar": "x"}', '{"pddl_domain": 3}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str):
    root = write_original(tmp_path / "original")
    path = root / "json_2.1.1" / "train" / games("train")[1].id / "game.tw-pddl"
    path.write_text(text)
    with pytest.raises(
        DataError, match=r"1 file\(s\) of ALFWorld split 'train'.*trial_1"
    ) as raised:
        ALFWorldEnv.panel("train", data_dir=str(root))
    assert "Download or copy" in str(raised.value)
    with pytest.raises(DataError, match="trial_1"):
        data.check(root)
    assert len(ALFWorldEnv.panel("valid_unseen", data_dir=str(root))) == 4


def test_damaged_archives_are_named(tmp_path: Path):
    root = write_records(tmp_path / "records")
    path = root / "train.jsonl.xz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"train\.jsonl\.xz"):
        ALFWorldEnv.panel("train", data_dir=str(root))
    (root / "domain.pddl").unlink()
    with pytest.raises(DataError, match=r"domain\.pddl"):
        ALFWorldEnv.panel("valid_unseen", data_dir=str(root))
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "train.sqlite").write_text("nonsense, nonsense, nonsense")
    with pytest.raises(DataError, match=r"packed ALFWorld games in .*train\.sqlite.* are damaged"):
        ALFWorldEnv.panel("train", data_dir=str(tmp_path / "packed"))


def test_a_task_is_refused_when_the_data_changed(tmp_path: Path):
    root = write_original(tmp_path / "original")
    task = ALFWorldEnv.panel("train", data_dir=str(root))[0]
    path = root / "json_2.1.1" / "train" / task.id / "game.tw-pddl"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "walkthrough": ["look"]}))
    with pytest.raises(DataError, match=r"has content \w+, but the task was made for"):
        ALFWorldEnv().reset(options=dict(task.options))
    path.unlink()
    with pytest.raises(DataError, match="There is no ALFWorld game"):
        ALFWorldEnv().reset(options=dict(task.options))


def test_the_instructions_name_the_downloader_and_the_directory():
    text = data.instructions()
    assert "alfworld-download" in text and "json_2.1.1/train" in text and "data_dir" in text
