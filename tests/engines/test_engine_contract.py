"""What every engine must do; `build_engine` in conftest.py says which engines are tested."""

from __future__ import annotations

import asyncio

import pytest
import torch
from engine_samples import FAMILIES, VOCABULARY, Reference, prompt_of, random_model, run

from agentrl.engines import Engine, SamplingParams
from agentrl.errors import ConfigError, ContextOverflow, EngineError

PLAIN = SamplingParams(max_tokens=12, seed=1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_and_entropies_are_those_of_a_plain_forward(build_engine, family, temperature):
    model = random_model(family)
    reference, engine = Reference(model), build_engine(model)
    assert isinstance(engine, Engine)

    async def turns(number):
        params = SamplingParams(temperature=temperature, max_tokens=9, seed=number)
        prompt = prompt_of(20 + number % 3, seed=number % 4)
        for turn in range(3):
            completion = await engine.generate(prompt, params, session=str(number))
            assert completion.stop == "length"
            assert len(completion.ids) == 9
            reference.check(prompt, completion, params)
            prompt = prompt + completion.ids + prompt_of(3 + number % 5, seed=turn)

    async def main():
        await asyncio.gather(*(turns(number) for number in range(10)))

    run(main())


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_the_argmax_of_a_plain_forward(build_engine, family):
    model = random_model(family)
    reference, engine = Reference(model), build_engine(model)
    params = SamplingParams(temperature=0, top_p=0.5, top_k=3, max_tokens=20)
    prompt = prompt_of(17)
    completion = run(engine.generate(prompt, params))
    assert completion.ids == reference.logprobs(prompt, completion.ids, 1.0).argmax(-1).tolist()
    reference.check(prompt, completion, params)


@pytest.mark.parametrize(("top_p", "top_k"), [(0.8, 0), (1.0, 7), (0.6, 5), (1e-6, 0), (1.0, 1)])
def test_truncated_logprobs_are_renormalised_over_the_kept_tokens(build_engine, top_p, top_k):
    model = random_model()
    reference, engine = Reference(model), build_engine(model)
    params = SamplingParams(temperature=1.3, top_p=top_p, top_k=top_k, max_tokens=30, seed=3)
    prompt = prompt_of(11)
    completion = run(engine.generate(prompt, params))
    table = reference.logprobs(prompt, completion.ids, 1.3)
    for row, token, logprob in zip(table, completion.ids, completion.logprobs, strict=True):
        probs = row.exp()
        order = probs.argsort(descending=True).tolist()[: top_k or VOCABULARY]
        total, kept, mass = probs[order].sum().item(), [], 0.0
        for candidate in order:
            if kept and mass >= top_p:
                break
            kept.append(candidate)
            mass += probs[candidate].item() / total
        assert token in kept
        assert logprob == pytest.approx((probs[token] / probs[kept].sum()).log().item(), abs=1e-4)


def test_entropies_ignore_truncation(build_engine):
    model = random_model()
    reference, engine = Reference(model), build_engine(model)
    prompt = prompt_of(9)
    completion = run(engine.generate(prompt, SamplingParams(top_k=2, max_tokens=8, seed=0)))
    table = reference.logprobs(prompt, completion.ids, 1.0)
    expected = -(table.exp() * table).sum(-1)
    assert completion.entropy_exact
    torch.testing.assert_close(
        torch.tensor(completion.entropies).double(), expected, atol=1e-4, rtol=0
    )


def test_a_seeded_request_gives_the_same_tokens_alone_and_in_a_crowd(build_engine):
    model = random_model()
    prompt, params = prompt_of(25), SamplingParams(max_tokens=30, seed=7, temperature=1.2)
    alone = run(build_engine(model).generate(prompt, params))

    async def crowd():
        engine = build_engine(model)
        others = [
            engine.generate(
                prompt_of(5 + 3 * n, seed=n),
                SamplingParams(max_tokens=2 + n, top_k=n, temperature=n / 10),
            )
            for n in range(20)
        ]
        same = engine.generate(prompt, params)
        late = asyncio.create_task(asyncio.sleep(0.01, engine.generate(prompt, params)))
        results = await asyncio.gather(*others, same)
        return results[-1], await (await late)

    first, second = run(crowd())
    assert alone.ids == first.ids == second.ids
    assert alone.logprobs == pytest.approx(first.logprobs, abs=1e-4)


def test_the_same_submissions_give_bitwise_the_same_completions(build_engine):
    async def everything():
        engine = build_engine(random_model())
        return await asyncio.gather(
            *(
                engine.generate(prompt_of(10 + n % 3), SamplingParams(max_tokens=5 + n % 4))
                for n in range(12)
            )
        )

    first, second = run(everything()), run(everything())
    assert [c.ids for c in first] == [c.ids for c in second]
    assert [c.logprobs for c in first] == [c.logprobs for c in second]
    assert len({tuple(c.ids[:4]) for c in first}) > 6  # unseeded requests differ


def test_a_stop_id_ends_the_completion_and_is_kept(build_engine):
    engine = build_engine(random_model())
    free = run(engine.generate(prompt_of(8), PLAIN))
    stop = free.ids[5]
    params = SamplingParams(max_tokens=12, seed=1, stop_ids=(stop, VOCABULARY - 1))
    cut = run(engine.generate(prompt_of(8), params))
    assert cut.stop == "stop_id"
    assert cut.ids == free.ids[: free.ids.index(stop) + 1]
    assert len(cut.logprobs) == len(cut.entropies) == len(cut.ids)


def test_a_stop_string_ends_the_completion_with_its_tokens_kept(build_engine, tiny_tokenizer):
    engine = build_engine(random_model(), tiny_tokenizer)
    params = SamplingParams(max_tokens=40, seed=5, temperature=0.8)
    free = run(engine.generate(prompt_of(8), params))
    text = tiny_tokenizer.decode(free.ids[4:7])
    assert len(text) >= 3
    stop = text[1:-1]
    params = SamplingParams(
        max_tokens=40, seed=5, temperature=0.8, stop_strings=("never this", stop)
    )
    cut = run(engine.generate(prompt_of(8), params))
    assert (cut.stop, cut.stop_string) == ("stop_string", stop)
    assert cut.ids == free.ids[: len(cut.ids)]
    assert stop in tiny_tokenizer.decode(cut.ids)
    assert stop not in tiny_tokenizer.decode(cut.ids[:-1])


def test_the_context_end_stops_with_length(build_engine):
    model = random_model(max_context=32)
    reference, engine = Reference(model), build_engine(model)
    assert engine.max_context == 32
    params = SamplingParams(max_tokens=100, seed=0)
    completion = run(engine.generate(prompt_of(20), params))
    assert (completion.stop, len(completion.ids)) == ("length", 12)
    reference.check(prompt_of(20), completion, params)
    assert len(run(engine.generate(prompt_of(31), params)).ids) == 1


def test_a_prompt_without_room_says_both_lengths(build_engine):
    engine = build_engine(random_model(max_context=32))
    with pytest.raises(ContextOverflow, match=r"32 tokens.*holds 32"):
        run(engine.generate(prompt_of(32), PLAIN))
    assert len(run(engine.generate(prompt_of(4), PLAIN)).ids) == 12


@pytest.mark.parametrize(
    ("prompt", "message"),
    [([], "empty"), ([1, VOCABULARY], str(VOCABULARY)), ([1, -1], "-1")],
)
def test_a_bad_prompt_gives_one_clear_error(build_engine, prompt, message):
    with pytest.raises(ConfigError, match=message):
        run(build_engine(random_model()).generate(prompt, PLAIN))


def test_stop_strings_without_a_tokenizer_are_refused(build_engine):
    with pytest.raises(ConfigError, match="tokenizer"):
        run(build_engine(random_model()).generate([1], SamplingParams(stop_strings=("x",))))


def test_a_cancelled_request_frees_its_place(build_engine):
    model = random_model()
    reference = Reference(model)

    async def main():
        engine = build_engine(model)
        long = SamplingParams(max_tokens=400, seed=0)
        doomed = [asyncio.create_task(engine.generate(prompt_of(9), long)) for _ in range(4)]
        kept = asyncio.create_task(
            engine.generate(prompt_of(6), SamplingParams(max_tokens=60, seed=2))
        )
        while engine.stats.sampled_tokens < 40:
            await asyncio.sleep(0)
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        before = engine.stats.sampled_tokens
        completion = await kept
        assert engine.stats.sampled_tokens - before < 60  # nobody samples for the cancelled ones
        reference.check(prompt_of(6), completion, SamplingParams())
        again = await engine.generate(prompt_of(9), PLAIN)
        reference.check(prompt_of(9), again, PLAIN)

    run(main())


def test_new_weights_are_used_at_once_and_nothing_stale_is_kept(build_engine):
    model, other = random_model(seed=0), random_model(seed=1)
    old, new = Reference(model), Reference(other)

    async def main():
        engine = build_engine(model)
        first = await engine.generate(prompt_of(15), PLAIN, session="a")
        old.check(prompt_of(15), first, PLAIN)
        await engine.update_weights(other.state_dict().items(), 5)
        assert engine.version == 5
        for session in ("a", "b"):
            prompt = prompt_of(15) + first.ids + [3]
            second = await engine.generate(prompt, PLAIN, session=session)
            new.check(prompt, second, PLAIN)
            assert second.versions == [(5, 12)]

    run(main())


def test_a_running_request_goes_on_with_new_weights_if_asked(build_engine):
    model, other = random_model(seed=0), random_model(seed=1)
    old, new = Reference(model), Reference(other)
    params = SamplingParams(max_tokens=120, seed=0)

    async def main():
        engine = build_engine(model)
        tasks = [
            asyncio.create_task(engine.generate(prompt_of(15, seed=n // 2), params))
            for n in range(4)
        ]
        while engine.stats.sampled_tokens < 60:
            await asyncio.sleep(0)
        await engine.update_weights(other.state_dict().items(), 1, in_flight=True)
        return await asyncio.gather(*tasks)

    for number, completion in enumerate(run(main())):
        (first, count), (second, rest) = completion.versions
        assert (first, second) == (0, 1)
        assert count > 5 and rest > 5 and count + rest == 120
        prompt = prompt_of(15, seed=number // 2)
        ids = completion.ids
        table = torch.cat(
            [old.logprobs(prompt, ids, 1.0)[:count], new.logprobs(prompt, ids, 1.0)[count:]]
        )
        chosen = table.gather(1, torch.tensor(ids)[:, None])[:, 0]
        torch.testing.assert_close(
            torch.tensor(completion.logprobs).double(), chosen, atol=1e-4, rtol=0
        )


def test_a_running_request_ends_with_its_own_weights_and_others_wait(build_engine):
    model, other = random_model(seed=0), random_model(seed=1)
    old, new = Reference(model), Reference(other)
    params = SamplingParams(max_tokens=40, seed=0)
    # The embedded engine changes the model it was given: its own weights must be another's.
    given = random_model(seed=0)

    async def main():
        engine = build_engine(given)
        running = asyncio.create_task(engine.generate(prompt_of(15), params))
        while engine.stats.sampled_tokens < 5:
            await asyncio.sleep(0)
        update = asyncio.create_task(engine.update_weights(other.state_dict().items(), 1))
        await asyncio.sleep(0)
        late = asyncio.create_task(engine.generate(prompt_of(15), params))
        return await asyncio.gather(running, update, late)

    running, _, late = run(main())
    assert running.versions == [(0, 40)]
    old.check(prompt_of(15), running, params)
    assert late.versions == [(1, 40)]
    new.check(prompt_of(15), late, params)


def test_twenty_updates_under_load_lose_nothing_and_mix_nothing(build_engine):
    models = [random_model(seed=number) for number in range(2)]
    references = [Reference(model) for model in models]
    states = [[(n, t.clone()) for n, t in model.state_dict().items()] for model in models]
    probe = SamplingParams(max_tokens=6, temperature=0)

    async def client(engine, number, completions, last):
        turn = 0
        while engine.version < last:
            params = SamplingParams(max_tokens=5 + turn % 9, seed=turn)
            prompt = prompt_of(4 + number * 5, seed=number)
            completions.append((prompt, params, await engine.generate(prompt, params)))
            turn += 1

    async def main(in_flight):
        engine, completions = build_engine(random_model(seed=0)), []
        clients = [
            asyncio.create_task(client(engine, number, completions, 20)) for number in range(8)
        ]
        for version in range(1, 21):
            before = len(completions)
            while len(completions) < before + 2:
                await asyncio.sleep(0.001)
            await engine.update_weights(states[version % 2], version, in_flight=in_flight)
            after = await engine.generate(prompt_of(40), probe)
            assert after.versions == [(version, 6)]
            references[version % 2].check(prompt_of(40), after, probe)
        await asyncio.gather(*clients)
        return completions

    for in_flight in (False, True):
        completions = run(main(in_flight))
        assert len(completions) >= 40
        for prompt, params, completion in completions:
            assert len(completion.ids) == params.max_tokens
            runs = completion.versions
            assert in_flight or len(runs) == 1
            assert sum(count for _, count in runs) == len(completion.ids)
            tables = [reference.logprobs(prompt, completion.ids, 1.0) for reference in references]
            owners = [version % 2 for version, count in runs for _ in range(count)]
            expected = [
                tables[owner][place, token].item()
                for place, (owner, token) in enumerate(zip(owners, completion.ids, strict=True))
            ]
            assert completion.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_sleeping_engine_wakes_for_a_request_and_for_weights(build_engine):
    model, other = random_model(seed=0), random_model(seed=1)
    old, new = Reference(model), Reference(other)

    async def main():
        engine = build_engine(random_model(seed=0))
        await engine.generate(prompt_of(40), PLAIN, session="s")
        await engine.sleep()
        old.check(prompt_of(40), await engine.generate(prompt_of(40), PLAIN, session="s"), PLAIN)
        await engine.sleep()
        await engine.sleep()
        await engine.update_weights(other.state_dict().items(), 1)
        new.check(prompt_of(40), await engine.generate(prompt_of(40), PLAIN, session="s"), PLAIN)
        await engine.wake()

    run(main())


def test_incomplete_or_unknown_weights_are_refused_and_change_nothing(build_engine):
    model = random_model()
    reference, engine = Reference(model), build_engine(model)
    names = dict(random_model(seed=1).state_dict())
    missing = [item for item in names.items() if "layers.1.mlp.up_proj" not in item[0]]
    unknown = [*names.items(), ("model.layers.7.weight", torch.zeros(1))]
    wrong = [(name, tensor[:1]) for name, tensor in names.items()]
    for weights, message in [(missing, "up_proj"), (unknown, "layers.7"), (wrong, "shape")]:
        with pytest.raises(ConfigError, match=message):
            run(engine.update_weights(weights, 1))
    assert engine.version == 0
    reference.check(prompt_of(5), run(engine.generate(prompt_of(5), PLAIN)), PLAIN)


def test_a_tied_head_may_be_left_out(build_engine):
    model, other = random_model(), random_model(seed=1)
    engine = build_engine(model)
    weights = [item for item in other.state_dict().items() if item[0] != "lm_head.weight"]
    run(engine.update_weights(weights, 1))
    Reference(other).check(prompt_of(5), run(engine.generate(prompt_of(5), PLAIN)), PLAIN)


def test_a_turn_reuses_what_its_session_computed(build_engine):
    unit = build_engine.unit

    async def main():
        engine = build_engine(random_model())
        prompt = prompt_of(40)
        first = await engine.generate(prompt, PLAIN, session="s")
        assert first.cached_tokens == 0
        prompt = prompt + first.ids + [1, 2, 3]
        second = await engine.generate(prompt, PLAIN, session="s")
        cached = (40 + 11) // unit * unit  # the last sampled token was never fed
        assert second.cached_tokens == cached
        stats = engine.stats
        assert (stats.prompt_tokens, stats.cached_tokens) == (95, cached)
        assert (stats.sampled_tokens, stats.requests) == (24, 2)
        assert stats.requested_tokens == (40 + 11) + (55 + 11)
        assert stats.computed_tokens == stats.requested_tokens - cached
        assert stats.steps == 24
        assert stats.busy_seconds > 0
        engine.release("s")

    run(main())


def test_branches_reuse_the_prompt_and_the_turns_of_their_parent(build_engine):
    unit = build_engine.unit
    model = random_model()
    reference = Reference(model)

    async def main():
        engine = build_engine(model)
        prompt = prompt_of(70)
        parent = await engine.generate(prompt, SamplingParams(max_tokens=60, seed=0), session="p")
        inside, after = prompt + parent.ids[:30], prompt + parent.ids + prompt_of(9, seed=1)
        before = engine.stats.cached_tokens
        branches = [
            (start, await engine.generate(start, PLAIN, session=f"{number}-{len(start)}"))
            for start in (inside, after)
            for number in range(3)
        ]
        return before, branches, engine.stats.cached_tokens

    before, branches, cached = run(main())
    expected = 0
    for number, (start, branch) in enumerate(branches):
        reference.check(start, branch, PLAIN)
        # The first of three branches finds the parent's tokens, the others all but the last one.
        known = len(start) - (10 if number == 3 else 1)
        assert branch.cached_tokens == known // unit * unit
        expected += branch.cached_tokens
    assert cached - before == expected


def test_256_requests_at_once_all_complete_correctly(build_engine):
    model = random_model()
    reference, engine = Reference(model), build_engine(model)

    async def main():
        return await asyncio.gather(
            *(
                engine.generate(
                    prompt_of(3 + n % 29, seed=n), SamplingParams(max_tokens=1 + n % 11, seed=n)
                )
                for n in range(256)
            )
        )

    for n, completion in enumerate(run(main())):
        assert len(completion.ids) == 1 + n % 11
        if n % 16 == 0:
            reference.check(prompt_of(3 + n % 29, seed=n), completion, SamplingParams())


def test_closing_fails_what_is_running_and_what_comes_later(build_engine):
    async def main():
        engine = build_engine(random_model())
        tasks = [
            asyncio.create_task(engine.generate(prompt_of(5), SamplingParams(max_tokens=400)))
            for _ in range(3)
        ]
        while engine.stats.sampled_tokens < 9:
            await asyncio.sleep(0)
        await engine.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, EngineError) for result in results)
        with pytest.raises(EngineError, match="closed"):
            await engine.generate(prompt_of(5), PLAIN)
        await engine.close()

    run(main())


def test_one_engine_serves_several_event_loops_in_turn(build_engine):
    engine = build_engine(random_model())
    prompt = prompt_of(12)
    first = run(engine.generate(prompt, PLAIN, session="s"))
    second = run(engine.generate(prompt, PLAIN, session="s"))
    assert first.ids == second.ids
    assert second.cached_tokens == 11 // build_engine.unit * build_engine.unit
