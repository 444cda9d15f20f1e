"""Random traffic: every completion is right whatever else happens in the engine."""

from __future__ import annotations

import asyncio
import random

import pytest
from engine_samples import VOCABULARY, Reference, random_model, run

from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine

TOKEN_BYTES = 2 * 2 * 2 * 32 * 4


async def episode(engine, draw, prompts, reference, finished):
    session = draw.choice([None, str(draw.randrange(12)), str(draw.random())])
    ids = list(draw.choice(prompts))
    for _ in range(draw.randint(1, 4)):
        params = SamplingParams(
            max_tokens=draw.randint(1, 12), seed=draw.randrange(99), temperature=draw.choice([0, 1])
        )
        version = engine.version
        completion = await engine.generate(ids, params, session=session)
        if completion.versions == [(version, len(completion.ids))]:
            reference[version].check(ids, completion, params)
            finished.append(completion)
        ids = ids + completion.ids + [draw.randrange(VOCABULARY) for _ in range(draw.randint(0, 9))]
        if draw.random() < 0.1:
            ids = ids[: draw.randint(1, len(ids))]  # a rewritten history
        for _ in range(draw.randint(0, 3)):
            await asyncio.sleep(0)
    if session is not None and draw.random() < 0.7:
        engine.release(session)


@pytest.mark.parametrize("seed", range(8))
def test_random_traffic_gives_what_a_plain_forward_gives(seed):
    draw = random.Random(seed)
    models = [random_model(seed=0), random_model(seed=1)]
    references = [Reference(model) for model in models]
    states = [reference.model.state_dict() for reference in references]
    common = [draw.randrange(VOCABULARY) for _ in range(24)]
    prompts = [
        common[: draw.randint(1, 24)]
        + [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 60))]
        for _ in range(4)
    ]
    finished: list[object] = []

    async def main():
        engine = EmbeddedEngine(
            models[0],
            cache_bytes=draw.choice([150, 500, 1500, 100_000]) * TOKEN_BYTES,
            max_batch_tokens=draw.choice([8, 64, 2048]),
            share_from=draw.choice([4, 20, 1000]),
        )
        by_version = {number: references[number % 2] for number in range(4)}
        tasks = []
        for _ in range(40):
            tasks.append(asyncio.create_task(episode(engine, draw, prompts, by_version, finished)))
            for _ in range(draw.randint(0, 6)):
                await asyncio.sleep(0)
            if draw.random() < 0.15:
                draw.choice(tasks).cancel()
            if draw.random() < 0.08 and engine.version < 3:
                version = engine.version + 1
                await engine.update_weights(states[version % 2].items(), version, in_flight=True)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        broken = [
            result
            for result in results
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError)
        ]
        assert not broken, broken[0]
        assert not engine._scheduler.running and not engine._scheduler.waiting
        await engine.close()

    run(main())
    assert len(finished) > 30
