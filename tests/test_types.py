from __future__ import annotations

import pickle

import pytest

from agentrl.errors import DataError
from agentrl.types import Task, TaskPanel


def task(name: str, **fields: object) -> Task:
    return Task(id=name, env_id="agentrl/Test-v0", **fields)  # type: ignore[arg-type]


def test_a_panel_is_an_ordered_sequence():
    panel = TaskPanel.of("p", (task(name) for name in "cab"))
    assert [item.id for item in panel] == ["c", "a", "b"]
    assert (len(panel), panel[1].id) == (3, "a")
    assert panel[:2] == TaskPanel("p", (task("c"), task("a")))


def test_the_hash_depends_on_content_and_order_but_not_on_the_name():
    panel = TaskPanel.of("p", [task("a"), task("b")])
    assert panel.hash == TaskPanel.of("q", [task("a"), task("b")]).hash
    others = [
        [task("b"), task("a")],
        [task("a")],
        [task("a", seed=1), task("b")],
        [task("a", options={"level": 1}), task("b")],
        [task("a", answer="x"), task("b")],
        [task("a", split="test"), task("b")],
    ]
    hashes = {TaskPanel.of("p", tasks).hash for tasks in others}
    assert len(hashes | {panel.hash}) == len(others) + 1


def test_the_hash_does_not_depend_on_the_order_of_options():
    one, two = task("a", options={"x": 1, "y": 2}), task("a", options={"y": 2, "x": 1})
    assert TaskPanel("p", (one,)).hash == TaskPanel("p", (two,)).hash


def test_the_hash_is_stable_across_versions():
    """Scores are compared by it; a change makes every stored score incomparable."""
    assert TaskPanel.of("p", [task("a", options={"level": 3})]).hash == "b06da19870d58428"


def test_any_text_can_be_hashed():
    assert TaskPanel.of("p", [task("\ud800")]).hash != TaskPanel.of("p", [task("\ud801")]).hash


def test_the_same_id_twice_is_refused_and_named():
    with pytest.raises(DataError, match="'p' holds task id 'b' twice"):
        TaskPanel.of("p", [task("a"), task("b"), task("b")])


def test_tasks_and_panels_survive_json_and_pickling():
    panel = TaskPanel.of("p", [task("a", options={"level": [1, None]}, answer="é"), task("b")])
    assert TaskPanel.from_json(panel.to_json()) == panel
    assert pickle.loads(pickle.dumps(panel)) == panel


@pytest.mark.parametrize(
    "data", [{}, {"name": "p"}, {"name": "p", "tasks": 3}, {"name": "p", "tasks": [{"idd": 1}]}]
)
def test_other_json_is_refused(data):
    with pytest.raises(DataError, match="Not a stored task"):
        TaskPanel.from_json(data)
