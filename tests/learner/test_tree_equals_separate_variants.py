"""Trees and separate sequences with adapters, checkpointing, in other types and architectures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from agentrl.algorithms.statistics import Stat
from agentrl.learner.forward import forward
from agentrl.learner.packing import lay_out
from agentrl.learner.rows import rows
from agentrl.models import lora
from agentrl.models.attention import install
from tests.learner.branching_forests import branching_forest
from tests.learner.learner_samples import FAMILIES, plain_stats, tiny_model
from tests.learner.tree_and_separate import compare, learn, norm

FOREST = branching_forest(28)
KINDS = ["bupo", "epo", "gspo", "ppo", "spear"]
"""Reads an inner layer, the gradient of entropies, whole sequences, values, earlier rows."""


def small_model(family: str, dtype: torch.dtype, adapters: bool = False) -> nn.Module:
    """A model of ordinary weights; the numbers of its adapters are far from 0."""
    model = tiny_model(family, dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.div_(4)
    if adapters:
        pytest.importorskip("peft")
        lora.add(model, rank=3, alpha=6.0)
        generator = torch.Generator().manual_seed(1)
        for parameter in lora.adapters(model).values():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += 0.05 * noise.to(parameter.dtype)
    return model


def maker(family: str, dtype: torch.dtype, adapters: bool) -> Callable[[], nn.Module]:
    return lambda: small_model(family, dtype, adapters)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("adapters", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)], ids=["f64", "f32"]
)
@pytest.mark.parametrize(
    "name", ["grpo", *(pytest.param(n, marks=pytest.mark.slow) for n in KINDS)]
)
def test_loss_and_every_gradient_are_equal(
    name: str, dtype: torch.dtype, tolerance: float, adapters: bool, checkpointing: bool
) -> None:
    """To 1e-6 in float32 before any step: the steps of AdamW enlarge differences of rounding."""
    settings = {"updates_per_step": 2} if dtype is torch.float64 else {}
    forests = [FOREST, branching_forest(5)] if name == "spear" and settings else [FOREST]
    make = maker("qwen3", dtype, adapters)
    compare(make, name, forests, tolerance, gradient_checkpointing=checkpointing, **settings)


@pytest.mark.parametrize("adapters", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_it_holds_for_other_architectures(family: str, adapters: bool) -> None:
    compare(maker(family, torch.float64, adapters), "grpo", [FOREST], 1e-10)
    compare(maker(family, torch.float32, adapters), "grpo", [FOREST], 1e-6)


@pytest.mark.parametrize("adapters", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_in_bfloat16_the_tree_is_no_further_from_float32_than_separate_sequences(
    family: str, adapters: bool
) -> None:
    """Measured: 4e-3 to 1.2e-2 for either, and 4e-3 to 1e-2 between them."""
    make = maker(family, torch.bfloat16, adapters)
    tree = learn(make(), "grpo", [FOREST]).gradients[0]
    apart = learn(make(), "grpo", [FOREST], apart=True).gradients[0]
    exact = learn(small_model(family, torch.float32, adapters), "grpo", [FOREST]).gradients[0]
    size = norm(exact.values())
    errors = [norm(found[n].float() - exact[n] for n in exact) for found in (tree, apart)]
    assert errors[0] < 1.5 * errors[1]
    assert errors[0] < 0.02 * size
    assert norm(tree[n].float() - apart[n].float() for n in exact) < 0.02 * size
    for name in exact:
        gap = norm([tree[name].float() - apart[name].float()])
        assert gap < 0.05 * norm([exact[name]]), name


@pytest.mark.parametrize("adapters", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_statistics_are_those_of_one_plain_forward_pass_per_sequence(
    family: str, adapters: bool
) -> None:
    model, found = small_model(family, torch.float64, adapters), rows(FOREST)
    logprobs_BT, entropies_BT = plain_stats(model, found, temperature=0.7)
    install(model)
    chosen, width = range(len(found.rows)), found.batch.mask_BT.shape[1]
    micro = lay_out(found, chosen, width, torch.device("cpu"))
    stats, _ = forward(model, micro, {Stat.ENTROPY}, temperature=0.7)
    valid_BT = found.batch.valid_BT
    for ours_BT, theirs_BT in ((Stat.LOGPROBS, logprobs_BT), (Stat.ENTROPY, entropies_BT)):
        assert ((stats[ours_BT] - theirs_BT) * valid_BT).abs().max() < 1e-10
