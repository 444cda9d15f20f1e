"""Advantages for the best of k answers instead of a single one.

n episodes of a group, c of them correct; S_j their returns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agentrl.algorithms.advantages.group import spread
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.checks import in_range, one_of
from agentrl.algorithms.combinations import reject_normalising
from agentrl.algorithms.episodes import counted_rows, group_statistics, group_sum
from agentrl.algorithms.rewards.labels import Truth
from agentrl.algorithms.slots import RunFacts
from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.algorithms.algorithm import Algorithm


def pass_at_k_advantages(
    samples: int, correct: int, k: int, epsilon: float = 1e-6
) -> tuple[float, float, float]:
    """Return (advantage of a correct episode, of a wrong one, pass rate) of a group.

    rho = 1 - C(n-c, k) / C(n, k),  sigma = sqrt(rho (1 - rho)),
    A+ = (1 - rho) / (sigma + epsilon),
    A- = (1 - rho - C(n-c-1, k-1) / C(n-1, k-1)) / (sigma + epsilon).

    Both are 0 where no set of k fails (n - c < k) or none succeeds (c = 0).

    Args:
        samples: n.
        correct: c.
        k: size of the sets, at least 1.
        epsilon: added to sigma.
    """
    if correct == 0:
        return 0.0, 0.0, 0.0
    if samples - correct < k:
        return 0.0, 0.0, 1.0
    failing = math.comb(samples - correct, k) / math.comb(samples, k)
    others = math.comb(samples - correct - 1, k - 1) / math.comb(samples - 1, k - 1)
    sigma = math.sqrt((1 - failing) * failing) + epsilon
    return failing / sigma, (failing - others) / sigma, 1 - failing


@dataclass(frozen=True, slots=True, kw_only=True)
class PassAtK:
    """Expected advantage of an episode in a random set of k whose reward is its best episode.

    The advantages of the sets are normalised over all sets of the group; see
    `pass_at_k_advantages`.  k = 1 is GRPO with the population deviation.

    Source: Pass@k Training (arXiv 2508.10751), analytical form;
    RUCAIBox/Passk_Training:code/passk_adv.py.  That code leaves rewards other than 0 and 1 as they
    are; here they are an error.

    Attributes:
        k: size of the sets.
        component: number of the episode that says whether it is correct, such as `success`; None
            reads the return.  It must be 0 or 1.
        epsilon: added to sigma.
        allow_self_labels: let a reward made from the model's own answers say what is correct.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    needs_truth: ClassVar[bool] = True
    k: int = 4
    component: str | None = None
    epsilon: float = 1e-6
    allow_self_labels: bool = False

    def __post_init__(self) -> None:
        in_range("k", self.k, 1)
        in_range("epsilon", self.epsilon, 0)

    def check(self, algorithm: Algorithm) -> None:
        """Refuse self-labels, further normalisation and shaped returns."""
        Truth(allow_self_labels=self.allow_self_labels).check(self, algorithm)
        reject_normalising(algorithm, self)
        if algorithm.reward_shaping and self.component is None:
            shaping = ", ".join(type(step).__name__ for step in algorithm.reward_shaping)
            raise ConfigError(
                f"PassAtK reads returns that are 0 or 1, and `reward_shaping` ({shaping}) changes "
                "them; leave it out, or set `component`, for example to success."
            )

    def check_run(self, facts: RunFacts) -> None:
        """Refuse groups that are smaller than a set."""
        if facts.group_size < self.k:
            raise ConfigError(
                f"`k` is {self.k}, but a group has {facts.group_size} episodes, so every advantage "
                "would be 0; choose a smaller `k` or larger groups."
            )

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages; raises `ConfigError` for a reward other than 0 and 1."""
        named = batch.returns_B if self.component is None else batch.component(self.component)
        counted_B = counted_rows(batch)
        solved_B = _binary(named, batch.valid_BT.any(-1), self.component)
        samples_B = group_sum(batch.groups_B, counted_B.long())
        correct_B = group_sum(batch.groups_B, (counted_B & solved_B).long())
        pairs, index_B = torch.unique(
            torch.stack([samples_B, correct_B], -1), dim=0, return_inverse=True
        )
        known = [pass_at_k_advantages(n, c, self.k, self.epsilon) for n, c in pairs.tolist()]
        table = torch.tensor(known, dtype=torch.float64, device=index_B.device).reshape(-1, 3)
        ahead_B, behind_B, _ = table[index_B].unbind(-1)
        return spread(batch, torch.where(solved_B, ahead_B, behind_B))


def _binary(values_B: Tensor, live_B: Tensor, component: str | None) -> Tensor:
    """Return bool [B]: the value is 1; False in rows without a valid token."""
    odd_B = live_B & (values_B != 0) & (values_B != 1)
    if odd_B.any():
        what = "a return" if component is None else f"the component {component!r}"
        raise ConfigError(
            f"Pass@k training counts correct episodes, so rewards must be 0 or 1, but {what} is "
            f"{float(values_B[odd_B][0]):g}; set `component` to a number that the environment "
            "reports as 0 or 1 (for example success), or use another algorithm."
        )
    return live_B & (values_B == 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestMinusSecond:
    """The best episode of a group gets its lead over the second best, all others 0.

    `(R_max - R_second) / (sigma_g + epsilon)`; where several are best, and in a group with one
    counted episode, every advantage is 0.

    Source: verl-project/verl:verl/trainer/ppo/core_algos.py,
    `compute_grpo_passk_outcome_advantage`, after Optimizing Language Models for Inference Time
    Objectives using Reinforcement Learning (arXiv 2503.19595).

    Attributes:
        scale: `group` divides by the unbiased deviation of the group, `none` by 1.
        epsilon: added to the deviation.
    """

    requires: ClassVar[frozenset[Stat]] = frozenset()
    scale: str = "group"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        one_of("scale", self.scale, ("group", "none"))
        in_range("epsilon", self.epsilon, 0)

    def check(self, algorithm: Algorithm) -> None:
        """Refuse further normalisation."""
        reject_normalising(algorithm, self)

    def __call__(self, batch: Batch) -> Batch:
        """Set the advantages."""
        returns_B, counted_B = batch.returns_B.double(), counted_rows(batch)
        live_B = batch.valid_BT.any(-1)
        best_B = group_max(batch.groups_B, returns_B, counted_B)
        top_B = live_B & (returns_B == best_B)
        bests_B = group_sum(batch.groups_B, (counted_B & top_B).long())
        second_B = group_max(batch.groups_B, returns_B, counted_B & ~top_B)
        lone_B = (bests_B > 1) | second_B.isinf()
        lead_B = torch.where(top_B & ~lone_B, best_B - second_B, 0.0)
        if self.scale == "group":
            lead_B = lead_B / (group_statistics(batch, returns_B).std_B + self.epsilon)
        return spread(batch, lead_B)


def group_max(groups_B: Tensor, values_B: Tensor, chosen_B: Tensor) -> Tensor:
    """Return the largest of the chosen values of each row's group [B]; -inf where none is."""
    unique, index_B = torch.unique(groups_B, return_inverse=True)
    values_B = torch.where(chosen_B, values_B, -math.inf)
    most = values_B.new_full((len(unique),), -math.inf)
    return most.scatter_reduce(0, index_B, values_B, "amax")[index_B]
