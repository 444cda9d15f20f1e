"""Everything the conformance suite has to find: importing this registers all of it."""

import tests.envs.broken_episodes
import tests.envs.broken_tasks  # noqa: F401 (registers)
from tests.envs.sound import FAULTS, Sound

__all__ = ["FAULTS", "Sound"]
