"""The learner: model and optimiser; turns forests into packed tree micro-batches and steps."""

from agentrl.learner.learner import Learner
from agentrl.learner.settings import LearnerSettings

__all__ = ["Learner", "LearnerSettings"]
