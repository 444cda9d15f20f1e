import pytest
import torch
from learner_samples import FAMILIES, gradients, plain_stats, random_forest, relative, tiny_model

from agentrl.algorithms.batch import Stat
from agentrl.learner import forward as forward_module
from agentrl.learner.compatibility import enable_checkpointing
from agentrl.learner.forward import forward
from agentrl.learner.packing import lay_out, plan
from agentrl.learner.rows import Rows, rows
from agentrl.learner.tree_attention import TreeAttention
from agentrl.models.attention import install


def tree_pass(
    model: torch.nn.Module, found: Rows, weights_BT: torch.Tensor, budget: int = 10_000
) -> torch.Tensor:
    """Log-probs [B, T]; gradients of their weighted sum are accumulated in the model."""
    install(model)
    model.zero_grad()
    logprobs_BT = torch.zeros_like(weights_BT)
    width = weights_BT.shape[1]
    for part in plan(found, range(len(found.rows)), budget):
        micro = lay_out(found, part, width, torch.device("cpu"))
        stats, _ = forward(model, micro, ())
        weighted = stats[Stat.LOGPROBS] * weights_BT[micro.rows_B]
        weighted.sum().backward()
        logprobs_BT[micro.rows_B] = stats[Stat.LOGPROBS].detach()
    return logprobs_BT * found.batch.valid_BT


def separate_pass(
    model: torch.nn.Module, found: Rows, weights_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same with each root-to-leaf row run by itself; returns log-probs and gradients."""
    model.zero_grad()
    logprobs_BT, _ = plain_stats(model, found)
    (logprobs_BT * weights_BT).sum().backward()
    return logprobs_BT.detach(), gradients(model)


def random_weights(found: Rows, dtype: torch.dtype) -> torch.Tensor:
    """A different weight for each token of each row, also for tokens that rows share."""
    generator = torch.Generator().manual_seed(1)
    shape = found.batch.mask_BT.shape
    return torch.randn(shape, generator=generator, dtype=dtype) * found.batch.valid_BT


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budget", [45, 10_000])
def test_the_tree_equals_separate_rows_to_1e_10_in_float64(
    family: str, seed: int, budget: int
) -> None:
    model, found = tiny_model(family), rows(random_forest(seed, trees=2))
    weights_BT = random_weights(found, torch.float64)
    theirs_BT, their_gradient = separate_pass(model, found, weights_BT)
    ours_BT = tree_pass(model, found, weights_BT, budget)
    assert (ours_BT - theirs_BT).abs().max() < 1e-10
    assert relative(gradients(model), their_gradient) < 1e-10


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_tree_equals_separate_rows_to_1e_6_in_float32(family: str) -> None:
    model, found = tiny_model(family, torch.float32), rows(random_forest(7, turns=8, members=8))
    weights_BT = random_weights(found, torch.float32)
    theirs_BT, their_gradient = separate_pass(model, found, weights_BT)
    ours_BT = tree_pass(model, found, weights_BT)
    assert (ours_BT - theirs_BT).abs().max() < 1e-5
    assert relative(gradients(model), their_gradient) < 1e-6


def test_the_path_form_used_on_other_devices_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, found = tiny_model(), rows(random_forest(2))
    weights_BT = random_weights(found, torch.float64)
    blocks_BT = tree_pass(model, found, weights_BT)
    block_gradient = gradients(model)
    monkeypatch.setattr(
        forward_module, "TreeAttention", lambda runs: TreeAttention(runs, blockwise=False)
    )
    paths_BT = tree_pass(model, found, weights_BT)
    assert (blocks_BT - paths_BT).abs().max() < 1e-10
    assert relative(gradients(model), block_gradient) < 1e-10


def test_gradient_checkpointing_changes_nothing() -> None:
    model, found = tiny_model(), rows(random_forest(5))
    weights_BT = random_weights(found, torch.float64)
    tree_pass(model, found, weights_BT)
    plain = gradients(model)
    enable_checkpointing(model)
    model.train()
    tree_pass(model, found, weights_BT)
    assert torch.equal(gradients(model), plain)


def test_bfloat16_stays_close_to_float32() -> None:
    found = rows(random_forest(6))
    exact = tiny_model(dtype=torch.float32)
    with torch.no_grad():
        for parameter in exact.parameters():
            parameter.copy_(parameter.bfloat16())
            if parameter.dim() >= 2:
                parameter.div_(4)
    low = tiny_model(dtype=torch.bfloat16)
    low.load_state_dict(exact.state_dict())
    weights_BT = random_weights(found, torch.float32)
    exact_BT = tree_pass(exact, found, weights_BT)
    low_BT = tree_pass(low, found, weights_BT)
    assert (exact_BT - low_BT).abs().max() < 0.1
    assert relative(gradients(low).float(), gradients(exact)) < 0.1
