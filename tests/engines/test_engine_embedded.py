"""What the embedded engine adds: sharing, eviction, preemption, living beside a learner."""

from __future__ import annotations

import asyncio

import pytest
import torch
from engine_samples import Reference, prompt_of, random_model, run

from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.engines.embedded.cache import Match, SequenceCache
from agentrl.engines.embedded.store import KVShape
from agentrl.errors import ConfigError, EngineError

TOKEN_BYTES = 2 * 2 * 2 * 32 * 4  # keys and values, layers, heads, width, float32


async def group(engine, prompt, size=8, max_tokens=6):
    return await asyncio.gather(
        *(
            engine.generate(prompt, SamplingParams(max_tokens=max_tokens, seed=n), session=str(n))
            for n in range(size)
        )
    )


@pytest.mark.parametrize("share_from", [8, 1000])
def test_a_groups_prompt_is_computed_once(share_from):
    model = random_model()
    reference, engine = Reference(model), EmbeddedEngine(model, share_from=share_from)
    prompt = prompt_of(50)
    completions = run(group(engine, prompt))
    assert sum(completion.cached_tokens for completion in completions) == 7 * 49
    assert engine.stats.computed_tokens == 50 + 7 + 8 * 5
    for n, completion in enumerate(completions):
        reference.check(prompt, completion, SamplingParams(seed=n))


def test_sequences_that_computed_a_prompt_themselves_share_it_once_others_do():
    cache = SequenceCache(KVShape.of(random_model()), budget=1 << 20, share_from=16)
    prompt = prompt_of(50)
    members = []
    for number in range(3):
        match = Match() if number < 2 else cache.find(prompt, None)
        member = cache.open(list(prompt), None, match, force=False)
        if number < 2:  # both found nothing to share and compute the prompt
            cache.tails.data[:, :, member.slot, :, :50] = torch.arange(50.0)[:, None] + 100 * number
            cache.advance([(member, 50)])
        members.append(member)
    first, second, third = members
    assert first.prefix is second.prefix is third.prefix
    assert first.prefix.users == 3 and first.prefix.length == third.computed == 49
    for number, member in enumerate((first, second)):
        last = cache.tails.data[:, :, member.slot, :, 0]
        assert torch.equal(last, torch.full_like(last, 49 + 100 * number))


def test_a_group_waits_for_its_prompt_even_if_another_group_computed_most_of_it():
    model = random_model()
    reference, engine = Reference(model), EmbeddedEngine(model, share_from=16)
    text = prompt_of(100)
    first, second = text + prompt_of(8, seed=1), text + prompt_of(8, seed=2)

    async def main():
        await group(engine, first, size=4)
        for number in range(4):
            engine.release(str(number))
        return await group(engine, second, size=4)

    completions = run(main())
    assert [completion.cached_tokens for completion in completions] == [100, 107, 107, 107]
    for n, completion in enumerate(completions):
        reference.check(second, completion, SamplingParams(seed=n))


def test_several_groups_and_loners_attend_to_the_right_prompts():
    model = random_model()
    reference, engine = Reference(model), EmbeddedEngine(model, share_from=16)

    async def episode(number):
        prompt = prompt_of(20 + 7 * (number % 4), seed=number % 4)
        for turn in range(4):
            params = SamplingParams(max_tokens=3 + (number + turn) % 5, seed=number)
            completion = await engine.generate(prompt, params, session=str(number))
            reference.check(prompt, completion, params)
            prompt = prompt + completion.ids + prompt_of(1 + number % 9, seed=turn)
        engine.release(str(number))

    async def main():
        wave = [episode(number) for number in (*range(13), 17, 21)]
        await asyncio.gather(*wave)
        await asyncio.gather(*(episode(number) for number in range(100, 105)))

    run(main())
    assert engine.stats.cached_tokens > 0.6 * engine.stats.prompt_tokens


