"""A batch with everything an algorithm can ask for, and awkward rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import torch

from agentrl.algorithms import Algorithm, Batch, Normaliser, Stat, estimate_advantages, policy_loss
from agentrl.algorithms.statistics import LogitStatistic, Statistic

torch.set_num_threads(1)

ROWS, WIDTH = 10, 7
GROUPS = [4, 4, 9, 4, 9, 9, 2, 9, 7, 7]  # group 2 has one member; rows are interleaved
EPISODES = [0, 1, 2, 1, 3, 4, 5, 6, 7, 8]  # episode 1 has two rows
LENGTHS = [7, 3, 5, 4, 1, 6, 7, 2, 3, 0]  # the last row is empty
RETURNS = [1.0, 0.0, 0.5, 0.0, 1.0, 0.0, 2.0, 1.5, 1.0, 0.0]


SPANS = [
    [0, 0, 0, 1, 1, 2, 2],
    [0, 0, 0],  # episodes 0 and 1 share a span
    [3, 3, 3, 4, 4],
    [5, 5, 6, 6],
    [3],  # as do 2, 3 and 6, which was given the spans 3 and 4
    [7] * 6,
    [8] * 7,
    [9, 9],
    [10] * 3,
    [],
]
GIVEN = [[-1, -1]] * 7 + [[3, 4], [-1, -1], [0, 3]]
ANCHORS = [0, 0, 3, 1, 3, 4, 5, 3, 6, -1]
ANSWERS = [0, 1, 0, 1, -1, 2, 0, 0, 1, -1]
TEXTS = ("12", "seven", "x + 1")


def build(seed: int = 0, spread: float = 0.3, requires: Iterable[Statistic] = ()) -> Batch:
    """Return a float64 batch; what stands at masked positions is NaN.

    Statistics of logits among `requires` are filled in; current and old ones differ by `spread`.
    """
    random = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(LENGTHS)
    mask = (torch.arange(WIDTH) < lengths.unsqueeze(-1)).double()
    mask[5, 2] = 0  # removed by an earlier filter

    def noise() -> torch.Tensor:
        return torch.randn(ROWS, WIDTH, generator=random, dtype=torch.float64)

    old = -noise().abs() - 0.1
    stats: dict[Statistic, torch.Tensor] = {
        Stat.OLD_LOGPROBS: old,
        Stat.LOGPROBS: old + spread * noise(),
        Stat.ROLLOUT_LOGPROBS: old + 0.2 * noise(),
        Stat.REF_LOGPROBS: old + spread * noise(),
        Stat.ENTROPY: noise().abs(),
        Stat.ENTROPY_GRAD: noise().abs(),
        Stat.OLD_ENTROPY: noise().abs(),
        Stat.VALUES: noise(),
        Stat.OLD_VALUES: noise(),
    }
    returns = torch.tensor(RETURNS, dtype=torch.float64)
    rewards = torch.zeros_like(mask)
    for row, length in enumerate(LENGTHS):
        if length and row != 1:  # episode 1 is paid at the end of its second row
            rewards[row, length - 1] = returns[row]
    turns = torch.zeros(ROWS, WIDTH, dtype=torch.long)
    turns[3] = 1
    for stat in sorted((s for s in requires if isinstance(s, LogitStatistic)), key=repr):
        stats.setdefault(stat, -noise().abs() - 0.1)
        if not stat.current:
            stats[stat.now()] = stats[stat] + spread * noise()
    hidden = mask == 0
    prompts = torch.where(torch.arange(5) == 0, float("nan"), -noise()[:, :5].abs())
    spans = torch.tensor([row + [-1] * (WIDTH - len(row)) for row in SPANS])
    per_row = torch.tensor([ANCHORS]).T.expand(ROWS, WIDTH)
    return Batch(
        mask_BT=mask,
        groups_B=torch.tensor(GROUPS),
        episodes_B=torch.tensor(EPISODES),
        returns_B=returns,
        turns_BT=torch.where(hidden, -1, turns),
        rewards_BT=torch.where(hidden, float("nan"), rewards),
        truncated_B=torch.tensor([row == 2 for row in range(ROWS)]),
        ids_BT=torch.randint(0, 50, (ROWS, WIDTH), generator=random),
        spans_BT=torch.where(hidden, -1, spans),
        given_BN=torch.tensor(GIVEN),
        anchors_BT=torch.where(hidden, -1, per_row),
        observations_BT=torch.where(hidden, -1, per_row % len(TEXTS)),
        answers_B=torch.tensor(ANSWERS),
        texts=TEXTS,
        invalid_BT=(turns == 1) & ~hidden,
        unreadable_B=torch.tensor([row == 5 for row in range(ROWS)]),
        components={"success": (returns > 0.9).double(), "score": returns / 2},
        sources_B=torch.zeros(ROWS, dtype=torch.long),
        prompt_logprobs_BP=prompts,
        token_text=lambda token: f" word{token}",
        step=3,
        steps=20,
        stats={name: torch.where(hidden, float("nan"), value) for name, value in stats.items()},
    )


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    return build


def with_gradients(batch: Batch) -> Batch:
    """Return a copy whose current statistics are leaves with a gradient, NaN where masked."""
    hidden = ~batch.valid_BT
    fresh = {
        name: value.detach().masked_fill(hidden, float("nan")).requires_grad_()
        for name, value in batch.stats.items()
        if name.current and name is not Stat.ENTROPY
    }
    return batch.with_stats(fresh)


def draws() -> torch.Generator:
    """Return the generator that slots draw from; fresh, so equal batches draw alike."""
    return torch.Generator().manual_seed(0)


def value_and_gradients(
    algorithm: Algorithm,
    batch: Batch,
    normaliser: Normaliser | None = None,
    prepared: Mapping[object, Any] | None = None,
) -> tuple[torch.Tensor, dict[Stat, torch.Tensor]]:
    """Return the loss of `batch` (advantages known) and its gradient by statistic."""
    batch = with_gradients(batch)
    normaliser = normaliser or Normaliser.of(batch.mask_BT)
    loss = policy_loss(algorithm, batch, normaliser, generator=draws(), prepared=prepared).value
    names = [name for name in batch.stats if batch.stats[name].requires_grad]
    leaves = [batch.stats[name] for name in names]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    found = zip(names, leaves, gradients, strict=True)
    return loss.detach(), {n: torch.zeros_like(x) if g is None else g for n, x, g in found}


@pytest.fixture
def evaluate() -> Callable[..., tuple[torch.Tensor, dict[Stat, torch.Tensor]]]:
    return value_and_gradients


@pytest.fixture
def advantages_of() -> Callable[[Algorithm, Batch], torch.Tensor]:
    return lambda algorithm, batch: estimate_advantages(algorithm, batch).advantages
