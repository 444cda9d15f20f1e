from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl.errors import DataError
from agentrl.storage import (
    ForestWriter,
    TruncatedLine,
    iter_trees,
    load_panel,
    read_forest,
    save_panel,
    tree_from_json,
    tree_to_json,
    write_forest,
)
from agentrl.tree import Forest, StopReason, Tree, Writer
from agentrl.types import Task, TaskPanel

ONE_FILE = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(["\n", "\u2028", "\ud800", "\x00"])
FLOATS = st.floats(allow_nan=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
INFO = st.dictionaries(TEXT, JSON_VALUES, max_size=3)
TASKS = st.builds(
    Task, id=TEXT, env_id=TEXT, seed=st.integers(), options=INFO, answer=st.none() | TEXT
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree = Tree(draw(TEXT), draw(TASKS), info=draw(INFO))
    for position in range(draw(st.integers(0, 4))):
        parent = draw(st.none() | st.integers(0, position - 1)) if position else None
        ids = draw(st.lists(st.integers(0, 200_000), max_size=4))
        writer = draw(st.sampled_from(Writer))
        count = len(ids) if writer is Writer.MODEL else 0
        numbers = st.lists(FLOATS, min_size=count, max_size=count)
        tree.add(
            parent,
            writer,
            ids,
            logprobs=draw(numbers),
            entropies=draw(numbers),
            entropy_exact=draw(st.booleans()),
            versions=[(draw(st.integers(0, 9)), len(ids))] if ids else [],
            reward=draw(FLOATS),
            info=draw(INFO),
        )
    nodes = st.lists(st.integers(0, len(tree.nodes) - 1), max_size=2) if tree.nodes else st.just([])
    for _ in range(draw(st.integers(0, 2))):
        tree.add_episode(
            sequences=draw(nodes),
            stop=draw(st.none() | st.sampled_from(StopReason)),
            reward=draw(FLOATS),
            metrics=draw(st.dictionaries(TEXT, FLOATS, max_size=2)),
            error=draw(TEXT),
        )
    return tree


def small_tree(name: str = "t") -> Tree:
    tree = Tree(name, Task(id="1", env_id="agentrl/Test-v0", options={"level": 2}))
    root = tree.add(None, Writer.ENVIRONMENT, [1, 2])
    turn = tree.add(root.id, Writer.MODEL, [3], logprobs=[-0.1], versions=[(4, 1)], reward=1.0)
    tree.add_episode(sequences=[turn.id], stop=StopReason.TERMINATED, reward=1.0)
    return tree


@given(forest=st.builds(Forest, st.lists(trees(), max_size=3), INFO))
@ONE_FILE
def test_a_forest_comes_back_identical(tmp_path: Path, forest):
    path = tmp_path / "forest.jsonl"
    write_forest(forest, path)
    read = read_forest(path)
    assert read == forest
    assert repr(read) == repr(forest)  # tells -0.0 from 0.0 and 1 from 1.0 and True
    assert list(iter_trees(path)) == forest.trees


@given(value=st.floats())
def test_every_float_keeps_all_its_bits(value):
    tree = small_tree()
    tree.nodes[1].logprobs = [value]
    read = tree_from_json(json.loads(json.dumps(tree_to_json(tree)))).nodes[1].logprobs[0]
    if math.isnan(value):
        assert math.isnan(read)
    else:
        assert struct.pack("d", read) == struct.pack("d", value)


def test_one_line_is_one_tree_and_carries_the_schema(tmp_path):
    path = tmp_path / "new" / "folder" / "f.jsonl"
    write_forest(Forest([small_tree("a"), small_tree("b")], {"step": 3}), path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["schema"] for line in lines] == [1, 1, 1]
    assert lines[0]["forest"] == {"step": 3}
    assert [line["tree"]["id"] for line in lines[1:]] == ["a", "b"]


def test_a_tree_is_on_disk_before_the_next_one_is_written(tmp_path):
    path = tmp_path / "f.jsonl"
    with ForestWriter(path, info={"step": 1}) as writer:
        writer.write(small_tree("a"))
        assert read_forest(path) == Forest([small_tree("a")], {"step": 1})
        writer.write(small_tree("b"))
    assert len(read_forest(path)) == 2


def test_a_writer_without_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ForestWriter(None) as writer:
        writer.write(small_tree())
    assert list(tmp_path.iterdir()) == []


def test_a_new_writer_replaces_and_an_appending_one_adds(tmp_path):
    path = tmp_path / "f.jsonl"
    for name in ("old", "new"):
        with ForestWriter(path, info={"of": name}) as writer:
            writer.write(small_tree(name))
    with ForestWriter(path, append=True) as writer:
        writer.write(small_tree("added"))
    forest = read_forest(path)
    assert [tree.id for tree in forest] == ["new", "added"]
    assert forest.info == {"of": "new"}


def test_a_file_cut_anywhere_gives_its_whole_trees_and_says_what_was_lost(tmp_path):
    path = tmp_path / "f.jsonl"
    write_forest(Forest([small_tree("a"), small_tree("b")]), path)
    data = path.read_bytes()
    ends = [i for i, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(0, len(data), 7):
        path.write_bytes(data[:cut])
        lost: list[TruncatedLine] = []
        forest = read_forest(path, lost.append)
        whole = sum(cut >= end for end in ends)
        assert len(forest) == max(0, whole - 1)
        partial = cut not in (0, *ends) and cut - 1 not in ends
        assert [line.line for line in lost] == ([whole + 1] if partial else [])


def test_appending_after_a_kill_cuts_the_incomplete_line_off(tmp_path):
    path = tmp_path / "f.jsonl"
    write_forest(Forest([small_tree("a"), small_tree("b")]), path)
    path.write_bytes(path.read_bytes()[:-30])
    with ForestWriter(path, append=True) as writer:
        writer.write(small_tree("c"))
    assert [tree.id for tree in read_forest(path)] == ["a", "c"]


def test_truncation_is_logged_unless_handled(tmp_path, caplog):
    path = tmp_path / "f.jsonl"
    path.write_text('{"schema": 1, "fore')
    assert read_forest(path) == Forest()
    assert "line 1 is incomplete" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "not valid JSON"),
        ("[1]", "no `schema`"),
        ("{}", "no `schema`"),
        ('{"schema": 2, "tree": {}}', "schema version 2 is unknown.*reads version 1"),
        ('{"schema": 1}', "neither a tree nor a header"),
        ('{"schema": 1, "tree": {"id": "x"}}', "Not a stored tree"),
        ('{"schema": 1, "tree": []}', "Not a stored tree"),
    ],
)
def test_damage_inside_a_file_is_reported_with_its_line(tmp_path, line, message):
    path = tmp_path / "f.jsonl"
    write_forest(Forest([small_tree()]), path)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=f"line 3: .*{message}"):
        read_forest(path)


