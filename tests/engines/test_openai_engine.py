"""A server as an engine: the ids and log-probs of a model behind HTTP are the model's own."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager

import pytest
import uvicorn
from engine_samples import prompt_of, random_model
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from agentrl.engines import Engine, SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.engines.openai import OpenAIEngine, Server
from agentrl.errors import ConfigError, ContextOverflow, EngineError
from tests.engines.scripted_server import Answer, scripted


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@asynccontextmanager
async def served(engine):
    """Serve an engine over HTTP as vLLM serves token ids; yields the URL."""

    async def completions(request):
        body = await request.json()
        params = SamplingParams(
            max_tokens=body["max_tokens"],
            seed=body.get("seed"),
            stop_ids=tuple(body["stop_token_ids"]),
            **{name: body[name] for name in ("temperature", "top_p", "top_k")},
        )
        done = await engine.generate(body["prompt"], params)
        choice = {
            "text": "",
            "token_ids": done.ids,
            "prompt_token_ids": body["prompt"],
            "logprobs": {"token_logprobs": done.logprobs},
            "finish_reason": "length" if done.stop == "length" else "stop",
            "stop_reason": done.ids[-1] if done.stop == "stop_id" else None,
        }
        return JSONResponse({"choices": [choice]})

    async def models(_):
        return JSONResponse({"data": [{"id": "served", "max_model_len": engine.max_context}]})

    app = Starlette(
        routes=[
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/models", models),
        ]
    )
    config = uvicorn.Config(app, port=0, log_level="error", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        await task
        await engine.close()


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0, max_tokens=12),
        SamplingParams(temperature=1.3, top_p=0.8, top_k=20, max_tokens=12, seed=4),
        SamplingParams(max_tokens=30, seed=2, stop_ids=tuple(range(0, 60, 3))),
    ],
    ids=["greedy", "truncated", "stop"],
)
def test_ids_and_log_probs_over_http_are_those_of_the_model(params):
    prompt = prompt_of(15)

    async def main():
        direct = EmbeddedEngine(random_model())
        expected = await direct.generate(prompt, params)
        await direct.close()
        async with served(EmbeddedEngine(random_model())) as url:
            engine = await OpenAIEngine.connect(
                Server(url=url, model="served"), logprobs="processed"
            )
            assert isinstance(engine, Engine)
            found = await engine.generate(prompt, params)
            stats = engine.stats
            await engine.close()
        return expected, found, stats

    expected, found, stats = run(main())
    assert (found.ids, found.stop) == (expected.ids, expected.stop)
    assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-6)
    assert found.versions == [(0, len(found.ids))]
    assert stats.requested_tokens == stats.computed_tokens == len(prompt) + len(found.ids) - 1


def test_the_context_is_the_servers_and_completions_end_at_it():
    async def main():
        model = random_model()
        async with served(EmbeddedEngine(model, max_context=40)) as url:
            engine = await OpenAIEngine.connect(Server(url=url, model="served"))
            assert engine.max_context == 40
            found = await engine.generate(prompt_of(35), SamplingParams(max_tokens=50, seed=1))
            assert (len(found.ids), found.stop) == (5, "length")
            with pytest.raises(ContextOverflow):
                await engine.generate(prompt_of(40), SamplingParams())
            await engine.close()
            with pytest.raises(ConfigError, match="has no model 'other'; it has 'served'"):
                await OpenAIEngine.connect(Server(url=url, model="other"))

    run(main())


def generate(answer, params, prompt=(1, 2, 3), **settings):
    """Ask a scripted server once; return the completion and the body that was sent."""
    with scripted([Answer(answer)]) as server:

        async def main():
            engine = await OpenAIEngine.connect(
                Server(url=server.url, model="m", tries=1), max_context=100, **settings
            )
            try:
                return await engine.generate(prompt, params)
            finally:
                await engine.close()

        return run(main()), server.bodies[-1]


def choice(**fields):
    usual = {
        "text": "a b",
        "token_ids": [5, 6],
        "logprobs": {"token_logprobs": [-1.0, -2.0]},
        "finish_reason": "stop",
    }
    return {"choices": [usual | fields]}


@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        ({"finish_reason": "length"}, ("length", None)),
        ({"stop_reason": 6}, ("stop_id", None)),
        ({"stop_reason": "b"}, ("stop_string", "b")),
        ({"stop_reason": None}, ("stop_string", "b")),
        ({"stop_reason": None, "token_ids": [5, 9]}, ("stop_id", None)),
        ({"finish_reason": "abort"}, ("cancelled", None)),
    ],
)
def test_what_ended_a_completion_is_told(fields, stop):
    params = SamplingParams(stop_ids=(9,), stop_strings=("b",))
    found, _ = generate(choice(**fields), params)
    assert (found.stop, found.stop_string) == stop


def test_nothing_is_left_to_the_servers_defaults():
    _, body = generate(choice(), SamplingParams(temperature=0, top_p=0.5, top_k=3))
    wanted = {
        "prompt": [1, 2, 3],
        "return_token_ids": True,
        "ignore_eos": True,
        "stop_token_ids": [],
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "repetition_penalty": 1.0,
        "min_p": 0.0,
        "temperature": 0,
        "top_p": 1.0,
        "top_k": 0,
        "logprobs": 0,
    }
    assert {name: body[name] for name in wanted} == wanted


def test_raw_log_probs_are_accepted_only_where_they_are_true():
    generate(choice(), SamplingParams(temperature=0))
    generate(choice(), SamplingParams())
    for params in (SamplingParams(temperature=0.7), SamplingParams(top_p=0.9)):
        with pytest.raises(ConfigError, match="processed_logprobs"):
            generate(choice(), params)
        generate(choice(), params, logprobs="processed")


def test_without_log_probs_every_one_is_unknown():
    found, body = generate(choice(logprobs=None), SamplingParams(top_p=0.5), logprobs="none")
    assert len(found.logprobs) == 2
    assert all(map(math.isnan, found.logprobs))
    assert "logprobs" not in body


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"token_ids": None}, "no token ids"),
        ({"logprobs": None}, "no log-probs for 2"),
        ({"logprobs": {"token_logprobs": [-1.0]}}, "1 log-probs for 2"),
        ({"prompt_token_ids": [1, 2]}, "another prompt"),
        ({"token_ids": "ab"}, "not of the OpenAI form"),
    ],
)
def test_answers_that_cannot_be_learned_from_are_refused(fields, said):
    with pytest.raises(EngineError, match=said):
        generate(choice(**fields), SamplingParams())


def test_new_weights_are_refused():
    async def main():
        engine = await OpenAIEngine.connect(
            Server(url="http://127.0.0.1:9/v1", model="m"), max_context=10
        )
        await engine.update_weights(None, engine.version)
        with pytest.raises(ConfigError, match="keeps its own weights"):
            await engine.update_weights(None, 1)
        await engine.close()

    run(main())
