"""`agentrl eval expert|random|first`: agents without a model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentrl import envs
from agentrl.evaluation.transcripts import panel_setting, read_evaluation

ENV = "tests.evaluation.errands:tests/Errands-v0"
Play = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def play(run_agentrl, tmp_path: Path) -> Play:
    """Runs an agent; returns status, the table as JSON, and standard error."""

    def run(agent: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
        folder = ["--output", str(tmp_path), "--workers", "2", "--format", "json"]
        status, output, error = run_agentrl("eval", agent, "--env", ENV, *folder, *arguments)
        return status, json.loads(output) if output else {}, error

    return run


def rows(table: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["split"], row["task_type"]): row for row in table["rows"]}


def test_an_expert_is_scored_per_type_and_split(play: Play):
    status, table, _ = play("expert", "--split", "near", "far", "--panel", "count=5")
    assert status == 0
    found = rows(table)
    assert list(found) == [(s, t) for s in ("near", "far") for t in ("long", "short", "all")]
    assert [row["tasks"] for row in found.values()] == [2, 3, 5] * 2
    assert all(row["success"] == 1.0 and row["failed"] == {} for row in found.values())
    assert [found["near", kind]["steps"] for kind in ("long", "short")] == [2.0, 1.0]
    for panel in table["panels"]:
        own = envs.env_class(ENV).panel(panel["split"], count=5)
        assert (panel["name"], panel["hash"]) == (own.name, own.hash)
    assert table["settings"]["panel"] == "count=5"


def test_a_table_says_the_options_of_the_panel_but_not_where_the_data_lie():
    assert panel_setting({"count": 5, "data_dir": "/home"}) == {"panel": "count=5"}
    assert panel_setting({"data_dir": "/home"}) == {}


def test_random_play_depends_on_its_seed_alone(play: Play):
    def successes(*arguments: str) -> list[float]:
        _, table, _ = play("random", "--panel", "max_steps=2", "--episodes", "4", *arguments)
        return [row["success"] for row in table["rows"]]

    first = successes("--workers", "1")
    assert successes("--workers", "3") == first
    assert successes("--seed", "1") != first


def test_the_first_action_is_always_the_same(play: Play):
    _, table, _ = play("first")
    assert rows(table)["heldout", "all"]["success"] == 1.0  # `go` comes before `sit`


def test_an_expert_that_gives_up_has_not_won(play: Play):
    _, table, _ = play("expert", "--panel", "lost=[0]")
    found = rows(table)["heldout", "all"]
    assert (found["tasks"], found["episodes"], found["failed"]) == (6, 6, {})
    assert found["success"] == pytest.approx(5 / 6)
    assert found["score"] == pytest.approx((5 + 1 / 2) / 6)


def test_failures_are_recorded_and_in_no_mean(play: Play, tmp_path: Path):
    status, table, _ = play("expert", "--panel", "broken=[1,3]")
    found = rows(table)["heldout", "all"]
    assert status == 0
    assert (found["tasks"], found["scored_tasks"], found["success"]) == (6, 4, 1.0)
    assert found["failed"] == {"env_error/raised": 2}
    (path,) = tmp_path.glob("*.jsonl")
    _, records = read_evaluation(path)
    assert {r.task for r in records if "the errand is broken" in r.error} == {
        "heldout-1", "heldout-3",
    }  # fmt: skip


def test_where_nothing_works_it_stops_early_with_the_reason(play: Play):
    everything = f"broken={list(range(30))}"
    status, _, error = play("expert", "--panel", "count=30", everything)
    assert status == 2
    line = error.strip().splitlines()[-1]
    assert line.startswith("agentrl: The first 8 episodes all failed")
    assert "the errand is broken" in line
    status, table, error = play("expert", "--panel", "count=2", everything)
    assert status == 1 and "no episode could be scored" in error
    assert rows(table)["heldout", "all"]["success"] is None


def test_stored_episodes_give_the_same_table_again(play: Play, run_agentrl, tmp_path: Path):
    _, table, _ = play("random", "--split", "near", "far", "--panel", "broken=[0]")
    paths = [next(tmp_path.glob(f"random-Errands-v0-{split}-*.jsonl")) for split in ("near", "far")]
    status, output, _ = run_agentrl("eval", "--rescore", *map(str, paths), "--format", "json")
    assert status == 0
    assert json.loads(output) == table
    stored = json.loads((tmp_path / "random-Errands-v0-near+far-table.json").read_text())
    assert stored == table
    assert "| near | long |" in (tmp_path / "random-Errands-v0-near+far-table.md").read_text()


def test_transcripts_hold_the_whole_play(play: Play, tmp_path: Path):
    play("expert", "--panel", "count=2")
    (path,) = tmp_path.glob("*.jsonl")
    episodes = [json.loads(line)["episode"] for line in path.read_text().splitlines()[1:]]
    (long,) = [item for item in episodes if item["task_type"] == "long"]
    assert [step["action"] for step in long["text"]["steps"]] == ["go", "go"]
    assert [step["reward"] for step in long["text"]["steps"]] == [0.0, 1.0]
    assert (long["text"]["goal"], long["text"]["observation"]) == ("Go.", "Go!")


def test_a_cut_short_evaluation_goes_on_and_a_whole_one_is_played_anew(play: Play, tmp_path: Path):
    _, table, _ = play("random")
    (path,) = tmp_path.glob("*.jsonl")
    whole = path.read_text().splitlines()
    marked = [line.replace('"goal": "Go."', '"goal": "kept"') for line in whole]
    path.write_text("\n".join([*marked[:3], marked[3][:40]]))  # killed in the middle of a line
    assert play("random")[1] == table
    again = path.read_text()
    assert again.count('"goal": "kept"') == 2 and len(again.splitlines()) == len(whole)
    play("random")
    assert path.read_text().count('"goal": "kept"') == 0


def test_failed_episodes_are_played_again_and_other_settings_start_anew(play: Play, tmp_path: Path):
    play("random", "--panel", "count=4")
    (path,) = tmp_path.glob("*.jsonl")
    header, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["episode"] |= {"stop": "env_timeout", "error_kind": "timeout"}
    for line in lines[1:]:
        line["episode"]["text"]["goal"] = "kept"
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *lines]))
    _, table, _ = play("random", "--panel", "count=4")
    assert rows(table)["heldout", "all"]["failed"] == {}
    assert path.read_text().count("kept") == 3
    play("random", "--panel", "count=4", "--seed", "5")
    assert path.read_text().count("kept") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["expert"], "needs `--env`"),
        (["expert", "--env", "Erands"], "Unknown environment 'Erands'"),
        (["expert", "--env", ENV, "--split", "fra"], "Did you mean 'far'?"),
        (["expert", "--env", ENV, "--panel", "coutn=3"], "Did you mean '--panel.count'?"),
        (["expert", "--env", ENV, "--panel", "count=0"], "empty panel"),
        (["expert", "--env", ENV, "steps=3"], "has no configuration"),
        (["random", "--env", ENV, "--episodes", "0"], "`--episodes` is 0"),
        (["random", "--env", ENV, "--protocol", "compatible"], "use `--protocol exact`"),
        (["expert", "--env", "tests.envs.corridor:tests/Corridor-v0"], "expert_action"),
        (["random", "--env", "tests.envs.corridor:tests/Corridor-v0"], "admissible_actions"),
        ([], "Say who is to be scored"),
        (["--rescore", "nowhere.jsonl"], "There is no file 'nowhere.jsonl'"),
    ],
)
def test_mistakes_are_one_clear_line(
    run_agentrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    status, _, error = run_agentrl("eval", *arguments)
    assert status == 2 and message in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("agentrl: ")


def test_what_is_no_evaluation_is_not_scored(run_agentrl, tmp_path: Path):
    path = tmp_path / "other.jsonl"
    for text in ("", "{}\n", '{"schema": 9, "evaluation": {}}\n', "no json"):
        path.write_text(text)
        status, _, error = run_agentrl("eval", "--rescore", str(path))
        assert status == 2 and error.startswith("agentrl: "), text


def test_files_of_different_settings_are_no_table(play: Play, run_agentrl, tmp_path: Path):
    play("random", "--panel", "count=2")
    play("random", "--panel", "count=3", "--seed", "1")
    paths = map(str, tmp_path.glob("*.jsonl"))
    status, _, error = run_agentrl("eval", "--rescore", *paths)
    assert status == 2 and "do not belong in one table" in error


def test_playing_without_a_model_does_not_import_torch(tmp_path: Path):
    code = (
        "import sys; from agentrl.cli import main;"
        f"main(['eval', 'random', '--env', '{ENV}', '--output', '{tmp_path}', '--workers', '1']);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
