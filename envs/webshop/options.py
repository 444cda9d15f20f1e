"""The options of a WebShop episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.generator import STYLES
from agentrl.envs.webshop.goals import GoalSet
from agentrl.envs.webshop.locate import generated_catalogue, published_catalogue
from agentrl.envs.webshop.reward import TYPE_MODES
from agentrl.errors import ConfigError, unknown_name

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
            if getattr(self, name) not in accepted:
                raise unknown_name(f"WebShop `{name}`", str(getattr(self, name)), accepted)
        for name in ("max_steps", "results_per_page"):
            _check_integer(name, getattr(self, name), 1)
        if self.size is not None:
            _check_integer("size", self.size, 1)
        if self.goal is not None:
            _check_integer("goal", self.goal, 0)
        for name in ("price_seed", "goal_seed", "catalogue_seed"):
            _check_integer(name, getattr(self, name), 0)
        for name in ("human_goals", "show_attrs", "expert"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"`{name}` must be true or false; got {getattr(self, name)!r}.")
        if isinstance(self.win_reward, bool) or not isinstance(self.win_reward, int | float):
            raise ConfigError(f"`win_reward` must be a number; got {self.win_reward!r}.")
        if self.catalogue == "generated" and self.human_goals:
            raise ConfigError("A generated catalogue has no human goals; drop `human_goals`.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Options:
        """Make options of a mapping.

        Raises:
            UnknownNameError: an option or value that does not exist, with the nearest one.
            ConfigError: a value of the wrong type or out of range.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise unknown_name("option of agentrl/WebShop-v0", name, known)
        return cls(**values)

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


def _check_integer(name: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise ConfigError(f"`{name}` must be an integer of at least {least}; got {value!r}.")