@pytest.mark.parametrize("length", [10, 30, 47])
def test_a_branch_of_a_cached_conversation_copies_the_common_part(length):
    model = random_model()
    reference, engine = Reference(model), EmbeddedEngine(model, share_from=25)
    params = SamplingParams(max_tokens=5, seed=0)

    async def main():
        prompt = prompt_of(40)
        completions = await group(engine, prompt, size=2, max_tokens=20)
        trunk = prompt + completions[1].ids
        branch = [*trunk[:length], 9, 8, 7]
        completion = await engine.generate(branch, params, session="branch")
        assert completion.cached_tokens == length + (trunk[length] == 9)
        reference.check(branch, completion, params)
        # The trunk is untouched.
        completion = await engine.generate(trunk, params, session="1")
        assert completion.cached_tokens == 59
        reference.check(trunk, completion, params)

    run(main())


def test_a_rewritten_history_reuses_only_the_part_before_the_change():
    model = random_model()
    reference, engine = Reference(model), EmbeddedEngine(model, share_from=16)
    params = SamplingParams(max_tokens=5, seed=0)

    async def main():
        prompt = prompt_of(40)
        await group(engine, prompt, size=3)
        for cut in (38, 12):
            changed = [*prompt[:cut], 1, 2, 3]
            completion = await engine.generate(changed, params, session="0")
            assert cut <= completion.cached_tokens <= cut + 2
            reference.check(changed, completion, params)

    run(main())


def test_a_session_name_never_changes_the_result():
    model = random_model()
    reference, engine = Reference(model), EmbeddedEngine(model)

    async def main():
        prompts = [prompt_of(20, seed=n) for n in range(6)]
        params = SamplingParams(max_tokens=8, seed=0)
        completions = await asyncio.gather(
            *(engine.generate(prompt, params, session="same") for prompt in prompts)
        )
        for prompt, completion in zip(prompts, completions, strict=True):
            reference.check(prompt, completion, params)

    run(main())


@pytest.mark.parametrize("tokens", [1, 200, 400, 700])
@pytest.mark.parametrize("share_from", [16, 1000])
def test_a_tiny_budget_gives_the_same_tokens(tokens, share_from):
    model = random_model()

    async def episodes(engine):
        async def episode(number):
            prompt, ids = prompt_of(20, seed=number % 3), []
            for turn in range(4):
                params = SamplingParams(max_tokens=4 + number, seed=10 * number + turn)
                completion = await engine.generate(prompt, params, session=str(number))
                ids += completion.ids
                prompt = prompt + completion.ids + [turn, number]
            return ids

        return await asyncio.gather(*(episode(number) for number in range(9)))

    expected = run(episodes(EmbeddedEngine(model)))
    engine = EmbeddedEngine(model, cache_bytes=tokens * TOKEN_BYTES, share_from=share_from)
    assert run(episodes(engine)) == expected
    assert engine.stats.evictions > 0
    cache = engine._cache
    longest = 128 * TOKEN_BYTES  # one request may always run
    assert cache.tails.bytes + cache.prefixes.store.bytes <= max(tokens * TOKEN_BYTES, longest)


