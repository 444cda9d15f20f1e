"""How often services are asked, when again, and when not; all in a time of their own."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from agentrl.errors import ConfigError
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.web import web_backend
from agentrl.tools.search.web.http import RetryPolicy, WebClient
from agentrl.tools.search.web.limits import Circuit, TokenBucket
from agentrl.tools.search.web.search import WebSearch
from tests.tools.search.web_answers import KEY, KEYS, Service, Time, client_of

GOOD = httpx.Response(200, json={"results": [{"title": "A", "url": "https://a.org"}]})
DOWN = httpx.Response(503, text="down")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, KEY)


def ask(client: WebClient, times: int = 1, backend: str = "tavily") -> list[Any]:
    """Ask one after the other; returns hits or failures."""

    async def asked() -> list[Any]:
        search = WebSearch(web_backend(backend), client=client)
        outcomes: list[Any] = []
        for _ in range(times):
            try:
                outcomes.append(await search.search("alien", 3))
            except SearchFailure as failure:
                outcomes.append(failure)
        await search.close()
        return outcomes

    return asyncio.run(asked())


@pytest.mark.parametrize(
    "trouble",
    [
        DOWN,
        httpx.Response(429, text="slow down"),
        httpx.Response(200, text="<html>"),
        httpx.ReadTimeout("late"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("cut"),
    ],
    ids=["server", "rate", "no json", "timeout", "connect", "protocol"],
)
def test_what_may_pass_is_asked_again_until_it_answers(trouble):
    service, time = Service([trouble, trouble, GOOD]), Time()
    [hits] = ask(client_of(service, time))
    assert [hit.title for hit in hits] == ["A"]
    assert len(service.requests) == 3 and len(time.slept) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "auth"), (422, "bad_request"), (432, "quota"), (301, "config")]
)
def test_what_stays_wrong_is_not_asked_again(status, kind):
    service, time = Service([httpx.Response(status, json={})]), Time()
    [failure] = ask(client_of(service, time))
    assert failure.kind == kind and failure.status == status
    assert len(service.requests) == 1 and time.slept == []


def test_there_are_four_tries_and_the_waits_are_drawn_below_a_doubling_limit():
    service, time = Service([DOWN]), Time()
    [failure] = ask(client_of(service, time))
    assert failure.kind is FailureKind.SERVER and len(service.requests) == 4
    assert len(time.slept) == 3
    assert all(0 <= s <= 0.5 * 2**k for k, s in enumerate(time.slept))
    assert len(set(time.slept)) == 3


def test_a_wait_that_the_service_asks_for_is_kept_by_everybody():
    limited = httpx.Response(429, headers={"Retry-After": "7"}, text="slow down")
    service, time = Service([limited, GOOD]), Time()
    client = client_of(service, time)

    async def both() -> None:
        search = WebSearch(web_backend("tavily"), client=client)
        first = asyncio.create_task(search.search("a", 1))
        while not service.requests:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(first, search.search("b", 1))
        await search.close()

    started = time.now
    asyncio.run(both())
    assert time.now - started >= 7 and time.slept[0] == 7


def test_a_wait_that_is_too_long_is_not_waited_for():
    limited = httpx.Response(429, headers={"Retry-After": "31"})
    service, time = Service([limited]), Time()
    [failure] = ask(client_of(service, time))
    assert failure.kind is FailureKind.RATE_LIMIT and not failure.retry
    assert len(service.requests) == 1 and time.slept == []


def test_all_tries_together_end_with_the_time_of_the_policy():
    limited = httpx.Response(429, headers={"Retry-After": "25"})
    service, time = Service([limited]), Time()
    [failure] = ask(client_of(service, time))
    assert failure.kind is FailureKind.RATE_LIMIT
    assert len(service.requests) == 3 and time.slept == [25, 25]  # a third wait ends at 75 s


def test_an_answer_that_never_ends_is_given_up():
    async def endless(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        raise AssertionError

    client = WebClient(
        transport=httpx.MockTransport(endless), policy=RetryPolicy(tries=1, seconds=0.05)
    )
    [failure] = ask(client)
    assert failure.kind is FailureKind.TIMEOUT


def test_after_five_failures_in_a_row_the_service_is_left_alone_for_thirty_seconds():
    service, time = Service([*[DOWN] * 5, GOOD]), Time()
    client = client_of(service, time, policy=RetryPolicy(tries=1))

    async def scenario() -> None:
        search = WebSearch(web_backend("tavily"), client=client)
        for kind in [*["server"] * 5, "circuit_open", "circuit_open"]:
            with pytest.raises(SearchFailure) as caught:
                await search.search("alien", 3)
            assert caught.value.kind == kind
        assert len(service.requests) == 5
        time.now += 30
        assert await search.search("alien", 3)
        assert await search.search("alien", 3)
        await search.close()

    asyncio.run(scenario())
    assert len(service.requests) == 7


def test_a_success_between_keeps_the_circuit_closed_and_refused_keys_do_not_open_it():
    some = [DOWN, DOWN, DOWN, DOWN, GOOD]
    service = Service([*some, *some, *some])
    outcomes = ask(client_of(service, policy=RetryPolicy(tries=1)), times=15)
    assert sum(isinstance(outcome, SearchFailure) for outcome in outcomes) == 12
    assert len(service.requests) == 15
    refused = Service([httpx.Response(401, json={})])
    ask(client_of(refused, policy=RetryPolicy(tries=1)), times=8)
    assert len(refused.requests) == 8


def test_an_open_circuit_lets_one_request_try_first():
    time = Time()
    circuit = Circuit(time, failures=2, seconds=30)
    for _ in range(2):
        circuit.record(works=False)
    assert not circuit.admits()
    time.now += 30
    assert circuit.admits() and not circuit.admits()
    circuit.record(works=False)
    time.now += 29
    assert not circuit.admits()
    time.now += 1
    assert circuit.admits()
    circuit.record(works=True)
    assert circuit.admits() and circuit.admits()


def waits(rate: float, requests: int) -> list[float]:
    """Return when each of some requests that come at once goes through."""

    async def taken() -> list[float]:
        time = Time()
        bucket, start, passed = TokenBucket(rate, time, time.sleep), time.now, []
        for _ in range(requests):
            assert await bucket.take(time.now + 1000)
            passed.append(round(time.now - start, 6))
        return passed

    return asyncio.run(taken())


def test_a_bucket_lets_a_second_s_worth_through_at_once_and_then_the_rate():
    assert waits(1.0, 3) == [0, 1, 2]
    assert waits(10.0, 12) == [0] * 10 + [0.1, 0.2]
    assert waits(0.5, 3) == [0, 2, 4]


def test_a_turn_after_the_deadline_is_refused_and_not_taken():
    async def scenario() -> None:
        time = Time()
        bucket = TokenBucket(1.0, time, time.sleep)
        assert await bucket.take(time.now)
        assert not await bucket.take(time.now + 0.5)
        assert await bucket.take(time.now + 1)
        assert time.slept == [1]

    asyncio.run(scenario())


def test_at_most_64_requests_are_under_way_at_once():
    active, most = 0, 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.01)
        active -= 1
        return GOOD

    async def many() -> None:
        time = Time()
        transport = httpx.MockTransport(slow)
        client = WebClient(transport=transport, clock=time, sleep=time.sleep)
        search = WebSearch(web_backend("tavily"), client=client)
        await asyncio.gather(*(search.search(f"q{i}", 1) for i in range(200)))
        await search.close()

    asyncio.run(many())
    assert most == 64


@pytest.mark.parametrize("backend", ["serper", "brave", "tavily", "serpapi"])
@pytest.mark.parametrize("answer", [GOOD, httpx.Response(401, json={}), httpx.ReadError(KEY)])
def test_the_key_is_sent_but_never_shown(backend, answer, caplog):
    caplog.set_level(logging.DEBUG)
    service = Service([answer])
    [outcome] = ask(client_of(service, policy=RetryPolicy(tries=1)), backend=backend)
    sent = service.requests[0]
    assert KEY in str(sent.url) + str(sent.headers.raw)
    assert "HTTP Request" in caplog.text or isinstance(answer, Exception)
    shown = [caplog.text, repr(outcome), str(outcome), repr(web_backend(backend))]
    shown.append(repr(web_backend(backend).credentials()))
    if isinstance(outcome, SearchFailure):
        shown += [repr(outcome.__dict__), repr(outcome.__cause__)]
    assert KEY not in "".join(shown)


def test_without_a_key_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("SERPER_API_KEY")
    with pytest.raises(ConfigError, match="set SERPER_API_KEY"):
        WebSearch(web_backend("serper"))
    monkeypatch.setenv("SERPER_API_KEY", "ключ")
    with pytest.raises(ConfigError, match="SERPER_API_KEY holds characters"):
        WebSearch(web_backend("serper"))


def test_unknown_services_and_options_are_refused():
    with pytest.raises(KeyError, match="Did you mean 'serper'"):
        web_backend("sreper")
    with pytest.raises(ConfigError, match="'serper' cannot be set up"):
        web_backend("serper", colour="red")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("Invalid API key. Your API key should be here: https://serpapi.com", "auth"),
        ("Your account has run out of searches.", "quota"),
        ("Something else.", "upstream"),
        ("Google hasn't returned any results for this query.", None),
    ],
)
def test_serpapi_says_failures_with_status_200(error, kind):
    service = Service([httpx.Response(200, json={"error": error})])
    [outcome] = ask(client_of(service, policy=RetryPolicy(tries=1)), backend="serpapi")
    assert outcome == [] if kind is None else outcome.kind == kind


def test_hits_are_plain_text_and_each_address_comes_once():
    rows = [
        {"title": "A <b>bold</b>", "url": "https://a.org/x#top", "content": "1 &lt; 2 and\n3 < 4"},
        {"title": "again", "url": "https://a.org/x#end"},
        {"title": "no address", "content": "x"},
        {"title": "B", "url": "https://b.org", "content": None},
    ]
    [hits] = ask(client_of(Service([httpx.Response(200, json={"results": rows})])))
    assert [(hit.title, hit.snippet) for hit in hits] == [
        ("A bold", "1 < 2 and 3 < 4"),
        ("B", ""),
    ]


@pytest.mark.parametrize("results", [[1], {"a": 1}, [{"title": 3, "url": "https://a.org"}], 7])
def test_an_answer_of_another_form_is_no_answer_and_not_asked_for_again(results):
    service = Service([httpx.Response(200, json={"results": results})])
    [failure] = ask(client_of(service))
    assert failure.kind is FailureKind.BAD_JSON and len(service.requests) == 1
