"""The client of servers: what it sends, how it reads, when it tries again, what it never shows."""

from __future__ import annotations

import asyncio
import logging
import pickle

import pytest

from agentrl.engines import SamplingParams
from agentrl.engines.openai import (
    FailureKind,
    OpenAIClient,
    Prices,
    Server,
    ServerFailure,
    Transport,
)
from agentrl.errors import ConfigError, ContextOverflow, EngineError
from agentrl.tools.base import ToolError, ToolErrorKind
from tests.engines.scripted_server import Answer, chat_answer, scripted

SECRET = "sk-very-secret-0123456789"
ASK = [{"role": "user", "content": "Hello"}]
PLAIN = SamplingParams(max_tokens=5)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


class Waits:
    """Stands in for `asyncio.sleep` and remembers what was waited for."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


async def chat(url, waits=None, params=PLAIN, tools=(), **settings):
    """Ask once; return the reply and the client's usage."""
    server = Server(url=url, model="served", **settings)
    transport = Transport(server, sleep=waits or Waits(), chance=lambda: 0.5)
    async with OpenAIClient(server, transport) as client:
        return await client.chat(ASK, params, tools=tools), client


def test_a_chat_sends_messages_sampling_and_tools_and_reads_the_calls():
    call = {"id": "c1", "type": "function"}
    calls = [{**call, "function": {"name": "search", "arguments": '{"query": "x"}'}}]
    params = SamplingParams(temperature=0.6, top_p=0.9, max_tokens=7, stop_strings=("END",), seed=3)
    tools = [{"type": "function", "function": {"name": "search", "parameters": {}}}]
    answer = chat_answer("Hi", tool_calls=calls, reasoning_content="hm")
    with scripted([answer]) as server:
        reply, _ = run(chat(server.url, params=params, tools=tools))
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies[0] == {
        "model": "served",
        "messages": ASK,
        "max_tokens": 7,
        "temperature": 0.6,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 3,
        "tools": tools,
    }
    assert (reply.text, reply.reasoning, reply.finish) == ("Hi", "hm", "stop")
    assert reply.calls[0].read().arguments == {"query": "x"}
    assert reply.message == answer.body["choices"][0]["message"]


def test_malformed_arguments_of_a_call_are_kept_and_refused_on_reading():
    calls = [{"id": "c", "function": {"name": "search", "arguments": text}} for text in ("{", "3")]
    with scripted([chat_answer("", tool_calls=calls)]) as server:
        reply, _ = run(chat(server.url))
    for call in reply.calls:
        with pytest.raises(ToolError) as caught:
            call.read()
        assert caught.value.kind is ToolErrorKind.MALFORMED


def test_ids_go_as_they_are_and_come_back_with_log_probs():
    choice = {
        "text": "ab",
        "finish_reason": "stop",
        "stop_reason": 9,
        "token_ids": [7, 9],
        "prompt_token_ids": [1, 2],
        "logprobs": {"token_logprobs": [-0.5, -0.25]},
    }
    details = {"prompt_tokens": 2, "completion_tokens": 2, "prompt_tokens_details": None}
    with scripted([Answer({"choices": [choice], "usage": details})]) as server:

        async def ask():
            async with OpenAIClient(Server(url=server.url, model="served")) as client:
                return await client.complete(
                    [1, 2], PLAIN, logprobs=True, extra={"return_token_ids": True}
                )

        reply = run(ask())
    assert server.bodies[0]["prompt"] == [1, 2]
    assert server.bodies[0]["return_token_ids"] is True
    assert (reply.ids, reply.logprobs, reply.stop_reason) == ([7, 9], [-0.5, -0.25], 9)
    assert reply.prompt_ids == [1, 2]


def test_passing_failures_are_tried_again_with_waits_that_may_double():
    waits = Waits()
    bad = [Answer({"error": "busy"}, status) for status in (429, 500, 503)]
    with scripted([*bad, chat_answer("ok")]) as server:
        reply, client = run(chat(server.url, waits))
    assert reply.text == "ok"
    assert waits.seconds == [0.25, 0.5, 1.0]  # half of the bounds 0.5, 1 and 2
    assert (client.usage.requests, client.usage.retries, client.usage.failures) == (1, 3, 0)


def test_an_ordered_wait_is_kept_and_one_too_long_ends_the_call():
    waits = Waits()
    limited = Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "7"})
    with scripted([limited, chat_answer("ok")]) as server:
        run(chat(server.url, waits))
    assert waits.seconds == [7.25]
    limited.headers = {"Retry-After": "3600"}
    with scripted([limited]) as server, pytest.raises(ServerFailure, match="wait 3600 s"):
        run(chat(server.url, waits))
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "bad field"}}, FailureKind.REQUEST),
        (401, {"error": {"message": f"Incorrect API key {SECRET}"}}, FailureKind.KEY),
        (404, "not here", FailureKind.REQUEST),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, FailureKind.QUOTA),
    ],
)
def test_final_failures_end_the_call_at_once(monkeypatch, status, body, kind):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with scripted([Answer(body, status)]) as server, pytest.raises(ServerFailure) as caught:
        run(chat(server.url))
    assert caught.value.kind is kind
    assert len(server.bodies) == 1
    assert SECRET not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).kind is kind


