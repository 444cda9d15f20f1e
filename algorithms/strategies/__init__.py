"""Rollout strategies: how the rows of a prompt come about.

Each is a frozen value with pure decision functions; a scheduler follows it.
"""

from agentrl.algorithms.strategies.strategy import Fork, Need, RolloutStrategy

__all__ = ["Fork", "Need", "RolloutStrategy"]
