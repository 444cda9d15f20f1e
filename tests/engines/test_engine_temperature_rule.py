"""A temperature chosen at every token: who follows the rule, and what is reported."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import torch
from engine_samples import Reference, prompt_of, random_model, run

from agentrl.engines import Engine, SamplingParams, check_sampling
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.engines.embedded.sampler import sample
from agentrl.errors import ConfigError, EngineError


class BySpread:
    """T = base x (1 + the standard deviation of the logits); keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def __call__(self, logits_RV, base):
        self.shown.append((logits_RV, base))
        return base * (1 + logits_RV.std(dim=-1))


def mixed(rule):
    return [
        SamplingParams(temperature_rule=rule),
        SamplingParams(temperature=0.7),
        SamplingParams(temperature=0.7, temperature_rule=rule),
        SamplingParams(),
        SamplingParams(temperature=0.7, temperature_rule=rule, top_p=0.8),
        SamplingParams(temperature=0, temperature_rule=rule),
        SamplingParams(temperature=0.7, temperature_rule=BySpread(), top_k=5),
    ]


NOISE = [0.1, 0.3, 0.5, 0.7, 0.9, 0.2, 0.6]


def logits(rows=7):
    torch.manual_seed(0)
    return torch.randn(rows, 40) * torch.linspace(0.5, 3, rows)[:, None]


def test_every_row_is_divided_by_its_own_temperature():
    logits_SV, rule = logits(), BySpread()
    draw = sample(logits_SV, mixed(rule), NOISE)
    spread = logits_SV.std(dim=-1)
    temperatures = [1 + spread[0], 0.7, 0.7 * (1 + spread[2]), 1.0, 0.7 * (1 + spread[4]), 1.0]
    for row, temperature in enumerate(temperatures):
        logprobs_V = torch.log_softmax(logits_SV[row].double() / temperature, dim=-1)
        entropy = -(logprobs_V.exp() * logprobs_V).sum()
        assert draw.entropies[row] == pytest.approx(entropy.item(), abs=1e-5)
        if row != 4:  # that row is truncated
            assert draw.logprobs[row] == pytest.approx(logprobs_V[draw.ids[row]].item(), abs=1e-5)


def test_truncation_comes_after_the_temperature():
    rule = BySpread()
    setting = SamplingParams(temperature=0.7, temperature_rule=rule, top_p=0.8)
    draw = sample(logits(1), [setting], [0.4])
    temperature = float(0.7 * (1 + logits(1).std()))
    plain = SamplingParams(temperature=temperature, top_p=0.8)
    assert draw.logprobs == pytest.approx(sample(logits(1), [plain], [0.4]).logprobs, abs=1e-6)
    assert draw.ids == sample(logits(1), [plain], [0.4]).ids


def test_a_rule_sees_only_its_rows_at_temperature_one_and_each_base_once():
    logits_SV, rule = logits().to(torch.bfloat16), BySpread()
    sample(logits_SV, mixed(rule), NOISE)
    (first, one), (others, base) = rule.shown
    assert (one, base) == (1.0, 0.7)
    assert torch.equal(first, logits_SV[[0]].float()) and first.dtype == torch.float32
    assert torch.equal(others, logits_SV[[2, 4]].float())  # the greedy row 5 asks nothing


def test_rows_without_a_rule_are_the_same_bit_for_bit():
    without = [
        SamplingParams(temperature=s.temperature, top_p=s.top_p, top_k=s.top_k) for s in mixed(None)
    ]
    for logits_SV in (logits(), logits().to(torch.bfloat16)):
        plain, ruled = (
            sample(logits_SV, without, NOISE),
            sample(logits_SV, mixed(BySpread()), NOISE),
        )
        for row in (1, 3, 5):
            assert plain.ids[row] == ruled.ids[row]
            assert plain.logprobs[row] == ruled.logprobs[row]
            assert plain.entropies[row] == ruled.entropies[row]


def test_an_engine_samples_from_the_distribution_that_the_rule_asked_for():
    model, rule = random_model(), BySpread()
    reference, engine = Reference(model), EmbeddedEngine(model)
    assert engine.temperature_rules

    async def main():
        settings = [
            SamplingParams(
                max_tokens=9, seed=n, temperature=0.8, temperature_rule=rule if n else None
            )
            for n in range(4)
        ]
        prompt = prompt_of(20)
        check_sampling(engine, settings[1])
        return settings, await asyncio.gather(*(engine.generate(prompt, s) for s in settings))

    settings, completions = run(main())
    reference.check(prompt_of(20), completions[0], settings[0])
    for completion in completions[1:]:
        table_TV = reference.logprobs(prompt_of(20), completion.ids, 1.0)
        # log-softmax shifts the logits of a row by a number, which the deviation does not see
        table_TV = torch.log_softmax(table_TV / (0.8 * (1 + table_TV.std(-1)))[:, None], dim=-1)
        chosen_T = table_TV.gather(1, torch.tensor(completion.ids)[:, None])[:, 0]
        assert completion.logprobs == pytest.approx(chosen_T.tolist(), abs=1e-4)
        entropies_T = -(table_TV.exp() * table_TV).sum(-1)
        assert completion.entropies == pytest.approx(entropies_T.tolist(), abs=1e-4)


def test_a_temperature_that_is_not_above_zero_fails_the_request():
    params = SamplingParams(temperature_rule=lambda logits_RV, base: logits_RV[:, 0] * 0)
    with pytest.raises(EngineError, match=r"temperature_rule.*temperature 0\.0.*above 0"):
        run(EmbeddedEngine(random_model()).generate(prompt_of(5), params))


def test_an_engine_without_rules_refuses_one_and_says_what_to_do():
    class Other(SimpleNamespace):
        pass

    other = Other(temperature_rules=False)
    check_sampling(other, SamplingParams())
    with pytest.raises(ConfigError, match=r"BySpread.*Other.*temperature_tau=0"):
        check_sampling(other, SamplingParams(temperature_rule=BySpread()))


def test_an_engine_follows_a_rule_or_refuses_it(build_engine):
    engine = build_engine(random_model())
    assert isinstance(engine, Engine)
    rule = BySpread()
    request = engine.generate(prompt_of(5), SamplingParams(max_tokens=2, temperature_rule=rule))
    if engine.temperature_rules:
        run(request)
        assert len(rule.shown) == 2
    else:
        with pytest.raises(ConfigError, match="temperature_rule"):
            run(request)
