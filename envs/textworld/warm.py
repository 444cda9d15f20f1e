"""Importing this module parses TextWorld's logic files (0.3 s), which every game would do anew.

A process that workers are forked from imports it once for all of them.
"""

from __future__ import annotations

from textworld.generator.data import KnowledgeBase

import agentrl.envs.textworld.facts  # noqa: F401 (the import is the purpose)
from agentrl.envs.textworld.games import GameSpec
from agentrl.envs.textworld.generation import generate

for _kind, _level in (("coin_collector", 1), ("treasure_hunter", 1)):
    # Reading a game parses the logic stored in it; the parser keeps what it has parsed.
    KnowledgeBase.deserialize(generate(GameSpec.of(_kind, 0, {"level": _level})).kb.serialize())
