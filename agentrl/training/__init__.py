"""The training loop and what it leaves behind: checkpoints, metrics, report."""

from agentrl.training.trainer import Trainer, train

__all__ = ["Trainer", "train"]
