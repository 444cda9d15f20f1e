"""ScienceWorld: 30 elementary science tasks, played by the `scienceworld` package on Java."""

from agentrl.envs.scienceworld.env import ScienceWorldEnv
from agentrl.envs.scienceworld.options import SIMPLIFICATIONS, Options
from agentrl.envs.scienceworld.panels import SPLIT_SCHEMES, scienceworld_panel
from agentrl.envs.scienceworld.prompts import PROMPTS
from agentrl.envs.scienceworld.tasks import TASKS, ScienceTask, find_task

__all__ = [
    "PROMPTS",
    "SIMPLIFICATIONS",
    "SPLIT_SCHEMES",
    "TASKS",
    "Options",
    "ScienceTask",
    "ScienceWorldEnv",
    "find_task",
    "scienceworld_panel",
]
