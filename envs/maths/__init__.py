"""Problems of mathematics, answered in one turn."""

from agentrl.envs.maths.env import MathEnv

__all__ = ["MathEnv"]
