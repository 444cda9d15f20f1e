"""A model behind a server answers questions with tools, and how each attempt ends is told."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentrl.engines import SamplingParams
from agentrl.engines.openai import OpenAIClient, Server
from agentrl.envs.questions import FORMS, Question
from agentrl.errors import EnvironmentFailure
from agentrl.evaluation.questions.chat_agent import ChatAgent
from agentrl.evaluation.questions.instructions import INSTRUCTIONS
from agentrl.tools import ToolError, ToolErrorKind, tool
from tests.engines.scripted_server import Answer, chat_answer, scripted

QUESTION = Question(id="q", question="What is 6 times 7?", answers=("42",))


@tool
async def multiply(a: int, b: int) -> str:
    """Multiply two numbers.

    Args:
        a: first.
        b: second.
    """
    if a < 0:
        raise ToolError("The calculator is down.", ToolErrorKind.UNAVAILABLE)
    return str(a * b)


def calling(*calls, name="multiply"):
    """Return a turn with calls of these arguments."""
    written = [
        {
            "id": f"c{n}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": text if isinstance(text, str) else json.dumps(text),
            },
        }
        for n, text in enumerate(calls)
    ]
    return chat_answer("", tool_calls=written)


def ask(script, question=QUESTION, sample=0, params=None, **settings):
    """Let a scripted model answer; return the prediction and what the server was asked."""

    async def main(url):
        async with OpenAIClient(Server(url=url, model="m", tries=1)) as client:
            agent = ChatAgent(client, params or SamplingParams(max_tokens=99), **settings)
            return await agent(question, sample)

    with scripted(script) as server:
        return asyncio.run(asyncio.wait_for(main(server.url), 30)), server.bodies


def test_calls_are_carried_out_and_their_results_given_back():
    last = chat_answer("It is so.\nFINAL ANSWER: 42")
    found, bodies = ask([calling({"a": 6, "b": 7}, {"a": 1, "b": 1}), last], tools=[multiply])
    assert (found.prediction, found.stop, found.calls, found.tokens) == ("42", "answered", 2, 8)
    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == ["multiply"]
    results = [message for message in bodies[1]["messages"] if message["role"] == "tool"]
    assert [(r["tool_call_id"], r["content"]) for r in results] == [("c0", "42"), ("c1", "1")]
    assert found.transcript[-1]["content"].endswith("42")


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (calling("{not json"), "no JSON"),
        (calling({"a": "x", "b": 1}), "cannot take argument 'a'"),
        (calling({}, name="divide"), "no tool 'divide'"),
    ],
)
def test_calls_that_cannot_be_carried_out_are_explained(turn, said):
    _, bodies = ask([turn, chat_answer("FINAL ANSWER: 42")], tools=[multiply])
    assert said in bodies[1]["messages"][-1]["content"]


def test_the_turn_after_the_last_has_no_tools_and_must_answer():
    call = calling({"a": 2, "b": 3})
    found, bodies = ask([call, call, chat_answer("FINAL ANSWER: 6")], tools=[multiply], max_turns=2)
    assert found.prediction == "6"
    assert [body.get("tool_choice") for body in bodies] == [None, None, "none"]
    assert "final answer now" in bodies[2]["messages"][-1]["content"]
    stubborn, bodies = ask([call], tools=[multiply], max_turns=2)
    assert (stubborn.prediction, stubborn.stop, len(bodies)) == (None, "truncated_turns", 3)
    assert not stubborn.failed


def test_answers_cut_short_and_contexts_that_overflow_are_no_answers():
    cut = chat_answer("FINAL ANSWER: 4")
    cut.body["choices"][0]["finish_reason"] = "length"
    found, _ = ask([cut])
    assert (found.prediction, found.stop) == (None, "truncated_tokens")
    error = Answer({"error": {"message": "..", "code": "context_length_exceeded"}}, 400)
    found, _ = ask([error])
    assert (found.prediction, found.stop) == (None, "truncated_tokens")


def test_a_service_that_is_down_fails_the_sample_instead_of_the_model():
    with pytest.raises(EnvironmentFailure, match="calculator is down"):
        ask([calling({"a": -1, "b": 1})], tools=[multiply])


def test_samples_have_seeds_of_their_own():
    params = SamplingParams(seed=100)
    seeds = [ask([chat_answer("x")], sample=n, params=params)[1][0]["seed"] for n in (0, 3)]
    assert seeds == [100, 103]
    assert "seed" not in ask([chat_answer("x")], sample=3)[1][0]


def test_text_files_are_shown_and_others_named(tmp_path):
    for name, said in (("t.csv", "a,b\n1,2"), ("t.png", str(tmp_path / "t.png"))):
        (tmp_path / name).write_text("a,b\n1,2")
        question = Question(id="q", question="Q", answers=("x",), file=str(tmp_path / name))
        _, bodies = ask([chat_answer("x")], question)
        assert bodies[0]["messages"][1]["content"].endswith(said)


def test_every_scorer_has_its_instruction():
    assert {form.scorer for form in FORMS.values()} <= INSTRUCTIONS.keys()
