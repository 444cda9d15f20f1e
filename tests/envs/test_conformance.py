"""Every registered environment passes the conformance suite, and every check of it can fail."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import agentrl.rollout.conformance as worker_check
import tests.envs.broken
import tests.envs.corridor
import tests.envs.faulty  # noqa: F401 (registers)
from agentrl import envs
from agentrl.envs.conformance import (
    CHECKS,
    FULL,
    QUICK,
    Limits,
    Result,
    Subject,
    check_environment,
)
from agentrl.envs.conformance.catalogue import chosen
from agentrl.errors import DataError, MissingExtraError, UnknownNameError
from tests.envs.broken import FAULTS

HERE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Case:
    """An environment with the panel options it is tested with.

    `quick` and `slow` are changes to the limits of the quick and slow tests; None leaves one
    out.  `skipped` are the checks that do not apply; `only`, where given, those of the quick test:
    another kind of game needs not all of them.
    """

    env_id: str
    options: dict[str, Any] = field(default_factory=dict)
    slow: dict[str, Any] | None = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    quick: dict[str, Any] | None = field(default_factory=dict)
    only: tuple[str, ...] = ()


GAME = ("info", "admissible", "seeding", "ends", "expert", "fork", "fuzz")

CASES = {
    "corridor": Case(
        "tests.envs.corridor:tests/Corridor-v0", skipped=frozenset({"admissible", "expert", "fork"})
    ),
    "faulty": Case(
        "tests.envs.faulty:tests/Faulty-v0", {"rate": 0.0}, None, frozenset({"expert", "fork"})
    ),
    "sound": Case("tests.envs.broken:broken/Sound-v0"),
    "coin": Case("agentrl/TextWorld-v0", {"levels": [103, 105], "count": 4, "max_steps": 12}),
    "treasure": Case(
        "agentrl/TextWorld-v0", {"kind": "treasure_hunter", "count": 2}, None, only=GAME
    ),
    "cooking": Case(
        "agentrl/TextWorld-v0",
        {"kind": "cooking", "count": 2, "cut": True},
        {"memory_episodes": 100, "fuzz_actions": 2_000, "forks": 25},
        quick=None,
    ),
    "simple": Case("agentrl/TextWorld-v0", {"kind": "simple", "count": 2}, None, only=GAME),
    "prose": Case(
        "agentrl/TextWorld-v0",
        {"backend": "prose", "count": 1, "max_steps": 12},
        {"memory_episodes": 100, "fuzz_actions": 2_000, "forks": 25},
        quick=None,
    ),
    "alfworld": Case("agentrl/ALFWorld-v0", {"generated": True, "count": 4}),
    "webshop": Case("agentrl/WebShop-v0", {"catalogue": "generated", "count": 4}),
    "scienceworld": Case(
        "agentrl/ScienceWorld-v0",
        {"simplifications": "easy", "task_types": ["find-living-thing"], "count": 2},
        {"memory_episodes": 20, "fuzz_actions": 200, "forks": 4, "steps": 6, "sequences": 2},
        frozenset({"admissible"}),  # see below
        quick=None,
    ),
    "searchqa": Case("agentrl/SearchQA-v0", {"count": 4, "hops": [1, 2]}),
    "deepsearch": Case("agentrl/DeepSearch-v0", {"count": 4}, quick=None),
    "toolmath": Case(
        "agentrl/ToolMath-v0",
        {"count": 4},
        {"memory_episodes": 40, "fuzz_actions": 300, "forks": 5, "steps": 3, "sequences": 2},
        quick=None,
    ),
    "math": Case("agentrl/Math-v0", {"count": 4}),
}


def run(case: Case, limits: Limits, only: tuple[str, ...] = ()) -> None:
    """Run the suite; what the machine lacks is no failure."""
    cls = envs.env_class(case.env_id)
    try:
        cls.panel("train", **case.options)
    except (MissingExtraError, DataError) as error:
        pytest.skip(str(error))
    if case.env_id == "agentrl/ToolMath-v0" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed: the sandbox fails closed")
    patient = replace(limits, call_seconds=120.0)  # a busy machine is no fault
    report = check_environment(Subject(case.env_id, case.options, limits=patient), only)
    assert not [f"{result.check}: {result.note}" for result in report.failures]
    skipped = {result.check for result in report.results if result.status == "skip"}
    assert skipped == case.skipped & {result.check for result in report.results}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.quick is not None])
def test_the_environment_conforms(name: str):
    run(CASES[name], replace(QUICK, **(CASES[name].quick or {})), CASES[name].only)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.slow is not None])
def test_the_environment_conforms_however_long_it_is_tried(name: str):
    run(CASES[name], replace(FULL, **(CASES[name].slow or {})))


@pytest.mark.slow
def test_what_scienceworld_lists_when_asked_is_well_formed():
    """The simulator now and then lists an action it does not understand; that is not ours."""
    pytest.importorskip("scienceworld")
    options = {"simplifications": "easy", "count": 1, "admissible": True}
    limits = replace(QUICK, steps=20)
    report = check_environment(Subject("agentrl/ScienceWorld-v0", options, limits=limits), ["info"])
    assert {result.status for result in report.results} == {"pass"}, report.failures


def test_every_environment_of_agentrl_has_a_case():
    tested = {case.env_id for case in CASES.values()}
    assert {name for name, _ in envs.listing() if name.startswith("agentrl/")} <= tested


def test_the_full_suite_is_as_thorough_as_promised():
    assert (FULL.forks, FULL.fuzz_actions, FULL.memory_episodes) == (100, 10_000, 500)


def failures(subject: Subject, name: str) -> list[Result]:
    """Run a check, after those it needs, in this process."""
    results = [check.run(subject) for check in chosen([name])]
    return [result for result in results if result.status == "fail"]


@pytest.mark.parametrize(
    ("check", "message", "env_id"), FAULTS, ids=[f"{fault[0]}-{fault[2]}" for fault in FAULTS]
)
def test_a_broken_environment_fails_its_check_and_is_told_what_to_fix(
    check: str, message: str, env_id: str
):
    limits = replace(QUICK, call_seconds=1.0) if "1 s" in message else QUICK
    subject = Subject(f"tests.envs.broken:{env_id}", limits=limits)
    harmful = check == "memory" or "no answer" in message or "killed by signal" in message
    found = check_environment(subject, [check]).failures if harmful else failures(subject, check)
    assert found[0].check == check
    assert message in found[0].note
    assert found[0].fix


def test_a_process_that_outlives_its_worker_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_check, "_alive", lambda pid: True)
    monkeypatch.setattr(worker_check, "_GONE_SECONDS", 0.1)
    (found,) = failures(Subject("tests.envs.broken:broken/Sound-v0"), "worker")
    assert "outlive a worker process that is killed" in found.note


def test_every_check_is_seen_to_fail():
    outside = {"import"}  # tested below, with modules of its own
    assert {check for check, _, _ in FAULTS} | outside == {check.name for check in CHECKS}


SLOW = """
import time
start = time.process_time()
while time.process_time() < start + 0.5: pass
"""
MODULE = """
{first}
from agentrl.envs import register
from tests.envs.broken import Sound
class {name}(Sound): pass
register("broken/{name}-v0", "{name}:{name}", description="")
"""


@pytest.mark.parametrize(
    ("name", "first", "check", "message"),
    [
        ("own_torch", "import torch", "import", "imports torch, which environments must not"),
        ("own_slow", SLOW, "import", "s of CPU; at most 0.3 s"),
        ("own_raises", "1 / 0", "class", "cannot be imported: ZeroDivisionError"),
        ("own_exits", "raise SystemExit(4)", "class", "SystemExit: 4"),
        ("own_dies", "import os; print('last words'); os._exit(3)", "class", "exited with code 3"),
        ("own_hangs", "import time; time.sleep(60)", "class", "no answer within 2 s"),
    ],
)
def test_a_module_that_cannot_be_imported_well_is_a_finding(
    name: str,
    first: str,
    check: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "torch.py").write_text("")
    (tmp_path / f"{name}.py").write_text(MODULE.format(first=first, name=name))
    limits = replace(QUICK, import_seconds=0.3, call_seconds=2.0 if "hang" in name else 30.0)
    report = check_environment(Subject(f"{name}:broken/{name}-v0", limits=limits), ["import"])
    (found,) = report.failures
    assert found.check == check
    assert message in found.note


def test_the_last_output_of_a_process_that_ends_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    first = "import os, sys; print('No more disk.', file=sys.stderr, flush=True); os._exit(3)"
    (tmp_path / "own_last.py").write_text(MODULE.format(first=first, name="own_last"))
    report = check_environment(Subject("own_last:broken/own_last-v0"))
    (found,) = report.failures
    assert "its last output was 'No more disk.'" in found.note
    assert [result.blocked for result in report.results] == [False] + [True] * (len(CHECKS) - 1)


def test_a_check_that_takes_the_process_along_leaves_the_others_their_results():
    report = check_environment(
        Subject("tests.envs.broken:broken/Crashes-v0"), ["seeding", "fuzz", "memory"]
    )
    outcome = {result.check: result.status for result in report.results}
    assert outcome == {
        "class": "pass", "start": "pass", "seeding": "pass", "fuzz": "fail", "memory": "pass"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raise", "raised RuntimeError: this environment is broken"),
        ("hang", "no answer within 1 s"),
        ("exit", "exited with code 3"),
        ("garbage", "give a finite number as reward; got str 'much'"),
        ("types", "give a finite number as reward; got float nan"),
    ],
)
def test_faults_in_the_middle_of_an_episode_are_findings(kind: str, message: str):
    options = {"kinds": [kind], "rate": 1.0}
    limits = replace(QUICK, call_seconds=1.0)
    subject = Subject("tests.envs.faulty:tests/Faulty-v0", options, limits=limits)
    (found,) = check_environment(subject, ["info"]).failures
    assert message in found.note
    assert "step(" in found.note


def test_an_unknown_check_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'fork'"):
        check_environment(Subject("broken/Sound-v0"), ["fokr"])


def test_the_report_is_json():
    report = check_environment(Subject("tests.envs.broken:broken/ForksItself-v0"), ["fork"])
    data = json.loads(json.dumps(report.to_json()))
    assert data["ok"] is False
    assert [result["status"] for result in data["results"]] == ["pass", "pass", "fail"]


def test_the_environment_of_the_readme_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", (HERE / "README.md").read_text(), re.S | re.M)
    (code,) = [text for text in blocks if "class Line" in text]
    (tmp_path / "line.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    report = check_environment(Subject("line:own/Line-v0"))
    assert not [f"{result.check}: {result.note}" for result in report.failures]
