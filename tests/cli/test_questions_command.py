"""`agentrl questions`: a set is looked at, asked and scored, and scored again without a server."""

from __future__ import annotations

import argparse
import json

import pytest

from agentrl.cli import questions_command
from agentrl.errors import ConfigError, DataError
from tests.engines.scripted_server import chat_answer, scripted


def run(*arguments):
    parser = argparse.ArgumentParser()
    questions_command.add_arguments(parser)
    return questions_command.run(parser.parse_args(list(map(str, arguments))))


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"id": str(n), "problem": f"What is {n} + {n}?", "answer": 2 * n} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_without_a_name_the_sets_are_listed(capsys):
    assert run() == 0
    listed = capsys.readouterr().out
    assert "gaia" in listed
    assert "validation, test" in listed


def test_a_set_is_looked_at(problems, capsys):
    assert run("math500", "--path", problems, "--limit", 2) == 0
    assert "math500/test/first2: 2 questions" in capsys.readouterr().err


def test_a_model_is_asked_with_tools_and_its_answers_are_scored_again(problems, tmp_path, capsys):
    (tmp_path / "made_tools.py").write_text(
        "from agentrl.tools import tool\n\n\n"
        "@tool\nasync def double(n: int) -> str:\n"
        '    """Double a number.\n\n    Args:\n        n: the number.\n    """\n'
        "    return str(2 * n)\n\n\n"
        "def make():\n    return [double]\n"
    )

    def model(body):
        last = body["messages"][-1]
        if last["role"] == "tool":
            return chat_answer(f"It is \\boxed{{{last['content']}}}.")
        number = last["content"].split()[2]
        if number == "2":
            return chat_answer("It is \\boxed{5}.")
        function = {"name": "double", "arguments": f'{{"n": {number}}}'}
        return chat_answer("", tool_calls=[{"id": "c", "function": function}])

    output = tmp_path / "out"
    with scripted(model) as server, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        asked = ["--server", server.url, "--model", "a/b", "--tools", "made_tools:make"]
        common = ["math500", "--path", problems, "--output", output, "--format", "json"]
        assert run(*common, *asked) == 0
    online = json.loads(capsys.readouterr().out)
    assert online["rows"][0]["scores"]["maths"]["average"] == pytest.approx(2 / 3)
    assert online["rows"][0]["effort"]["calls"] == pytest.approx(2 / 3)
    stored = output / "a-b-math500-test.jsonl"
    assert run(*common, "--predictions", stored) == 0
    assert json.loads(capsys.readouterr().out) == online
    names = sorted(path.name for path in output.iterdir())
    assert [name.partition("test")[2] for name in names] == [
        ".jsonl",
        ".report.html",
        ".report.json",
        ".report.txt",
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["--server", "http://h/v1"], ConfigError, "needs `--model`"),
        (["--server", "http://h/v1", "--predictions", "x"], ConfigError, "not both"),
        (["--predictions", "nothing.jsonl"], DataError, "no file"),
        (["--limit", "-1"], ConfigError, "`--limit`"),
        (["--server", "http://h/v1", "--model", "m", "--tools", "no_such:f"], ConfigError,
         "MODULE:FUNCTION"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(problems, tmp_path, arguments, error, said):
    with pytest.raises(error, match=said):
        run("math500", "--path", problems, "--output", tmp_path / "o", *arguments)
