"""Which TextWorld game is meant: its kind, settings and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrl.envs.textworld.cache import textworld_version
from agentrl.errors import ConfigError, unknown_name

JSON = Any

BACKENDS = ("facts", "prose")
"""`facts`: TextWorld's logic alone, short observations.  `prose`: the compiled Inform 7 game."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of TextWorld's challenges.

    Attributes:
        challenge: TextWorld's name for it (as in `tw-make`).
        defaults: every setting with its default.
    """

    challenge: str
    defaults: Mapping[str, JSON]


KINDS: Mapping[str, Kind] = {
    "coin_collector": Kind("tw-coin_collector", {"level": 103}),
    "treasure_hunter": Kind("tw-treasure_hunter", {"level": 3}),
    "cooking": Kind(
        "tw-cooking",
        {
            "recipe": 1,
            "take": 1,
            "go": 1,
            "open": False,
            "cook": False,
            "cut": False,
            "drop": False,
            "recipe_seed": 0,
            "food_split": None,
        },
    ),
    "simple": Kind("tw-simple", {"rewards": "dense", "goal": "detailed", "test": False}),
}


@dataclass(frozen=True, slots=True)
class GameSpec:
    """A game that the generator can make.

    Attributes:
        kind: a key of `KINDS`.
        settings: all settings of the kind.
        seed: the generator's seed; the same spec always gives the same game.
    """

    kind: str
    settings: Mapping[str, JSON]
    seed: int

    @classmethod
    def of(cls, kind: str, seed: int, settings: Mapping[str, JSON]) -> GameSpec:
        """Check the settings and fill in the defaults.

        Raises:
            UnknownNameError: unknown kind, or a setting the kind does not have.
            ConfigError: a setting of another type than its default.
        """
        if kind not in KINDS:
            raise unknown_name("TextWorld game kind", kind, KINDS)
        defaults = KINDS[kind].defaults
        for name, value in settings.items():
            if name not in defaults:
                raise unknown_name(f"setting of TextWorld kind {kind!r}", name, defaults)
            _check_type(kind, name, value, defaults[name])
        return cls(kind, {**defaults, **settings}, int(seed))

    @property
    def key(self) -> str:
        """File name of the game in the cache: kind and a hash of all that determines it."""
        content = json.dumps([self.kind, dict(self.settings), self.seed], sort_keys=True)
        digest = hashlib.sha256(f"{textworld_version()} {content}".encode()).hexdigest()
        return f"{self.kind}-{digest[:20]}"

    @property
    def label(self) -> str:
        """Readable name, used as task id: only settings that differ from the defaults, and seed."""
        defaults = KINDS[self.kind].defaults
        changed = [
            str(value) if name == "level" else f"{name}={value}"
            for name, value in self.settings.items()
            if name == "level" or value != defaults[name]
        ]
        return "-".join([self.kind, *changed, str(self.seed)])

    @property
    def task_type(self) -> str:
        """Kind and level, the label for metrics per type."""
        level = self.settings.get("level")
        return self.kind if level is None else f"{self.kind}-{level}"

    def to_json(self) -> JSON:
        """Return the spec as a JSON list."""
        return [self.kind, dict(self.settings), self.seed]


def _check_type(kind: str, name: str, value: JSON, default: JSON) -> None:
    expected = str if default is None else type(default)
    if value is None and default is None:
        return
    if type(value) is not expected:
        raise ConfigError(
            f"`{name}` of TextWorld kind {kind!r} must be of type {expected.__name__}; "
            f"got {value!r}."
        )
