"""Playing episodes: a pool of environment processes, policies, and a scheduler over both."""

from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.policy import EpisodeKey, ExpertPolicy, ModelPolicy, Policy
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvHandle, EnvPool

__all__ = [
    "EnvHandle",
    "EnvPool",
    "EpisodeKey",
    "EpisodeSettings",
    "ExpertPolicy",
    "ModelPolicy",
    "Policy",
    "RolloutScheduler",
]
