"""Rollout strategies: how the rows of a prompt come about.

Each is a frozen value with pure decision functions; a scheduler follows it.
"""

from agentrl.algorithms.strategies.branching import Branching
from agentrl.algorithms.strategies.cure import Cure
from agentrl.algorithms.strategies.drpo import Drpo
from agentrl.algorithms.strategies.ettrl import Ettrl
from agentrl.algorithms.strategies.fixed import FixedBranching
from agentrl.algorithms.strategies.hapo_sampler import HapoSampler
from agentrl.algorithms.strategies.strategy import (
    Fork,
    ForkStrategy,
    Need,
    RolloutStrategy,
    SizedStrategy,
    for_budget,
)

__all__ = [
    "Branching",
    "Cure",
    "Drpo",
    "Ettrl",
    "FixedBranching",
    "Fork",
    "ForkStrategy",
    "HapoSampler",
    "Need",
    "RolloutStrategy",
    "SizedStrategy",
    "for_budget",
]
