"""Branches: no token is computed twice, and each is what a fresh engine gives for the same ids."""

from __future__ import annotations

import asyncio
import random

import pytest
from engine_samples import VOCABULARY, Reference, prompt_of, random_model, run

from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine

TOKEN_BYTES = 2 * 2 * 2 * 32 * 4  # keys and values, layers, heads, width, float32
PROMPT, SAMPLED = 40, 24
SHARE = pytest.mark.parametrize("share_from", [16, 1000])


def seeded(tokens, seed=0, temperature=1.0):
    return SamplingParams(max_tokens=tokens, seed=seed, temperature=temperature)


def fresh(model, prompt, params):
    return run(EmbeddedEngine(model).generate(prompt, params))


def assert_the_same(completion, expected):
    assert completion.ids == expected.ids
    assert completion.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    assert completion.entropies == pytest.approx(expected.entropies, abs=1e-4)


def unaccounted(stats):
    """0 where every computed token was asked for, not cached, or had to be computed again."""
    expected = stats.requested_tokens - stats.cached_tokens + stats.recomputed_tokens
    return stats.computed_tokens - expected


async def parent_of(engine, state):
    """A conversation of one turn, in a state; returns its tokens and a task to wait for."""
    going_on = 60 if state == "running" else SAMPLED
    task = asyncio.create_task(engine.generate(prompt_of(PROMPT), seeded(going_on), session="p"))
    if state == "running":
        while engine.stats.sampled_tokens < SAMPLED:
            await asyncio.sleep(0)
        (request,) = engine._scheduler.running
        return request.tokens[: PROMPT + SAMPLED], task
    tokens = prompt_of(PROMPT) + (await task).ids
    if state == "released":
        engine.release("p")
    return tokens, task


@SHARE
@pytest.mark.parametrize("state", ["running", "idle", "released"])
@pytest.mark.parametrize(
    ("place", "cut"),
    [("inside the prompt", 13), ("its end", PROMPT), ("inside the turn", PROMPT + 9)],
)
def test_a_branch_at_any_token_computes_its_last_token_only(share_from, state, place, cut):
    model = random_model()
    engine = EmbeddedEngine(model, share_from=share_from)

    async def main():
        tokens, parent = await parent_of(engine, state)
        branch = await engine.generate(tokens[:cut], seeded(6, seed=5), session="branch")
        await parent
        return tokens[:cut], branch

    prompt, branch = run(main())
    assert branch.cached_tokens == cut - 1, place
    assert unaccounted(engine.stats) == 0 and engine.stats.recomputed_tokens == 0
    assert_the_same(branch, fresh(model, prompt, seeded(6, seed=5)))


@SHARE
@pytest.mark.parametrize("state", ["idle", "released"])
def test_branches_at_the_end_of_a_turn_compute_what_is_new_once(share_from, state):
    model = random_model()
    engine = EmbeddedEngine(model, share_from=share_from)
    observation = prompt_of(7, seed=3)

    async def main():
        tokens, _ = await parent_of(engine, state)
        before = engine.stats.computed_tokens
        prompt = tokens + observation
        branches = await asyncio.gather(
            *(engine.generate(prompt, seeded(5, seed=n), session=str(n)) for n in range(6))
        )
        return prompt, branches, engine.stats.computed_tokens - before

    prompt, branches, computed = run(main())
    # The parent's last sampled token was never fed; all but one branch compute one token.
    assert computed == (1 + len(observation)) + 5 * 1 + 6 * 4
    for number, branch in enumerate(branches):
        assert_the_same(branch, fresh(model, prompt, seeded(5, seed=number)))


def test_branches_that_arrive_together_find_their_released_parents():
    model = random_model()
    engine = EmbeddedEngine(model)

    async def main():
        parents = [prompt_of(30, seed=n) for n in range(8)]  # as many as there are slots
        roots = await asyncio.gather(*(engine.generate(p, seeded(10)) for p in parents))
        prompts = [p + root.ids[:5] for p, root in zip(parents, roots, strict=True)]
        return await asyncio.gather(*(engine.generate(p, seeded(3)) for p in prompts))

    assert [branch.cached_tokens for branch in run(main())] == [34] * 8


@SHARE
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_deep_tree_computes_every_token_once(share_from, temperature):
    """Seven levels; each node is a branch of the one above it, at any of its tokens."""
    model, draw = random_model(max_context=1024), random.Random(3)
    engine = EmbeddedEngine(model, share_from=share_from)
    requests = []

    async def grow(tokens, depth):
        params = seeded(draw.randint(8, 20), seed=len(requests), temperature=temperature)
        name = f"{depth}-{len(requests)}"
        completion = await engine.generate(tokens, params, session=name)
        requests.append((depth, tokens, params, completion))
        if depth < 7:
            whole = tokens + completion.ids
            cuts = [len(tokens) + draw.randint(1, len(completion.ids) - 1) for _ in range(2)]
            fresh_token = [draw.randrange(VOCABULARY)]
            children = [whole[: cuts[0]], whole[: cuts[1]] + fresh_token][: 2 if depth < 3 else 1]
            await asyncio.gather(*(grow(child, depth + 1) for child in children))
        if draw.random() < 0.5:
            engine.release(name)

    run(grow(prompt_of(50), 1))
    assert max(depth for depth, *_ in requests) == 7 and len(requests) > 20
    for depth, tokens, _, completion in requests:
        if depth > 1:  # one token: the last of the prompt; two: after a token of its own
            assert len(tokens) - completion.cached_tokens <= 2
    for _, tokens, params, completion in requests[::2]:
        assert_the_same(completion, fresh(model, tokens, params))
    assert unaccounted(engine.stats) == 0 and engine.stats.recomputed_tokens == 0
    assert engine.stats.evictions == 0


