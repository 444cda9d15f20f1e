"""`agentrl questions` looks at a set; `agentrl eval SET` asks, scores, and scores again."""

from __future__ import annotations

import json

import pytest

from tests.engines.scripted_server import chat_answer, scripted


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"id": str(n), "problem": f"What is {n} + {n}?", "answer": 2 * n} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_without_a_name_the_sets_are_listed(run_agentrl):
    status, listed, _ = run_agentrl("questions")
    assert status == 0
    assert "gaia" in listed
    assert "validation, test" in listed


def test_a_set_is_looked_at(problems, run_agentrl):
    status, _, said = run_agentrl("questions", "math500", "--path", str(problems), "--limit", "2")
    assert status == 0
    assert "math500/test/first2: 2 questions" in said


def test_a_model_is_asked_with_own_tools_and_its_answers_are_scored_again(
    problems, tmp_path, run_agentrl
):
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
    common = ["eval", "math500", "--path", str(problems), "--output", str(output)]
    common += ["--format", "json"]
    with scripted(model) as server, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        asked = ["--model", server.url, "--model-name", "a/b", "--tools", "made_tools:make"]
        status, online, _ = run_agentrl(*common, *asked)
    assert status == 0
    everything = json.loads(online)["rows"][0]
    assert everything["scores"]["maths"]["average"] == pytest.approx(2 / 3)
    assert everything["effort"]["calls"] == pytest.approx(2 / 3)
    again = run_agentrl(*common, "--predictions", str(output / "a-b-math500-test.jsonl"))
    assert again[:2] == (0, online)
    names = sorted(path.name for path in output.iterdir())
    assert [name.partition("test")[2] for name in names] == [
        ".jsonl",
        ".report.html",
        ".report.json",
        ".report.txt",
    ]


def test_a_site_is_walked_and_a_judge_marks_whose_verdicts_are_kept(tmp_path, run_agentrl):
    root = "archive://club/index.html"
    row = {"question": "Who leads?", "answer": "Ada", "root_url": root}
    (tmp_path / "walks.jsonl").write_text(json.dumps(row) + "\n")
    bodies = {"index": '<a href="team.html">Our team</a>', "team": "<p>Led by Ada.</p>"}
    pages = [
        {
            "url": f"archive://club/{name}.html",
            "status": 200,
            "content_type": "text/html",
            "html": f"<html><body>{body}</body></html>",
        }
        for name, body in bodies.items()
    ]
    (tmp_path / "site.json").write_text(json.dumps(pages))

    def model(body):
        if body["model"] == "judge":
            return chat_answer("They agree.\nGRADE: CORRECT")
        last = body["messages"][-1]["content"]
        if "Led by" in last:
            return chat_answer(f"FINAL ANSWER: {last.partition('Led by ')[2][:3]}")
        assert root in last or "1. Our team" in last
        link = '{"link": "1"}' if "Our team" in last else "{}"
        return chat_answer(
            "", tool_calls=[{"id": "c", "function": {"name": "click", "arguments": link}}]
        )

    common = ["eval", "webwalkerqa", "--path", str(tmp_path / "walks.jsonl"), "--format", "json"]
    common += ["--judge", "judge", "--verdicts", str(tmp_path / "kept")]
    common += ["--output", str(tmp_path / "out")]
    with scripted(model) as server:
        asked = ["--model", server.url, "--model-name", "m", "--judge-server", server.url]
        tools = ["--tools", "click", "--browse", str(tmp_path / "site.json")]
        status, online, error = run_agentrl(*common, *asked, *tools)
    assert status == 0, error
    everything = json.loads(online)["rows"][0]
    assert [score["average"] for score in everything["scores"].values()] == [1]
    assert everything["effort"]["calls"] == 2
    answers = next((tmp_path / "out").glob("*.jsonl"))
    assert run_agentrl(*common, "--predictions", str(answers))[:2] == (0, online)


SERVER = ["--model", "http://h/v1", "--model-name", "m"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either `--model`"),
        ([*SERVER, "--predictions", "x"], "either `--model`"),
        (["--model", "http://h/v1"], "needs `--model-name`"),
        (["--model", "no/such", "--model-name", "m"], "`--model-name` is for servers"),
        (["--model", "no/such"], "no model or run directory"),
        (["--predictions", "nothing.jsonl"], "no file"),
        ([*SERVER, "--limit", "-1"], "`--limit`"),
        ([*SERVER, "--samples", "0"], "`samples`"),
        ([*SERVER, "--also-judge", "arpo"], "give `--judge MODEL`"),
        ([*SERVER, "--tools", "no_such:f"], "MODULE:FUNCTION"),
        ([*SERVER, "--tools", "serch"], "accepted are search, browse, click, python"),
        ([*SERVER, "--tools", "search"], "needs `--search`"),
        ([*SERVER, "--search", "serper"], "does not name `search`"),
        ([*SERVER, "--tools", "search", "--search", "gogle"], "nothing to search in"),
        ([*SERVER, "--tools", "search", "--search", "serper"], "SERPER_API_KEY"),
        ([*SERVER, "--tools", "browse", "--browse", "nowhere"], "no source of pages"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    problems, tmp_path, run_agentrl, monkeypatch, arguments, said
):
    monkeypatch.delenv("SERPER_API_KEY", raising=False)
    common = ["eval", "math500", "--path", str(problems), "--output", str(tmp_path / "o")]
    status, _, error = run_agentrl(*common, *arguments)
    assert status == 2
    assert said in error.splitlines()[-1]


def test_a_set_that_is_not_known_is_told_apart_from_a_model(run_agentrl):
    status, _, error = run_agentrl("eval", "gia", "--model", "m")
    assert (status, "Did you mean 'gaia'" in error) == (2, True)
    status, _, error = run_agentrl("eval", "gia")
    assert (status, "no model or run directory 'gia'" in error) == (2, True)
