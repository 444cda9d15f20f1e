"""Batches of given returns, for the families that re-weight and thin out advantages."""

from __future__ import annotations

from dataclasses import replace

import torch

from agentrl.algorithms import Algorithm, Batch, Stat, estimate_advantages


def batch_of(returns, groups, lengths=None, seed=0, **fields):
    """Return one row per episode, with random statistics and NaN where masked."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(lengths or [4] * len(returns))
    mask = (torch.arange(max(int(lengths.max()), 1)) < lengths.unsqueeze(-1)).double()

    def noise():
        values = torch.rand(mask.shape, generator=random, dtype=torch.float64) + 0.1
        return torch.where(mask > 0, values, float("nan"))

    returns = torch.tensor(returns, dtype=torch.float64)
    prompts = -torch.rand(len(returns), 5, generator=random, dtype=torch.float64)
    prompts[:, 0] = float("nan")
    batch = Batch(
        mask_BT=mask,
        groups_B=torch.tensor(groups),
        episodes_B=torch.arange(len(returns)),
        returns_B=returns,
        turns_BT=torch.where(mask > 0, torch.arange(mask.shape[1]) // 2, -1),
        components={"first": returns, "second": returns.roll(1)},
        prompt_logprobs_BP=prompts,
        stats={Stat.OLD_LOGPROBS: -noise(), Stat.OLD_ENTROPY: noise()},
    )
    return replace(batch, **fields)


def of(slot, batch, *transforms):
    """Return the advantages of an estimator, or of GRPO after a transform."""
    algorithm = Algorithm(name="test", advantage=slot, transforms=transforms)
    return estimate_advantages(algorithm, batch).advantages


RETURNS = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
GROUPS = [3, 3, 3, 3, 5, 5, 5, 5, 8, 8, 8, 8]
LENGTHS = [4, 2, 3, 1, 4, 4, 2, 3, 1, 4, 2, 3]
