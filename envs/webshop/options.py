"""The options of a WebShop episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrl.envs.options import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    read_options,
)
from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.generator import STYLES
from agentrl.envs.webshop.goals import GoalSet
from agentrl.envs.webshop.locate import generated_catalogue, published_catalogue
from agentrl.envs.webshop.reward import TYPE_MODES
from agentrl.errors import ConfigError

CHOICES: Mapping[str, tuple[str, ...]] = {
    "catalogue": ("1k", "full", "generated"),
    "style": tuple(STYLES),
    "observation": ("text", "text_rich"),
    "reward": ("won", "score"),
    "r_type_mode": TYPE_MODES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `reset(options=...)` accepts."""

    catalogue: str = "1k"
    """`1k`: 1,000 products, `full`: 1.18 million, `generated`: made here, without any data."""
    data_dir: str | None = None
    """Folder with the published files, or one that `agentrl data webshop` prepared."""
    style: str = "shop"
    """Of a generated catalogue: `shop`, or `tiny` with short texts for small models."""
    size: int | None = None
    """Products of a generated catalogue; by default 200, in style `tiny` 48."""
    catalogue_seed: int = 0
    """Of a generated catalogue."""
    human_goals: bool = False
    """Goals written by people instead of the synthetic ones."""
    goal: int | None = None
    """Position in the shuffled goals; by default one is drawn by weight with the reset's seed."""
    digest: str | None = None
    """Refuse the goal if it, or the catalogue, has another digest (see `task_digest`)."""
    price_seed: int = 42
    """Of the draws of prices and price limits."""
    goal_seed: int = 233
    """Of the shuffle of the goals."""
    observation: str = "text"
    """`text`: pieces joined by ` [SEP] `; `text_rich`: one a line, buttons marked."""
    show_attrs: bool = False
    """Item pages have a button `Attributes`, which shows what the reward compares."""
    results_per_page: int = 10
    """Products on a page of results; the original has 10."""
    reward: str = "won"
    """`won`: `win_reward` for a perfect purchase; `score`: the score of the purchase."""
    win_reward: float = 10.0
    """Reward of a perfect purchase (score exactly 1) with `reward: won`."""
    r_type_mode: str = "heuristic"
    """How the sort of product is judged; see `reward.judge`."""
    max_steps: int = 15
    """Agent steps after which the episode is truncated."""
    expert: bool = False
    """Put `expert_action` into `info`."""

    def __post_init__(self) -> None:
        for name, accepted in CHOICES.items():
            check_choice("WebShop", name, getattr(self, name), accepted)
        for name in ("max_steps", "results_per_page"):
            check_integer(name, getattr(self, name))
        check_integer("size", self.size, optional=True)
        check_integer("goal", self.goal, least=0, optional=True)
        for name in ("price_seed", "goal_seed", "catalogue_seed"):
            check_integer(name, getattr(self, name), least=0)
        for name in ("human_goals", "show_attrs", "expert"):
            check_flag(name, getattr(self, name))
        check_number("win_reward", self.win_reward)
        if self.catalogue == "generated" and self.human_goals:
            raise ConfigError("A generated catalogue has no human goals; drop `human_goals`.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Options:
        """Make options of a mapping.

        Raises:
            UnknownNameError: an option or value that does not exist, with the nearest one.
            ConfigError: a value of the wrong type or out of range.
        """
        return read_options(cls, values, "WebShop")

    def open_catalogue(self) -> Catalogue:
        """Open the catalogue these options name, preparing it on first use.

        Raises:
            DataError: the data are missing or damaged.
        """
        if self.catalogue == "generated":
            size = self.size or STYLES[self.style]
            return generated_catalogue(size, self.catalogue_seed, self.style)
        return published_catalogue(self.catalogue, self.data_dir)

    def goals(self, catalogue: Catalogue) -> GoalSet:
        """Return the shuffled goals these options name."""
        return catalogue.goals(self.human_goals, self.price_seed, self.goal_seed)
