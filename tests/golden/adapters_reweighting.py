"""Advantages that are re-weighted, normalised in other ways, or thinned out."""

from __future__ import annotations

import torch
from torch import Tensor

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch
from agentrl.algorithms.beta import BetaNormalised
from agentrl.algorithms.estimate import estimate_advantages
from agentrl.algorithms.pass_at_k import BestMinusSecond, PassAtK, pass_at_k_advantages
from agentrl.algorithms.slots import BatchStep
from tests.golden.case import Adapter, Case, Result


def episodes(
    rewards: Tensor, groups: Tensor | None = None, lengths: Tensor | None = None, width: int = 0
) -> Batch:
    """Build a batch of one row per episode; one group and one token each unless told."""
    rows = torch.arange(len(rewards))
    lengths = torch.ones_like(rows) if lengths is None else lengths.long()
    mask = (torch.arange(max(width, int(lengths.max()))) < lengths.unsqueeze(-1)).double()
    return Batch(
        mask_BT=mask,
        groups_B=torch.zeros_like(rows) if groups is None else groups,
        episodes_B=rows,
        returns_B=rewards,
        turns_BT=torch.zeros_like(mask).long(),
    )


def advantages(batch: Batch, step: BatchStep, *transforms: BatchStep) -> Tensor:
    """Return the advantages [B, T]."""
    algorithm = Algorithm(name="golden", advantage=step, transforms=transforms)
    return estimate_advantages(algorithm, batch).advantages


def _of_case(case: Case, rewards: str = "rewards") -> Batch:
    groups = case.ids("group") if "group" in case.inputs else None
    lengths = case.tensor("lengths") if "lengths" in case.inputs else None
    width = int(case.inputs.get("max_len", 0))
    return episodes(case.tensor(rewards), groups, lengths, width)


def pass_at_k(case: Case) -> Result:
    """The analytical form, for one group."""
    step = PassAtK(k=case.config["k"], epsilon=float(case.config.get("eps", 1e-6)))
    batch = _of_case(case)
    correct = int(batch.returns_B.sum())
    _, _, rho = pass_at_k_advantages(len(batch.returns_B), correct, step.k)
    return Result({"advantage": advantages(batch, step)[:, 0], "rho": rho})


def best_minus_second(case: Case) -> Result:
    """verl's estimator of the same name."""
    scale = "group" if case.config.get("norm_adv_by_std_in_grpo", True) else "none"
    step = BestMinusSecond(scale=scale, epsilon=float(case.config.get("epsilon", 1e-6)))
    return Result({"advantage": advantages(_of_case(case), step)[:, 0]})


def bnpo(case: Case) -> Result:
    """One reward."""
    low, high = float(case.config["min_value"]), float(case.config["max_value"])
    found = advantages(_of_case(case), BetaNormalised(low=low, high=high, lone="raw"))
    return Result({"advantages": found, "seq_advantage": found[:, 0]})


def bnpo_components(case: Case) -> Result:
    """Several rewards and their mean."""
    names = case.config["components"]
    batch = _of_case(case, names[0])
    batch.components = {name: case.tensor(name) for name in names}
    low, high = float(case.config.get("min_value", 0)), float(case.config.get("max_value", 1))

    def found(*chosen: str) -> Tensor:
        step = BetaNormalised(low=low, high=high, components=chosen, lone="raw")
        return advantages(batch, step)[:, 0]

    return Result(
        {"per_component": torch.stack([found(name) for name in names]), "advantage": found(*names)}
    )


ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("passk", "analytical_advantage"): pass_at_k,
    ("passk", "best_minus_second_verl"): best_minus_second,
    ("bnpo", "outcome_advantage"): bnpo,
    ("bnpo", "advantage_decomposition"): bnpo_components,
}
