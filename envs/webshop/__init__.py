"""WebShop: find and buy the product that an instruction asks for."""

from agentrl.envs.webshop.env import WebShopEnv
from agentrl.envs.webshop.options import Options
from agentrl.envs.webshop.panels import webshop_panel
from agentrl.envs.webshop.prompts import PROMPTS

__all__ = ["PROMPTS", "Options", "WebShopEnv", "webshop_panel"]
