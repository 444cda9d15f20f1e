import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agentrl.learner.head import predict


def naive(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> list[Tensor]:
    table = (hidden @ weight.T / temperature).log_softmax(-1)
    logprobs = table.gather(1, targets[:, None])[:, 0]
    return [logprobs, -(table.exp() * table).sum(-1)]


def samples(count: int = 7, width: int = 5, vocabulary: int = 11) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(count, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=torch.float64)
    targets = torch.randint(vocabulary, (count,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_gradients_equal_finite_differences(temperature: float) -> None:
    hidden, weight, targets = samples()

    def head(h: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        found = predict(h, w, targets, temperature=temperature, entropy=True, chunk=3)
        assert found.entropies_M is not None
        return found.logprobs_M, found.entropies_M

    assert torch.autograd.gradcheck(head, (hidden, weight))
    assert torch.autograd.gradcheck(lambda h, w: head(h, w)[0], (hidden, weight))
    assert torch.autograd.gradcheck(lambda h, w: head(h, w)[1], (hidden, weight))


@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
@pytest.mark.parametrize("entropy", [False, True])
def test_values_and_gradients_equal_materialised_logits(chunk: int | None, entropy: bool) -> None:
    hidden, weight, targets = samples()
    upstream = torch.randn(2, len(targets), dtype=torch.float64)
    found = predict(hidden, weight, targets, temperature=0.7, entropy=entropy, chunk=chunk)
    theirs = naive(hidden, weight, targets, 0.7)
    ours = [found.logprobs_M]
    if entropy:
        assert found.entropies_M is not None
        ours.append(found.entropies_M)
    for mine, other in zip(ours, theirs, strict=False):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
    pairs = list(zip(ours, theirs, upstream, strict=False))
    mine = torch.autograd.grad(sum((o * u).sum() for o, _, u in pairs), (hidden, weight))
    other = torch.autograd.grad(sum((t * u).sum() for _, t, u in pairs), (hidden, weight))
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_entropy_is_left_out_unless_asked_for() -> None:
    hidden, weight, targets = samples()
    assert predict(hidden, weight, targets).entropies_M is None


def test_greedy_marks_the_targets_that_are_most_probable() -> None:
    hidden, weight, targets = samples()
    best = (hidden @ weight.T).argmax(-1)
    assert predict(hidden, weight, best).greedy_M.all()
    expected = (best == targets).tolist()
    assert predict(hidden, weight, targets).greedy_M.tolist() == expected


def test_statistics_of_bfloat16_models_are_float32() -> None:
    hidden, weight, targets = samples()
    low = [tensor.detach().bfloat16().requires_grad_() for tensor in (hidden, weight)]
    found = predict(*low, targets, entropy=True)
    assert found.logprobs_M.dtype is torch.float32
    found.logprobs_M.sum().backward()
    assert low[1].grad is not None
    assert low[1].grad.dtype is torch.bfloat16
    torch.testing.assert_close(
        found.logprobs_M.double(), naive(hidden, weight, targets, 1.0)[0], atol=0.1, rtol=0
    )


def test_an_empty_set_of_tokens_is_fine() -> None:
    hidden, weight, targets = samples()
    found = predict(hidden[:0], weight, targets[:0], entropy=True)
    assert found.logprobs_M.shape == (0,)
    found.logprobs_M.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


class _LargestTensor(TorchDispatchMode):
    """Notes the largest result of any operation."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.elements = max(self.elements, leaf.untyped_storage().nbytes() // 8)
        return out


def test_no_tensor_is_as_large_as_the_logits() -> None:
    count, vocabulary, chunk = 400, 600, 16
    hidden, weight, targets = samples(count, 4, vocabulary)
    with _LargestTensor() as seen:
        found = predict(hidden, weight, targets, entropy=True, chunk=chunk)
        assert found.entropies_M is not None
        (found.logprobs_M + found.entropies_M).sum().backward()
    assert seen.elements <= max(chunk * vocabulary, weight.numel(), 3 * count)
    with _LargestTensor() as seen:
        naive(hidden, weight, targets, 1.0)
    assert seen.elements >= count * vocabulary