def test_prompts_longer_than_a_step_are_split():
    model = random_model()
    reference, engine = Reference(model), EmbeddedEngine(model, max_batch_tokens=16)
    params = SamplingParams(max_tokens=6, seed=0)

    async def main():
        prompts = [prompt_of(30 + 20 * n, seed=n // 2) for n in range(5)]
        completions = await asyncio.gather(*(engine.generate(p, params) for p in prompts))
        for prompt, completion in zip(prompts, completions, strict=True):
            reference.check(prompt, completion, params)
        assert engine.stats.computed_tokens / engine.stats.steps <= 16

    run(main())


def test_a_request_waiting_for_a_cancelled_sibling_goes_on():
    model = random_model()
    reference = Reference(model)
    engine = EmbeddedEngine(model, max_batch_tokens=16)
    params = SamplingParams(max_tokens=6, seed=0)

    async def main():
        prompt = prompt_of(200)
        leader = asyncio.create_task(engine.generate(prompt, params))
        sibling = asyncio.create_task(engine.generate(prompt, params))
        while engine.stats.steps < 3:
            await asyncio.sleep(0)
        leader.cancel()
        completion = await sibling
        assert 48 <= completion.cached_tokens < 199
        reference.check(prompt, completion, params)

    run(main())


def test_a_failing_forward_fails_its_requests_and_the_engine_goes_on():
    model = random_model()
    engine = EmbeddedEngine(model)
    params = SamplingParams(max_tokens=6, seed=0)
    hook = model.model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(OSError("boom")))
    with pytest.raises(EngineError, match="OSError: boom"):
        run(engine.generate(prompt_of(5), params))
    hook.remove()
    Reference(model).check(prompt_of(5), run(engine.generate(prompt_of(5), params)), params)


def test_weights_that_are_not_finite_fail_the_request():
    model = random_model()
    engine = EmbeddedEngine(model)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(EngineError, match="not finite"):
        run(engine.generate(prompt_of(5), SamplingParams()))


def test_a_learner_may_train_the_same_parameters_in_place():
    from agentrl.models.attention import hidden_states

    model = random_model()
    model.train()
    params = SamplingParams(max_tokens=6, seed=0)
    engine = EmbeddedEngine(model)
    prompt = prompt_of(10)
    run(engine.generate(prompt, params, session="s"))
    assert model.training

    class Causal:
        def attend(self, layer, query, key, value, scale):
            out = torch.nn.functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=scale, enable_gqa=True
            )
            return out.transpose(1, 2)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    hidden = hidden_states(model, torch.tensor(prompt), torch.arange(10), Causal())
    model.lm_head(hidden).square().mean().backward()
    optimizer.step()
    run(engine.update_weights(None, 1))
    completion = run(engine.generate(prompt, params, session="s"))
    assert completion.versions == [(1, 6)]
    assert completion.cached_tokens == 0
    Reference(model).check(prompt, completion, params)


def test_batch_composition_changes_logprobs_by_rounding_only():
    model = random_model()
    engine = EmbeddedEngine(model, share_from=16)
    params = SamplingParams(max_tokens=30, seed=0)
    alone = [run(EmbeddedEngine(model).generate(prompt_of(30), params))]
    crowd = run(group(engine, prompt_of(30), max_tokens=30))
    assert crowd[0].ids == alone[0].ids
    assert crowd[0].logprobs == pytest.approx(alone[0].logprobs, abs=2e-5)


def test_bfloat16_runs_and_agrees_roughly():
    model = random_model().to(torch.bfloat16)
    engine = EmbeddedEngine(model, share_from=16)
    completions = run(group(engine, prompt_of(40), max_tokens=10))
    reference = Reference(model.float())
    for n, completion in enumerate(completions):
        table = reference.logprobs(prompt_of(40), completion.ids, 1.0)
        chosen = table.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
        gap = (torch.tensor(completion.logprobs) - chosen).abs()
        assert gap.mean() < 0.2, n


@pytest.mark.parametrize("setting", ["max_batch_tokens", "cache_bytes", "max_context"])
def test_settings_out_of_range_are_named(setting):
    with pytest.raises(ConfigError, match=f"`{setting}` is 0"):
        EmbeddedEngine(random_model(), **{setting: 0})


def test_sliding_window_models_are_refused():
    model = random_model()
    model.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ConfigError, match="sliding_attention"):
        EmbeddedEngine(model)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_gives_the_logprobs_of_the_cpu(dtype):
    model = random_model().to("cuda", dtype)
    engine = EmbeddedEngine(model, share_from=16)
    completions = run(group(engine, prompt_of(40), max_tokens=10))
    reference = Reference(model.to("cpu", torch.float32))
    for completion in completions:
        table = reference.logprobs(prompt_of(40), completion.ids, 1.0)
        chosen = table.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
        gap = (torch.tensor(completion.logprobs) - chosen).abs()
        assert gap.max() < 1e-2 if dtype == torch.float32 else gap.mean() < 0.2
