"""The options of a TextWorld episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from agentrl.envs.options import check_choice, check_integer, check_name
from agentrl.envs.textworld.games import BACKENDS, KINDS, GameSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `reset(options=...)` accepts, together with the settings of the game kind."""

    kind: str = "coin_collector"
    """`coin_collector`, `treasure_hunter`, `cooking` or `simple`."""
    backend: Literal["facts", "prose"] = "facts"
    """`facts`: TextWorld's logic, short observations; `prose`: the compiled Inform 7 game."""
    max_steps: int = 50
    """Agent steps after which the episode is truncated."""
    objective: Literal["short", "full"] = "short"
    """`info["task"]`: a goal sentence, or TextWorld's own text, which may spell out the route."""
    expert: bool = False
    """Put `expert_action`, the next command of TextWorld's policy, into `info`."""
    game_file: str | None = None
    """Play this file instead of a generated game."""
    game_sha256: str | None = None
    """Refuse the file if its content has another SHA-256."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the kind, see `games.KINDS`."""

    def __post_init__(self) -> None:
        check_choice("TextWorld", "kind", self.kind, KINDS)
        check_choice("TextWorld", "backend", self.backend, BACKENDS)
        check_choice("TextWorld", "objective", self.objective, ("short", "full"))
        check_integer("max_steps", self.max_steps)
        GameSpec.of(self.kind, 0, self.settings)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Options:
        """Sort flat options into our own and the kind's settings, and check them.

        Raises:
            UnknownNameError: an option or value that does not exist, with the nearest one.
            ConfigError: a value of the wrong type or out of range.
        """
        own = {f.name for f in fields(cls)} - {"settings"}
        kind = values.get("kind", "coin_collector")
        check_choice("TextWorld", "kind", kind, KINDS)
        for name in values:
            check_name(f"a TextWorld {kind!r} task", name, [*own, *KINDS[kind].defaults])
        settings = {name: value for name, value in values.items() if name not in own}
        chosen = {name: value for name, value in values.items() if name in own}
        return cls(**chosen, settings=settings)

    def spec(self, seed: int) -> GameSpec:
        """Return the game these options and a seed describe."""
        return GameSpec.of(self.kind, seed, self.settings)
