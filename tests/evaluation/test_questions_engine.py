"""A model of this machine answers questions as one behind a server would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from agentrl.engines import Completion, SamplingParams
from agentrl.envs.questions import Question
from agentrl.errors import ConfigError
from agentrl.evaluation.questions import ChatAgent
from agentrl.evaluation.questions.engine_chat import (
    EngineChat,
    dialect_of,
    fingerprint,
    open_model,
)
from agentrl.models.load import save
from agentrl.tokens import Renderer
from agentrl.tools import ToolError, tool

QUESTION = Question(id="q", question="What is 6 times 7?", answers=("42",))
CALL = '<tool_call>\n{"name": "multiply", "arguments": {"a": 6, "b": 7}}\n</tool_call>'


@tool
async def multiply(a: int, b: int) -> str:
    """Multiply two numbers.

    Args:
        a: first.
        b: second.
    """
    return f"{a * b}</tool_call>"


class Recited:
    """An engine that says what is written down, so that what is made of it can be seen."""

    version, max_context, temperature_rules = 0, 4096, True

    def __init__(self, tokenizer, texts: Sequence[str], *, stop: str = "stop_id") -> None:
        self.prompts: list[str] = []
        self._tokenizer, self._texts, self._stop = tokenizer, iter(texts), stop

    async def generate(self, prompt_ids, params, *, session=None) -> Completion:
        self.prompts.append(self._tokenizer.decode(prompt_ids))
        assert self._tokenizer.eos_token_id in params.stop_ids
        ids = self._tokenizer.encode(next(self._texts), add_special_tokens=False)
        ids += [self._tokenizer.eos_token_id] if self._stop == "stop_id" else []
        zeros = [0.0] * len(ids)
        runs = [(0, len(ids))]
        return Completion(ids=ids, logprobs=zeros, entropies=zeros, stop=self._stop, versions=runs)


@pytest.fixture
def recite(tiny_tokenizer):
    """Let an engine recite turns to an agent; return its prediction and the prompts."""

    def run(*texts: str, stop: str = "stop_id"):
        engine = Recited(tiny_tokenizer, texts, stop=stop)
        chat = EngineChat(engine, Renderer(tiny_tokenizer))
        agent = ChatAgent(chat, SamplingParams(), tools=[multiply], tags=chat.tags)
        return asyncio.run(asyncio.wait_for(agent(QUESTION, 0), 30)), engine.prompts

    return run


def test_calls_are_read_from_text_and_written_back_as_they_came(recite):
    turn = f"<think>{CALL} or not?</think>I shall multiply. {CALL}"
    found, prompts = recite(turn, "It is so.\nFINAL ANSWER: 42")
    assert (found.prediction, found.stop, found.calls) == ("42", "answered", 1)
    assert '"name": "multiply"' in prompts[0]
    assert turn in prompts[1]
    assert prompts[1].startswith(prompts[0])
    assert found.tokens > 20


def test_what_a_tool_says_cannot_end_a_call(recite):
    _, prompts = recite(CALL, "FINAL ANSWER: 42")
    assert prompts[1].count("</tool_call>") == 1
    assert "42<" in prompts[1]


def test_a_call_that_cannot_be_read_is_explained(recite):
    found, prompts = recite("<tool_call>multiply!</tool_call>", "FINAL ANSWER: 42")
    assert "no JSON" in prompts[1].partition("multiply!")[2]
    assert found.prediction == "42"


def test_thoughts_are_no_answer_and_a_turn_that_was_cut_short_is_none(recite):
    found, _ = recite("<think>FINAL ANSWER: 41</think>FINAL ANSWER: 42")
    assert found.prediction == "42"
    found, _ = recite("FINAL ANSWER: 4", stop="length")
    assert (found.prediction, found.stop) == (None, "truncated_tokens")


def test_what_is_not_understood_is_refused(tiny_tokenizer):
    chat = EngineChat(Recited(tiny_tokenizer, ["x"]), Renderer(tiny_tokenizer))
    extra = {"chat_template_kwargs": {}}
    with pytest.raises(ConfigError, match="chat_template_kwargs; accepted is tool_choice"):
        asyncio.run(chat.chat([{"role": "user", "content": "x"}], SamplingParams(), extra=extra))


def test_the_template_decides_how_calls_are_written():
    assert dialect_of("... <tool_call>\\n<function=name>").name == "xml_function"
    assert dialect_of("... <tool_call>\\n{...}").name == "hermes"


def test_calls_that_cannot_be_read_say_so(tiny_tokenizer):
    chat = EngineChat(Recited(tiny_tokenizer, ["<tool_call>{"]), Renderer(tiny_tokenizer))
    messages = [{"role": "user", "content": "x"}]
    schema = {"type": "function", "function": {"name": "f", "parameters": {}}}
    reply = asyncio.run(chat.chat(messages, SamplingParams(), tools=[schema]))
    assert (reply.finish, len(reply.calls)) == ("tool_calls", 1)
    with pytest.raises(ToolError, match="not closed"):
        reply.calls[0].read()


def test_a_real_model_answers_the_same_with_the_same_seed(tiny_model, tiny_tokenizer, tmp_path):
    save(tiny_model, tiny_tokenizer, tmp_path / "model")

    async def answers():
        async with open_model(tmp_path / "model") as chat:
            agent = ChatAgent(chat, SamplingParams(max_tokens=12, seed=5))
            return [await agent(QUESTION, sample) for sample in (0, 1)]

    first, second = asyncio.run(answers()), asyncio.run(answers())
    told = [found.transcript[-1]["content"] for found in first]
    assert told == [found.transcript[-1]["content"] for found in second]
    assert told[0] != told[1]
    assert all(0 < found.tokens <= 12 for found in first)


def test_other_weights_have_another_fingerprint(tiny_model, tiny_tokenizer, tmp_path):
    save(tiny_model, tiny_tokenizer, tmp_path / "a")
    save(tiny_model, tiny_tokenizer, tmp_path / "b")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    tiny_model.get_input_embeddings().weight.data[0, 0] += 1
    save(tiny_model, tiny_tokenizer, tmp_path / "b")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_a_run_is_put_to_a_set_by_its_directory(finished_run, tmp_path, run_agentrl):
    path = tmp_path / "open.jsonl"
    rows = [{"id": str(n), "question": f"Who is {n}?", "golden_answers": ["x"]} for n in range(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, output, error = run_agentrl(
        *("eval", "hotpotqa", "--path", str(path), "--model", str(finished_run)),
        *("--max-tokens", "8", "--output", str(tmp_path / "out"), "--format", "json"),
    )
    assert status == 0, error
    report = json.loads(output)
    assert report["agent"].startswith(f"{finished_run.name}/step-")
    assert report["rows"][0]["effort"]["failed"] == 0
    assert report["rows"][0]["effort"]["samples"] == 2
    assert len(report["settings"]["weights"]) == 16
