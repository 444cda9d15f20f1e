"""Batches without contrast, for every algorithm: finite, and nothing learned where due."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Algorithm, Batch, Stat, estimate_advantages, get, names
from agentrl.errors import ConfigError
from tests.algorithms.conftest import build
from tests.algorithms.test_algorithm_conformance import LEARNS_THROUGH, SETTINGS

LEARNS_WITHOUT_CONTRAST = {
    "ares": "adds an entropy score to the reward",
    "dcpo": "right tokens also earn a share of what a hotter or colder copy gives them",
    "dr_bot": "pays for turns at first",
    "dro": "pulls towards the old policy inside its surrogate",
    "drpo": "its critic has errors of its own",
    "empg": "adds a bonus for clear futures",
    "empo": "its reward is agreement, not success",
    "ettrl": "its reward is agreement, not success",
    "gigpo": "a later success is worth less at earlier steps from the same state",
    "gtpo": "takes the entropy off the advantage",
    "ppo": "its critic has errors of its own",
    "progrpo": "keeps on equalising confidences where all are right",
    "reinforce": "has no baseline",
    "reinforce_pp": "whitens over the batch, and rewards lie on single tokens",
    "riskpo": "compares with quantiles of bundles",
    "spear": "pays for turns at first",
    "ttrl": "its reward is agreement, not success",
}


def with_returns(batch: Batch, value: float) -> Batch:
    """Give every episode the same return, at its last token, and the success that goes with it."""
    rewards = torch.where(batch.rewards_BT != 0, value, 0.0)
    rewards = torch.where(batch.valid_BT, rewards, batch.rewards_BT)
    returns = torch.full_like(batch.returns_B, value)
    components = {name: torch.full_like(returns, value) for name in batch.components}
    return replace(batch, returns_B=returns, rewards_BT=rewards, components=components)


@pytest.fixture(params=names())
def algorithm(request) -> Algorithm:
    return get(request.param, **SETTINGS.get(request.param, {}))


@pytest.fixture
def batch(algorithm: Algorithm) -> Batch:
    """Groups of at least two episodes."""
    found = build(requires=algorithm.requires)
    return replace(found, groups_B=torch.tensor([4, 4, 9, 4, 9, 9, 4, 9, 9, 9]))


def finite(algorithm: Algorithm, batch: Batch, evaluate) -> dict:
    value, gradients = evaluate(algorithm, estimate_advantages(algorithm, batch))
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    return gradients


@pytest.mark.parametrize("value", [0.0, 1.0], ids=["all-wrong", "all-right"])
def test_equal_returns_are_finite_and_teach_nothing(algorithm, batch, evaluate, value):
    plain = replace(algorithm, regularisers=(), controllers=())
    gradients = finite(algorithm, with_returns(batch, value), evaluate)
    if algorithm.name not in LEARNS_WITHOUT_CONTRAST:
        gradients = finite(plain, with_returns(batch, value), evaluate)
        learned = gradients[LEARNS_THROUGH.get(algorithm.name, Stat.LOGPROBS)]
        assert learned.abs().max() < 1e-9


def test_a_single_row_is_finite(algorithm, batch, evaluate):
    finite(algorithm, batch.rows(torch.tensor([0])), evaluate)


def test_a_single_token_is_finite(algorithm, batch, evaluate):
    one = replace(batch, mask_BT=torch.zeros_like(batch.mask_BT))
    one.mask_BT[4, 0] = 1
    finite(algorithm, one, evaluate)


def test_no_rows_at_all_give_zero(algorithm, batch, evaluate):
    gradients = finite(algorithm, batch.rows(torch.zeros(0, dtype=torch.long)), evaluate)
    assert all(gradient.numel() == 0 for gradient in gradients.values())


def test_the_table_of_exceptions_names_methods_that_exist():
    assert set(LEARNS_WITHOUT_CONTRAST) <= set(names())


def test_a_second_base_advantage_cannot_be_given():
    with pytest.raises((ConfigError, TypeError)):
        get("grpo", advantage=(get("bnpo").advantage, get("grpo").advantage))
