"""The head: statistics of the next token from hidden states, tile by tile."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agentrl.algorithms.statistics import (
    FilteredLogprobs,
    LogitStatistic,
    MeanDiscriminator,
    TemperedLogprobs,
    TopPEntropy,
)
from agentrl.learner.head import Predictions, Tile, predict, tile_of

FURTHER: tuple[LogitStatistic, ...] = (
    TemperedLogprobs(temperature=1.3),
    FilteredLogprobs(kind="min-p", threshold=0.1),
    TopPEntropy(top_p=0.9),
    MeanDiscriminator(),
)
TILES = [Tile(1, 1), Tile(3, 4), Tile(7, 2), Tile(2, 11), Tile(100, 100), None]


def naive(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> list[Tensor]:
    """Log-prob, entropy and `FURTHER` from materialised logits."""
    logits = hidden @ weight.T / temperature
    table = logits.log_softmax(-1)
    logprobs = table.gather(1, targets[:, None])[:, 0]
    further = [statistic.of_logits(logits, targets) for statistic in FURTHER]
    return [logprobs, -(table.exp() * table).sum(-1), *further]


def everything(hidden: Tensor, weight: Tensor, targets: Tensor, **options: Any) -> list[Tensor]:
    """The same from one call of `predict`."""
    found = predict(hidden, weight, targets, entropy=True, further=FURTHER, **options)
    assert found.entropies_M is not None
    return [found.logprobs_M, found.entropies_M, *(found.further[stat] for stat in FURTHER)]


def samples(count: int = 7, width: int = 5, vocabulary: int = 11) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(count, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=torch.float64)
    targets = torch.randint(vocabulary, (count,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def weighted(values: list[Tensor]) -> Tensor:
    """A loss in which every token and every statistic has a weight of its own."""
    generator = torch.Generator().manual_seed(1)
    factors = torch.randn(len(values), len(values[0]), generator=generator, dtype=torch.float64)
    return (torch.stack(values) * factors).sum()


def assert_equal_with_gradients(
    ours: list[Tensor], theirs: list[Tensor], inputs: tuple[Tensor, ...]
) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
    gradients = (torch.autograd.grad(weighted(values), inputs) for values in (ours, theirs))
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_gradients_equal_finite_differences(temperature: float) -> None:
    hidden, weight, targets = samples()

    def head(h: Tensor, w: Tensor) -> list[Tensor]:
        found = predict(h, w, targets, temperature=temperature, entropy=True, tile=Tile(3, 4))
        assert found.entropies_M is not None
        return [found.logprobs_M, found.entropies_M]

    assert torch.autograd.gradcheck(lambda h, w: tuple(head(h, w)), (hidden, weight))
    assert torch.autograd.gradcheck(lambda h, w: head(h, w)[0], (hidden, weight))
    assert torch.autograd.gradcheck(lambda h, w: head(h, w)[1], (hidden, weight))


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_gradients_of_all_statistics_together_equal_finite_differences(temperature: float) -> None:
    hidden, weight, targets = samples()

    def head(h: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        return tuple(everything(h, w, targets, temperature=temperature, tile=Tile(3, 11)))

    assert torch.autograd.gradcheck(head, (hidden, weight))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("entropy", [False, True])
def test_tiles_equal_materialised_logits(tile: Tile | None, entropy: bool) -> None:
    hidden, weight, targets = samples()
    found = predict(hidden, weight, targets, temperature=0.7, entropy=entropy, tile=tile)
    ours = [found.logprobs_M] + ([found.entropies_M] if found.entropies_M is not None else [])
    theirs = naive(hidden, weight, targets, 0.7)[: len(ours)]
    assert len(ours) == 1 + entropy
    assert_equal_with_gradients(ours, theirs, (hidden, weight))


@pytest.mark.parametrize("tile", TILES)
def test_all_statistics_of_one_call_equal_materialised_logits(tile: Tile | None) -> None:
    hidden, weight, targets = samples()
    ours = everything(hidden, weight, targets, temperature=0.7, tile=tile)
    theirs = naive(hidden, weight, targets, 0.7)
    assert_equal_with_gradients(ours, theirs, (hidden, weight))


@pytest.mark.parametrize("used", [[0], [1], [2], [3, 5], [0, 4], [1, 2]])
def test_statistics_without_a_gradient_take_no_part(used: list[int]) -> None:
    hidden, weight, targets = samples()
    ours = everything(hidden, weight, targets, tile=Tile(3, 11))
    theirs = naive(hidden, weight, targets, 1.0)
    chosen = ([values[index] for index in used] for values in (ours, theirs))
    assert_equal_with_gradients(*chosen, (hidden, weight))


@dataclass(frozen=True)
class Reading:
    """Any function of logits as a statistic."""

    of: Callable[[Tensor], Tensor]
    current: bool = True
    layer: int | None = None

    def of_logits(self, logits_MV: Tensor, targets_M: Tensor) -> Tensor:
        return self.of(logits_MV)

    def now(self) -> "Reading":
        return self


def test_a_statistic_may_be_a_view_of_the_logits() -> None:
    hidden, weight, targets = samples()
    first, total = Reading(lambda logits: logits[:, 0]), Reading(lambda logits: logits.sum(-1))
    further = predict(hidden, weight, targets, further=[first, total], tile=Tile(3, 11)).further
    logits = hidden @ weight.T
    ours, theirs = [further[first], further[total]], [logits[:, 0], logits.sum(-1)]
    assert_equal_with_gradients(ours, theirs, (hidden, weight))


def test_a_statistic_that_is_constant_has_no_gradient() -> None:
    hidden, weight, targets = samples()
    likely = Reading(lambda logits: (logits > 0).sum(-1))
    found = predict(hidden, weight, targets, further=[likely])
    assert torch.equal(found.further[likely], ((hidden @ weight.T) > 0).sum(-1).double())
    found.further[likely].sum().backward()
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_large_logits_neither_overflow_nor_lose_the_entropy() -> None:
    hidden, weight, targets = samples()
    large = (hidden.detach().float() * 1000, weight.detach().float())
    found = predict(*large, targets, entropy=True, tile=Tile(3, 2))
    exact = naive(large[0].double(), large[1].double(), targets, 1.0)
    assert found.entropies_M is not None
    torch.testing.assert_close(found.logprobs_M.double(), exact[0], rtol=1e-5, atol=1e-2)
    torch.testing.assert_close(found.entropies_M.double(), exact[1], rtol=1e-3, atol=1e-6)


def test_entropy_is_left_out_unless_asked_for() -> None:
    hidden, weight, targets = samples()
    assert predict(hidden, weight, targets).entropies_M is None


@pytest.mark.parametrize("tile", TILES)
def test_greedy_marks_the_targets_that_are_most_probable(tile: Tile | None) -> None:
    hidden, weight, targets = samples()
    best = (hidden @ weight.T).argmax(-1)
    assert predict(hidden, weight, best, tile=tile).greedy_M.all()
    expected = (best == targets).tolist()
    assert predict(hidden, weight, targets, tile=tile).greedy_M.tolist() == expected


def test_an_id_outside_of_the_vocabulary_is_not_a_number() -> None:
    hidden, weight, targets = samples()
    targets[2] = 11
    assert predict(hidden, weight, targets).logprobs_M.isnan().tolist() == [
        index == 2 for index in range(7)
    ]


@pytest.mark.parametrize("tile", [Tile(3, 4), Tile(3, 11), None])
def test_statistics_of_bfloat16_models_are_float32(tile: Tile | None) -> None:
    hidden, weight, targets = samples()
    low = [tensor.detach().bfloat16().requires_grad_() for tensor in (hidden, weight)]
    same = [tensor.detach().double().requires_grad_() for tensor in low]
    ours, theirs = everything(*low, targets, tile=tile), naive(*same, targets, 1.0)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype is torch.float32
        # The product is rounded to bfloat16: 8 bits of logits below 8.
        torch.testing.assert_close(mine.double(), other, atol=0.05, rtol=0)
    weighted(ours).backward()
    weighted(theirs).backward()
    for mine, other in zip(low, same, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert mine.grad.dtype is torch.bfloat16
        assert (mine.grad - other.grad).norm() < 0.02 * other.grad.norm()


def test_an_empty_set_of_tokens_is_fine() -> None:
    hidden, weight, targets = samples()
    values = everything(hidden[:0], weight, targets[:0])
    assert all(value.shape == (0,) for value in values)
    torch.stack(values).sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


def test_a_second_derivative_is_refused() -> None:
    hidden, weight, targets = samples()
    loss = predict(hidden, weight, targets).logprobs_M.square().sum()
    (gradient,) = torch.autograd.grad(loss, hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


class _Work(TorchDispatchMode):
    """Notes the largest result, the shapes of new tensors, and the multiplications of products."""

    def __init__(self) -> None:
        super().__init__()
        self.elements, self.multiplications = 0, 0
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        new = all(result.alias_info is None for result in func._schema.returns)
        for leaf in (leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)):
            self.elements = max(self.elements, leaf.untyped_storage().nbytes() // 8)
            self.shapes |= {tuple(leaf.shape)} if new else set()
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm_):
            left, right = args[-2:]
            self.multiplications += left.shape[0] * left.shape[1] * right.shape[1]
        return out


@pytest.mark.parametrize("tile", [Tile(16, 600), Tile(400, 24)])
def test_no_tensor_is_as_large_as_the_logits(tile: Tile) -> None:
    count, vocabulary = 400, 600
    hidden, weight, targets = samples(count, 4, vocabulary)
    with _Work() as seen:
        found = predict(hidden, weight, targets, entropy=True, tile=tile)
        assert found.entropies_M is not None
        (found.logprobs_M + found.entropies_M).sum().backward()
    assert seen.elements <= max(tile.tokens * tile.ids, weight.numel(), 3 * count)
    with _Work() as seen:
        naive(hidden, weight, targets, 1.0)
    assert seen.elements >= count * vocabulary


def loss_of(found: Predictions) -> Tensor:
    assert found.entropies_M is not None
    return (found.logprobs_M + found.entropies_M + sum(found.further.values())).sum()


@pytest.mark.parametrize("further", [(), FURTHER])
@pytest.mark.parametrize("tile", [Tile(3, 4), Tile(4, 11), None])
def test_logits_are_computed_once_forward_and_once_backward(
    tile: Tile | None, further: tuple[LogitStatistic, ...]
) -> None:
    """Whatever is read: one product forward, and three backward, two of them for gradients."""
    hidden, weight, targets = samples()
    once = len(hidden) * hidden.shape[1] * len(weight)
    with _Work() as work:
        found = predict(hidden, weight, targets, entropy=True, further=further, tile=tile)
    assert work.multiplications == once
    with _Work() as work:
        loss_of(found).backward()
    assert work.multiplications == 3 * once


@pytest.mark.parametrize("further", [(), FURTHER])
@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_a_frozen_input_costs_neither_memory_nor_products(
    frozen: str, further: tuple[LogitStatistic, ...]
) -> None:
    hidden, weight, targets = samples(width=6)
    expected = torch.autograd.grad(
        loss_of(predict(hidden, weight, targets, entropy=True, further=further)), (hidden, weight)
    )
    still, moving = (hidden, weight) if frozen == "hidden" else (weight, hidden)
    still.requires_grad_(False)
    found = predict(hidden, weight, targets, entropy=True, further=further)
    with _Work() as work:
        loss_of(found).backward()
    assert still.grad is None
    assert moving.grad is not None
    assert torch.equal(moving.grad, expected[frozen == "hidden"])
    assert tuple(moving.shape) in work.shapes
    assert tuple(still.shape) not in work.shapes
    assert work.multiplications == 2 * hidden.numel() * len(weight)


@pytest.mark.parametrize("tokens", [1, 27, 2048, 100_000])
@pytest.mark.parametrize("vocabulary", [500, 32_000, 150_000, 10_000_000])
def test_tiles_do_not_grow_with_tokens_times_vocabulary(tokens: int, vocabulary: int) -> None:
    tile = tile_of(tokens, vocabulary)
    assert 1 <= tile.tokens * tile.ids <= 1 << 22
    assert tile.tokens == min(tokens, 2048)
    rows = tile_of(tokens, vocabulary, rows=True)
    assert rows.ids == vocabulary
    assert rows.tokens * vocabulary <= max(1 << 22, 256 * vocabulary)
