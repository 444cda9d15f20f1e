"""`agentrl envs check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentrl.envs.conformance import CHECKS
from tests.training.fixtures import Command

SOUND = "tests.envs.broken:broken/Sound-v0"
FORKS_ITSELF = "tests.envs.broken:broken/ForksItself-v0"


def test_a_sound_environment_passes_every_check(run_agentrl: Command):
    status, output, _ = run_agentrl("envs", "check", SOUND)
    assert status == 0
    rows = [line.split()[:2] for line in output.splitlines() if line.startswith("  ")]
    assert rows == [["pass", check.name] for check in CHECKS]
    assert f"{len(CHECKS)} passed, 0 failed, 0 skipped" in output
    assert all(len(line) <= 100 for line in output.splitlines())


def test_a_failure_says_what_is_wrong_and_how_to_fix_it(run_agentrl: Command):
    status, output, error = run_agentrl("envs", "check", FORKS_ITSELF, "--only", "fork")
    assert status == 1 and not error
    text = " ".join(output.split())
    assert "FAIL fork `fork()` after" in text
    assert "Fix: return a new environment in the same state." in text
    assert "2 passed, 1 failed, 0 skipped" in text


def test_what_cannot_run_is_counted_and_not_listed(run_agentrl: Command):
    status, output, _ = run_agentrl("envs", "check", "tests.envs.broken:broken/NoPanel-v0")
    assert status == 1
    assert "16 of the skipped need what failed." in output
    assert len([line for line in output.splitlines() if line.startswith("  skip")]) == 0


def test_the_report_can_be_read_by_programs(run_agentrl: Command):
    status, output, _ = run_agentrl("envs", "check", SOUND, "--json", "--only", "info")
    report = json.loads(output)
    assert status == 0 and report["ok"] is True
    assert [result["check"] for result in report["results"]] == ["class", "start", "info"]


def test_panel_options_and_split_reach_the_environment(run_agentrl: Command):
    faulty = "tests.envs.faulty:tests/Faulty-v0"
    arguments = ["--panel", "rate=1.0", "kinds=[raise]", "--split", "heldout", "--only", "info"]
    status, output, _ = run_agentrl("envs", "check", faulty, *arguments)
    assert status == 1
    assert "task faulty-1000" in output and "this environment is broken" in output


def test_the_deadline_of_a_call_can_be_set(run_agentrl: Command):
    faulty = "tests.envs.faulty:tests/Faulty-v0"
    arguments = ["--panel", "rate=1.0", "kinds=[hang]", "--only", "info", "--timeout", "1"]
    status, output, _ = run_agentrl("envs", "check", faulty, *arguments)
    assert status == 1 and "no answer within 1 s" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["agentrl/TextWrld-v0"], "Did you mean 'agentrl/TextWorld-v0'"),
        (["no_such_module:own/X-v0"], "There is no module 'no_such_module'"),
        ([SOUND, "--only", "frok"], "Did you mean 'fork'"),
        ([SOUND, "--timeout", "0"], "`--timeout` is 0"),
    ],
)
def test_a_mistake_is_one_line(run_agentrl: Command, arguments: list[str], message: str):
    status, _, error = run_agentrl("envs", "check", *arguments)
    assert status == 2
    assert message in error and len(error.splitlines()) == 1


def test_the_output_shown_in_the_documentation_is_what_is_printed(
    run_agentrl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Numbers aside, which depend on the machine."""
    repository = Path(__file__).parents[2]
    page = (repository / "docs/environments/own.md").read_text()
    (block,) = [text for text in page.split("```") if "quick checks" in text]
    readme = (repository / "README.md").read_text().split("```")
    (code,) = [text for text in readme if "class Line" in text]
    assert f"```{code}```" in page  # the environment shown is the same
    (tmp_path / "line.py").write_text(code.removeprefix("python"))
    monkeypatch.syspath_prepend(str(tmp_path))
    _, output, _ = run_agentrl("envs", "check", "line:own/Line-v0")

    def words(text: str) -> list[list[str]]:
        return [line.split()[:2] for line in text.splitlines() if line.startswith("  ")]

    assert words(block) == words(output)
