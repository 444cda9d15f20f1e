"""`agentrl eval gaia`: questions, a model behind a server, real tools, a stop, a report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.engines.scripted_server import ScriptedServer, scripted
from tests.evaluation.answering_model import TOOLS, AnsweringModel
from tests.evaluation.question_files import write_lines

SAMPLES = 2


def generated(folder: Path) -> Path:
    """Write a set of questions of three levels, one with a file."""
    answers = ["408", "right", "Ada, Bo", "2700.50", "78", "Au; Ag", "1974", "42.5"]
    rows = [
        {
            "task_id": f"q-{number}",
            "Question": f"What does record {number} say?",
            "Level": 1 + number % 3,
            "Final answer": answer,
            "file_name": "table.csv" if number == 3 else "",
        }
        for number, answer in enumerate(answers)
    ]
    path = write_lines(folder / "set" / "metadata.jsonl", rows)
    path.with_name("table.csv").write_text("town,people\nA,1\n")
    return path


@pytest.fixture(params=["generated", "imitation"])
def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file of the questions; the imitation of GAIA's files is among the official data."""
    if request.param == "generated":
        return generated(tmp_path)
    found: Path = request.getfixturevalue("shared") / "data/gaia_like/validation/metadata.jsonl"
    if not found.is_file():
        pytest.skip(f"no imitation of GAIA at {found}")
    return found


@pytest.fixture
def rows(metadata: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in metadata.read_text(encoding="utf-8").splitlines() if line]


@pytest.fixture
def model(rows: list[dict[str, Any]], tmp_path: Path) -> AnsweringModel:
    return AnsweringModel({row["Question"]: row["Final answer"] for row in rows}, tmp_path)


@pytest.fixture
def server(model: AnsweringModel) -> Iterator[ScriptedServer]:
    with scripted(model) as running:
        yield running
        model.goes_on.set()


def expected(model: AnsweringModel, rows: list[dict[str, Any]], level: str = "") -> dict[str, Any]:
    """Count by hand: how many questions, and what every sample of them was worth."""
    outcomes = [
        [model.outcome(number, sample) for sample in range(SAMPLES)]
        for number, row in enumerate(rows)
        if level in ("", str(row["Level"]))
    ]
    right = [ended.count("right") for ended in outcomes]
    return {
        "questions": len(outcomes),
        "samples": SAMPLES * len(outcomes),
        "failed": sum(ended.count("failed") for ended in outcomes),
        "average": pytest.approx(sum(right) / SAMPLES / len(outcomes)),
        "pass@1": pytest.approx(sum(right) / SAMPLES / len(outcomes)),
        "pass@2": pytest.approx(sum(count > 0 for count in right) / len(outcomes)),
    }


def reported(row: dict[str, Any]) -> dict[str, Any]:
    score = row["scores"]["gaia"]
    assert (score["questions"], score["samples"], score["errors"]) == (
        row["questions"],
        row["effort"]["samples"],
        0,
    )
    return {
        "questions": row["questions"],
        "samples": row["effort"]["samples"],
        "failed": row["effort"]["failed"],
        "average": score["average"],
        "pass@1": score["pass_at"]["1"],
        "pass@2": score["pass_at"]["2"],
    }


def stop_in_between(command: list[str], model: AnsweringModel, answers: Path) -> list[str]:
    """Start the command, kill it when some samples are answered; return what is written."""
    model.most = 5
    command = [sys.executable, "-m", "agentrl", *command, "--concurrency", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 90
        while not answers.is_file() or len(answers.read_text().splitlines()) < 1 + model.most:
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline, "no answers came"
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate(timeout=20)
    model.goes_on.set()
    return answers.read_text().splitlines()


def test_a_set_is_answered_with_tools_gone_on_with_and_scored_again(
    metadata, rows, model, server, tmp_path, run_agentrl
):
    output = tmp_path / "out"
    answers = output / "served-a-gaia-validation.jsonl"
    common = ["eval", "gaia", "--path", str(metadata), "--output", str(output)]
    who = ["--model", server.url, "--model-name", "served/a", "--samples", str(SAMPLES)]
    command = [*common, *who, *model.options(), "--format", "json"]

    before = stop_in_between(command, model, answers)
    places = [(json.loads(line)["id"], json.loads(line)["sample"]) for line in before[1:]]
    assert 5 <= len(set(places)) == len(places) < SAMPLES * len(rows)
    asked_before, model.conversations = model.conversations, []

    status, online, progress = run_agentrl(*command)
    assert status == 0, progress
    assert set(before) <= set(answers.read_text().splitlines())
    # The last request of the killed process may come in late, beside the same one asked again.
    assert len(set(model.conversations)) == SAMPLES * len(rows) - len(places)
    assert len(model.conversations) <= SAMPLES * len(rows) - len(places) + 2
    assert len(asked_before) >= len(places)
    assert model.tools_used == set(TOOLS)

    report = json.loads(online)
    assert reported(report["rows"][0]) == expected(model, rows)
    levels = [level for level, _ in groupby(sorted(str(row["Level"]) for row in rows))]
    assert [row["name"] for row in report["rows"]] == ["all", *(f"level {n}" for n in levels)]
    for row, level in zip(report["rows"][1:], levels, strict=True):
        assert reported(row) == expected(model, rows, level)
    effort = report["rows"][0]["effort"]
    assert effort["stops"] == {"answered": SAMPLES * len(rows) - 1, "error": 1}
    assert effort["calls"] == pytest.approx(effort["stops"]["answered"] / (SAMPLES * len(rows)))
    assert report["settings"]["tools"] == ",".join(TOOLS)

    asked = len(server.bodies)
    again = run_agentrl(*common, "--predictions", str(answers), "--format", "json")
    assert again[:2] == (0, online)
    assert len(server.bodies) == asked
    stored = (output / f"{answers.stem}.report.json").read_text()
    assert json.loads(stored) == report


def test_no_file_of_a_private_set_holds_its_questions(
    metadata, rows, model, server, tmp_path, run_agentrl
):
    output = tmp_path / "out"
    status, _, error = run_agentrl(
        *("eval", "gaia", "--path", str(metadata), "--output", str(output), "--limit", "4"),
        *("--model", server.url, "--model-name", "m", *model.options()),
    )
    assert status == 0, error
    written = "".join(path.read_text() for path in output.iterdir())
    assert len(list(output.iterdir())) == 4
    assert [row["task_id"] for row in rows[:4] if row["task_id"] not in written] == []
    assert [row["task_id"] for row in rows[:4] if row["Question"] in written] == []