def test_a_branch_of_an_evicted_parent_is_computed_again_and_gives_the_same():
    model = random_model()
    engine = EmbeddedEngine(model, cache_bytes=3 * 64 * TOKEN_BYTES)

    async def main():
        tokens, _ = await parent_of(engine, "idle")
        branch = tokens[: PROMPT + 5]
        first = await engine.generate(branch, seeded(6, seed=5), session="first")
        for number in range(4):
            await engine.generate(prompt_of(30, seed=90 + number), seeded(4), session=str(number))
        again = await engine.generate(branch, seeded(6, seed=5), session="again")
        return first, again

    first, again = run(main())
    assert (first.cached_tokens, again.cached_tokens) == (PROMPT + 4, 0)
    assert_the_same(again, first)


def test_a_branch_after_new_weights_takes_nothing_from_its_parent():
    model, other = random_model(seed=0), random_model(seed=1)
    engine = EmbeddedEngine(model)

    async def main():
        tokens, _ = await parent_of(engine, "idle")
        await engine.update_weights(other.state_dict().items(), 1)
        return tokens[:50], await engine.generate(tokens[:50], seeded(6), session="b")

    prompt, branch = run(main())
    assert branch.cached_tokens == 0 and branch.versions == [(1, 6)]
    Reference(other).check(prompt, branch, seeded(6))


async def watch(engine, seen):
    """Append what both stores take, again and again."""
    stores = (engine._cache.tails, engine._cache.prefixes.store)
    while True:
        seen.append(sum(store.bytes for store in stores))
        await asyncio.sleep(0)


def test_leaving_a_shared_prompt_half_way_does_not_break_the_budget():
    """One of many members rewrites its history while the others run: no room to copy to."""
    model, seen = random_model(), []
    budget = 4096 * TOKEN_BYTES  # one shared prompt and twenty short tails, not twenty long ones
    engine = EmbeddedEngine(model, cache_bytes=budget, share_from=16)
    prompt = prompt_of(200)

    async def main():
        watcher = asyncio.create_task(watch(engine, seen))
        first = await engine.generate(prompt, seeded(2), session="0")
        others = [
            asyncio.create_task(engine.generate(prompt, seeded(50, seed=n), session=str(n)))
            for n in range(1, 20)
        ]
        while engine.stats.sampled_tokens < 100:
            await asyncio.sleep(0)
        assert engine._cache.tails.capacity == 64 and len(engine._scheduler.running) == 19
        changed = await engine.generate(prompt[:150] + first.ids, seeded(4), session="0")
        await asyncio.gather(*others)
        watcher.cancel()
        return first.ids, changed

    ids, changed = run(main())
    assert max(seen) <= budget
    assert_the_same(changed, fresh(model, prompt[:150] + ids, seeded(4)))
    assert unaccounted(engine.stats) == 0


async def branching_episode(engine, draw, tokens, depth, done):
    """Three turns; after each, branches may start anywhere in what there is so far."""
    name = f"{len(done)}-{draw.random()}"
    for _ in range(3):
        params = seeded(draw.randint(2, 12), draw.randrange(99), draw.choice([0.0, 1.0]))
        completion = await engine.generate(tokens, params, session=name)
        done.append((tokens, params, completion))
        tokens = tokens + completion.ids
        if depth < 5 and len(done) < 40:
            cuts = [draw.randint(20, len(tokens)) for _ in range(draw.randint(0, 3))]
            children = [
                asyncio.create_task(branching_episode(engine, draw, tokens[:cut], depth + 1, done))
                for cut in cuts
            ]
            if children and draw.random() < 0.5:
                await asyncio.gather(*children)
                children = []
            await asyncio.sleep(0)
            await asyncio.gather(*children)
        tokens = tokens + [draw.randrange(VOCABULARY) for _ in range(draw.randint(0, 6))]
    engine.release(name)


@SHARE
@pytest.mark.parametrize(("budget", "updates"), [(300, 0), (1500, 2), (100_000, 0)])
def test_a_storm_of_branches_stays_within_its_memory(share_from, budget, updates):
    model, draw = random_model(), random.Random(budget + updates)
    reference = Reference(model)
    engine = EmbeddedEngine(model, cache_bytes=budget * TOKEN_BYTES, share_from=share_from)
    done, seen = [], []

    async def main():
        watcher = asyncio.create_task(watch(engine, seen))
        roots = [
            asyncio.create_task(branching_episode(engine, draw, prompt_of(24, seed=n), 1, done))
            for n in range(6)
        ]
        for number in range(updates):
            while len(done) < 15 * (number + 1):
                await asyncio.sleep(0)
            await engine.update_weights(None, number + 1)
        await asyncio.gather(*roots)
        watcher.cancel()

    run(main())
    assert len(done) >= 40
    for tokens, params, completion in done[::3]:
        reference.check(tokens, completion, params)
    longest = max(len(tokens) + len(completion.ids) for tokens, _, completion in done)
    alone = 1 << (longest - 1).bit_length()  # one request may always run
    assert max(seen) <= max(budget, alone) * TOKEN_BYTES
    stats = engine.stats
    assert unaccounted(stats) == 0
    assert (stats.recomputed_tokens > 0) == (budget < 2000)
    assert (stats.evictions > 0) == (budget < 2000)
    requested = sum(len(tokens) + len(completion.ids) - 1 for tokens, _, completion in done)
    assert stats.requested_tokens == requested