def test_a_dead_service_is_given_up_after_all_tries():
    with scripted([Answer("<html>", 200)]) as server, pytest.raises(ServerFailure) as caught:
        run(chat(server.url, tries=3))
    assert caught.value.kind is FailureKind.REPLY
    assert "after 3 tries" in str(caught.value)
    with pytest.raises(ServerFailure) as caught:
        run(chat(server.url, tries=2))  # nobody listens there any more
    assert caught.value.kind is FailureKind.CONNECTION


def test_slow_answers_are_cut_off_per_try_and_per_call():
    slow = Answer({}, delay=3.0)
    with scripted([slow, chat_answer("ok")]) as server:
        reply, client = run(chat(server.url, timeout=1.5))
    assert (reply.text, client.usage.retries) == ("ok", 1)
    with scripted([slow]) as server, pytest.raises(ServerFailure, match=r"within 0\.2 s"):
        run(chat(server.url, deadline=0.2))


def test_a_prompt_that_is_too_long_is_told_apart():
    text = "This model's maximum context length is 8 tokens."
    with scripted([Answer({"message": text}, 400)]) as server, pytest.raises(ContextOverflow):
        run(chat(server.url))


def test_no_more_requests_are_under_way_than_allowed():
    answer = chat_answer("ok")
    answer.delay = 0.05
    with scripted([answer]) as server:

        async def ask():
            async with OpenAIClient(Server(url=server.url, model="m", concurrency=3)) as client:
                await asyncio.gather(*(client.chat(ASK, PLAIN) for _ in range(12)))
                return client.usage

        usage = run(ask())
    assert usage.requests == 12
    assert server.busiest == 3


def test_the_key_is_sent_and_never_shown(monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", f"{SECRET}\n")
    caplog.set_level(logging.DEBUG)
    with scripted([Answer(f"you sent {SECRET}", 500)]) as server:
        settings = Server(url=server.url, model="m", key_variable="MY_KEY", tries=1)

        async def ask():
            async with OpenAIClient(settings) as client:
                try:
                    await client.chat(ASK, PLAIN)
                except ServerFailure as failure:
                    return repr(failure) + repr(vars(client))

        shown = run(ask()) + repr(settings)
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in shown
    assert SECRET not in caplog.text


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\n{SECRET}")
    with scripted([chat_answer("ok")]) as server, pytest.raises(ConfigError) as caught:
        run(chat(server.url))
    assert "OPENAI_API_KEY" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_key_that_occurs_in_the_answer_leaves_it_as_it_is(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with scripted([chat_answer("The list is EMPTY.")]) as server:
        reply, _ = run(chat(server.url))
    assert reply.text == "The list is EMPTY."


def test_tokens_and_cost_are_counted():
    answer = chat_answer("ok")
    answer.body["usage"]["prompt_tokens_details"] = {"cached_tokens": 6}
    prices = Prices(prompt=1.0, completion=10.0, cached=0.5)
    with scripted([answer]) as server:
        _, client = run(chat(server.url, prices=prices))
    usage = client.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (10, 6, 4)
    assert client.cost == pytest.approx((4 * 1.0 + 6 * 0.5 + 4 * 10.0) / 1e6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "localhost:8000"}, "http://"),
        ({"url": "http://me:pass@host/v1"}, "no user, password"),
        ({"url": "http://host/v1", "tries": 0}, "`tries`"),
    ],
)
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        Server(model="m", **settings)
    assert "pass@" not in str(caught.value)


def test_a_closed_client_refuses():
    async def ask():
        client = OpenAIClient(Server(url="http://127.0.0.1:9/v1", model="m"))
        await client.close()
        await client.chat(ASK, PLAIN)

    with pytest.raises(EngineError, match="closed"):
        run(ask())


def test_closing_ends_requests_that_are_under_way():
    async def ask(url):
        client = OpenAIClient(Server(url=url, model="m", tries=2))
        task = asyncio.create_task(client.chat(ASK, PLAIN))
        await asyncio.sleep(0.1)
        await client.close()
        await task

    slow = chat_answer("late")
    slow.delay = 0.5
    with scripted([slow]) as server, pytest.raises(EngineError):
        run(ask(server.url))


def test_text_that_is_no_unicode_is_refused_at_once():
    async def ask(url):
        async with OpenAIClient(Server(url=url, model="m")) as client:
            await client.chat([{"role": "user", "content": "\ud800"}], PLAIN)

    with scripted([chat_answer("ok")]) as server, pytest.raises(ServerFailure, match="surrogate"):
        run(ask(server.url))
    assert server.bodies == []