def test_an_unknown_schema_is_an_error_even_on_an_unfinished_line(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text('{"schema": 9, "forest": {}}')
    with pytest.raises(DataError, match="schema version 9"):
        read_forest(path)


def test_inconsistent_trees_are_refused(tmp_path):
    tree = small_tree()
    tree.nodes[1].logprobs = []
    write_forest(Forest([tree]), tmp_path / "f.jsonl")
    with pytest.raises(DataError, match="1 ids, 0 log-probs"):
        read_forest(tmp_path / "f.jsonl")


def test_a_missing_file_is_a_data_error(tmp_path):
    for read in (read_forest, load_panel, lambda path: list(iter_trees(path))):
        with pytest.raises(DataError, match=r"none\.jsonl"):
            read(tmp_path / "none.jsonl")


def test_numpy_scalars_become_numbers_and_other_objects_are_refused(tmp_path):
    tree = small_tree()
    tree.nodes[1].info = {"score": np.float32(0.5)}
    write_forest(Forest([tree]), tmp_path / "f.jsonl")
    assert read_forest(tmp_path / "f.jsonl")[0].nodes[1].info == {"score": 0.5}
    tree.info = {"bad": object()}
    with pytest.raises(DataError, match="object"):
        write_forest(Forest([tree]), tmp_path / "f.jsonl")


@given(tasks=st.lists(TASKS, max_size=3, unique_by=lambda task: task.id))
@settings(ONE_FILE, max_examples=30)
def test_a_panel_comes_back_with_the_same_hash(tmp_path, tasks):
    panel = TaskPanel.of("panel", tasks)
    save_panel(panel, tmp_path / "panel.json")
    assert load_panel(tmp_path / "panel.json") == panel
    assert [path.name for path in tmp_path.iterdir()] == ["panel.json"]


def test_a_panel_changed_by_hand_is_refused(tmp_path):
    path = tmp_path / "panel.json"
    save_panel(TaskPanel.of("p", [Task(id="1", env_id="agentrl/Test-v0")]), path)
    path.write_text(path.read_text().replace('"seed":0', '"seed":1'))
    with pytest.raises(DataError, match="changed by hand"):
        load_panel(path)


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 5}', '{"schema": 1, "name": "x"}'])
def test_a_damaged_panel_is_refused(tmp_path, text):
    path = tmp_path / "panel.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"panel\.json"):
        load_panel(path)
