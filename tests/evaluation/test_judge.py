"""Judges: replies read as the protocols say, failures told apart, nothing asked twice."""

from __future__ import annotations

import asyncio

import pytest

from agentrl.engines.openai import OpenAIClient, Server, Transport
from agentrl.evaluation.judge import LLMJudge
from agentrl.evaluation.judge_forms import JUDGE_FORMS
from tests.engines.scripted_server import Answer, chat_answer, scripted


async def no_wait(_):
    pass


def judge_all(script, form, asked, cache=None):
    """Ask a scripted server for several verdicts, one after the other."""

    async def main(url):
        settings = Server(url=url, model="judge", tries=2)
        async with OpenAIClient(settings, Transport(settings, sleep=no_wait)) as client:
            judge = LLMJudge(client, "judge", JUDGE_FORMS[form], cache=cache)
            return [await judge.grade(*question) for question in asked]

    with scripted(script) as server:
        return asyncio.run(asyncio.wait_for(main(server.url), 30)), server


@pytest.mark.parametrize(
    ("form", "reply", "correct", "grade"),
    [
        ("webwalker", "They agree.\nGRADE: CORRECT", True, "correct"),
        ("webwalker", "**Grade:** incorrect", False, "incorrect"),
        ("webwalker", "GRADE: CORRECT? No.\nGRADE: INCORRECT", False, "incorrect"),
        ("webwalker", "I cannot say.", None, ""),
        ("browsecomp", "reasoning: same\ncorrect: yes\nconfidence: 90", True, "yes"),
        ("browsecomp", "correct: no", False, "no"),
        ("hle", "no verdict at all", False, "no"),
        ("arpo", "Correct", True, "correct"),
        ("arpo", "Not correct", False, "incorrect"),
        ("arpo", "", None, ""),
        ("simpleqa", "A", True, "correct"),
        ("simpleqa", "**B**: it contradicts", False, "incorrect"),
        ("simpleqa", "C", False, "not attempted"),
        ("simpleqa", "Correct", None, ""),
    ],
)
def test_replies_are_read_as_the_protocol_says(form, reply, correct, grade):
    found = JUDGE_FORMS[form].read(reply)
    assert found == (correct, grade)


@pytest.mark.parametrize("form", JUDGE_FORMS)
def test_prompts_hold_question_golds_and_answer_verbatim(form):
    texts = ("What costs $5 or {x}?", ["$gold ${y}", "B"], "It is $question")
    prompt = JUDGE_FORMS[form].prompt(*texts)
    for text in (texts[0], *texts[1], texts[2]):
        assert text in prompt
    assert len(JUDGE_FORMS[form].hash) == 12


def test_a_judge_asks_once_at_temperature_0_and_remembers(tmp_path):
    asked = [("Q?", ("gold",), "answer")] * 2
    verdicts, server = judge_all([chat_answer("GRADE: CORRECT")], "webwalker", asked, tmp_path)
    assert [(v.correct, v.cached) for v in verdicts] == [(True, False), (True, True)]
    assert len(server.bodies) == 1
    assert server.bodies[0]["temperature"] == 0
    again = LLMJudge(None, "judge", JUDGE_FORMS["webwalker"], cache=tmp_path)
    verdict = asyncio.run(again.grade(*asked[0]))
    assert (verdict.correct, verdict.raw) == (True, "GRADE: CORRECT")


@pytest.mark.parametrize(
    "change",
    [{"model": "other"}, {"question": "Q2"}, {"golds": ("g2",)}, {"prediction": "a2"},
     {"form": "hle"}, {"max_tokens": 9}],
)  # fmt: skip
def test_whatever_is_sent_differently_is_another_verdict(tmp_path, change):
    judge_all([chat_answer("GRADE: CORRECT")], "webwalker", [("Q?", ("gold",), "a")], tmp_path)
    sent = {"model": "judge", "question": "Q?", "golds": ("gold",), "prediction": "a"}
    sent |= {"form": "webwalker", "max_tokens": 2048} | change
    judge = LLMJudge(
        None,
        sent["model"],
        JUDGE_FORMS[sent["form"]],
        cache=tmp_path,
        max_tokens=sent["max_tokens"],
    )
    verdict = asyncio.run(judge.grade(sent["question"], sent["golds"], sent["prediction"]))
    assert verdict.correct is None
    assert "not been asked" in verdict.error


def test_a_failing_judge_is_an_error_and_not_remembered(tmp_path):
    script = [Answer({"error": "down"}, 500), Answer({"error": "down"}, 500), chat_answer("hm")]
    asked = [("Q?", ("gold",), "a")] * 3
    script += [chat_answer("GRADE: INCORRECT")]
    verdicts, _ = judge_all(script, "webwalker", asked, tmp_path)
    assert [v.correct for v in verdicts] == [None, None, False]
    assert "status 500" in verdicts[0].error
    assert "no verdict: 'hm'" in verdicts[1].error


def test_an_equal_answer_needs_no_judge_in_arpos_form():
    asked = [("Q", ("1/4",), "0.25"), ("Q", ("x", "1/2"), "0.5")]
    verdicts, server = judge_all([chat_answer("Incorrect")], "arpo", asked)
    assert [verdict.grade for verdict in verdicts] == ["incorrect", "equal"]
    assert len(server.bodies) == 1


def test_a_damaged_verdict_is_asked_again(tmp_path):
    asked = [("Q?", ("gold",), "a")]
    judge_all([chat_answer("GRADE: CORRECT")], "webwalker", asked, tmp_path)
    (path,) = tmp_path.rglob("*.json")
    path.write_text('{"reply": "GRA')
    verdicts, server = judge_all([chat_answer("GRADE: CORRECT")], "webwalker", asked, tmp_path)
    assert (verdicts[0].correct, len(server.bodies)) == (True, 1)
