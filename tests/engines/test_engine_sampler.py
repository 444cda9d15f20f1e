"""Sampling: the distribution, the noise, truncation, and settings that differ by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agentrl.engines import SamplingParams
from agentrl.engines.embedded.sampler import sample, truncate, uniforms


def test_noise_depends_on_seed_and_position_only():
    table = {(s, p): uniforms([s], [p])[0] for s in (0, 1, 2**63, -5) for p in range(5)}
    seeds, positions = zip(*table, strict=True)
    assert uniforms(seeds, positions) == list(table.values())
    assert len(set(table.values())) == len(table)


@pytest.mark.parametrize("along", ["seed", "position"])
def test_noise_is_uniform_and_uncorrelated(along):
    count = 20_000
    line, fixed = list(range(count)), [3] * count
    numbers = np.array(uniforms(line, fixed) if along == "seed" else uniforms(fixed, line))
    assert numbers.min() >= 0 and numbers.max() < 1
    cells = np.histogram(numbers, bins=50, range=(0, 1))[0]
    chi_square = ((cells - count / 50) ** 2 / (count / 50)).sum()
    assert chi_square < 49 + 5 * np.sqrt(98)
    centred = numbers - 0.5
    assert abs((centred[1:] * centred[:-1]).mean() * 12) < 5 / np.sqrt(count)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(temperature=0.5),
        SamplingParams(top_p=0.7),
        SamplingParams(top_k=4, temperature=2.0),
    ],
)
def test_samples_follow_the_distribution_they_report(params):
    count = 20_000
    torch.manual_seed(0)
    logits = torch.randn(1, 12).expand(count, 12)
    draw = sample(logits, [params] * count, uniforms(range(count), [0] * count))
    ids = np.array(draw.ids)
    reported = {token: np.exp(lp) for token, lp in zip(draw.ids, draw.logprobs, strict=True)}
    assert sum(reported.values()) == pytest.approx(1, abs=0.01)
    for token, prob in reported.items():
        error = np.sqrt(prob * (1 - prob) / count)
        assert abs((ids == token).mean() - prob) < 5 * error + 1e-9


def test_rows_with_different_settings_do_not_disturb_each_other():
    torch.manual_seed(1)
    params = [
        SamplingParams(temperature=0),
        SamplingParams(temperature=0.3),
        SamplingParams(top_p=0.4),
        SamplingParams(top_k=2, temperature=3.0),
        SamplingParams(),
    ]
    logits, noise = torch.randn(5, 50), [0.1, 0.3, 0.5, 0.7, 0.9]
    together = sample(logits, params, noise)
    for row in range(5):
        alone = sample(logits[row : row + 1], [params[row]], [noise[row]])
        assert alone.ids == [together.ids[row]]
        assert alone.logprobs[0] == pytest.approx(together.logprobs[row], abs=1e-6)
        assert alone.entropies[0] == pytest.approx(together.entropies[row], abs=1e-6)


def test_hand_computed_truncation():
    logprobs = torch.tensor([[0.1, 0.4, 0.3, 0.2]]).log()

    def kept(**settings):
        out = truncate(logprobs, [SamplingParams(**settings)])
        return out.isfinite()[0].nonzero()[:, 0].tolist()

    assert kept(top_k=2) == [1, 2]
    assert kept(top_p=0.4) == [1]
    assert kept(top_p=0.41) == [1, 2]
    assert kept(top_p=0.95) == [0, 1, 2, 3]
    assert kept(top_p=0.6, top_k=2) == [1, 2]  # 0.4 / 0.7 = 0.57 is not enough
    assert kept(top_p=0.55, top_k=2) == [1]
    assert kept(top_k=99) == [0, 1, 2, 3]


def test_the_extremes_of_the_noise_draw_possible_tokens():
    logits = torch.tensor([[-np.inf, 0.0, 1.0, -np.inf]], dtype=torch.float32)
    for noise, token in ((0.0, 1), (1 - 2**-53, 2)):
        draw = sample(logits, [SamplingParams()], [noise])
        assert draw.ids == [token]
        assert np.isfinite(draw.entropies[0])


def test_half_precision_logits_are_sampled_in_single_precision():
    torch.manual_seed(2)
    logits = torch.randn(3, 40, dtype=torch.bfloat16)
    low = sample(logits, [SamplingParams()] * 3, [0.2, 0.5, 0.8])
    high = sample(logits.float(), [SamplingParams()] * 3, [0.2, 0.5, 0.8])
    assert low == high
