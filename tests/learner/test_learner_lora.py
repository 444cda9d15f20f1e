"""The learner on a model with adapters: what it trains, keeps as reference, and restores."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn

from agentrl.algorithms import get
from agentrl.learner import Learner, LearnerSettings
from agentrl.models import lora
from tests.learner.learner_samples import parameters, random_forest, tiny_model

pytest.importorskip("peft")


def adapted(dtype: torch.dtype = torch.float32) -> nn.Module:
    model = tiny_model(dtype=dtype)
    lora.add(model, rank=3, alpha=6.0)
    return model


def make(
    model: nn.Module, name: str = "grpo", reference: nn.Module | None = None, **options: Any
) -> Learner:
    settings = LearnerSettings(learning_rate=1e-2, weight_decay=0.1, updates_per_step=2)
    return Learner(model, get(name, **options), settings, reference=reference, seed=3)


def through_disk(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_updates_and_imitation_change_adapters_and_nothing_else(dtype: torch.dtype) -> None:
    model = adapted(dtype)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learner = make(model)
    learner.supervised(random_forest(0))
    learner.update(random_forest(1))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == trained


def test_new_adapters_get_the_gradient_of_the_full_update() -> None:
    """With B = 0 the gradient of B is (alpha / rank) G A^T, where G is that of the weight."""
    plain, model = tiny_model(), adapted(torch.float64)
    gradients: list[dict[str, torch.Tensor]] = []
    for one in (plain, model):
        learner = Learner(one, get("grpo", kl_coefficient=0.0), LearnerSettings(max_grad_norm=0))
        found: dict[str, torch.Tensor] = {}
        for name, parameter in one.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(
                    lambda p, name=name, found=found: found.update({name: p.grad.clone()})
                )
        learner.update(random_forest(2))
        gradients.append(found)
    full, own = gradients
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A"):
            expected = 2.0 * full[f"{name}.weight"] @ tiny_a(name).T
            torch.testing.assert_close(own[f"{name}.lora_B.default.weight"], expected)


def tiny_a(name: str) -> torch.Tensor:
    return adapted(torch.float64).get_submodule(f"{name}.lora_A.default").weight


@pytest.mark.parametrize("imitate_first", [False, True])
def test_the_reference_is_the_policy_before_the_first_update(imitate_first: bool) -> None:
    results = []
    for copied in (False, True):
        model = adapted(torch.float64)
        if imitate_first:
            make(model).supervised(random_forest(9))
        reference = copy.deepcopy(model) if copied else None
        learner = make(model, reference=reference, kl_coefficient=0.5)
        for seed in range(3):
            learner.update(random_forest(seed))
        results.append(parameters(model))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)


def test_of_the_reference_only_the_adapters_are_kept() -> None:
    model = adapted()
    learner = make(model, kl_coefficient=0.5)
    learner.update(random_forest(0))
    assert learner.state_dict()["reference"].keys() == lora.adapters(model).keys()


@pytest.mark.parametrize("name", ["grpo", "ppo", "spear"])
def test_a_resumed_run_learns_the_same_bit_for_bit(name: str) -> None:
    options = {"kl_coefficient": 0.1} if name == "grpo" else {}
    model = adapted()
    learner = make(model, name, **options)
    learner.update(random_forest(0))
    learner.update(random_forest(1))
    state = through_disk((learner.state_dict(), dict(lora.adapters(model))))
    learner.update(random_forest(2))
    other = adapted()
    for key, parameter in lora.adapters(other).items():
        parameter.data = state[1][key].data
    resumed = make(other, name, **options)
    resumed.load_state_dict(state[0])
    resumed.update(random_forest(2))
    assert torch.equal(parameters(model), parameters(other))
