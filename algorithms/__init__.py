"""Reinforcement-learning algorithms as values: each fills the slots of `Algorithm`.

algorithm = get("grpo", kl_coefficient=0.0)
batch = estimate_advantages(algorithm, batch)          # once per update
normaliser = Normaliser.of(batch.mask_BT)              # all processes together
loss = policy_loss(algorithm, micro_batch, normaliser) # per micro-batch; values add up
"""

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.batch import Batch, Normaliser, Stat
from agentrl.algorithms.estimate import estimate_advantages
from agentrl.algorithms.loss import Loss, policy_loss, prepare
from agentrl.algorithms.metrics import Metric, combine, report
from agentrl.algorithms.registry import get, listing, names, register, settings

__all__ = [
    "Algorithm",
    "Batch",
    "Loss",
    "Metric",
    "Normaliser",
    "Stat",
    "combine",
    "estimate_advantages",
    "get",
    "listing",
    "names",
    "policy_loss",
    "prepare",
    "register",
    "report",
    "settings",
]
