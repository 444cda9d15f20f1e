"""ALFWorld: household tasks as text, on the published games or generated ones."""

from agentrl.envs.alfworld.env import ALFWorldEnv
from agentrl.envs.alfworld.generated import generated_game
from agentrl.envs.alfworld.layouts import SPLITS, TASK_TYPES
from agentrl.envs.alfworld.options import Options
from agentrl.envs.alfworld.panels import alfworld_panel, prepare_panel

__all__ = [
    "SPLITS",
    "TASK_TYPES",
    "ALFWorldEnv",
    "Options",
    "alfworld_panel",
    "generated_game",
    "prepare_panel",
]
