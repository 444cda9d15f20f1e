"""Importing this module parses TextWorld's logic, which every process would do at its first games.

A process that workers are forked from imports it once for all of them: 0.7 s, on top of the second
that TextWorld's own import takes.
"""

from __future__ import annotations

import glob
from pathlib import Path

from textworld.challenges.tw_coin_collector import coin_collector
from textworld.challenges.tw_treasure_hunter import treasure_hunter
from textworld.logic import GameLogic

import agentrl.envs.textworld.facts  # noqa: F401 (the import is the purpose)


def parse_stored_logic(folder: str) -> None:
    """Parse a challenge's logic in the form its game files hold it; the parser keeps the result."""
    paths = glob.glob(f"{folder}/logic/*.twl")  # in the order TextWorld reads them
    GameLogic.parse("".join(Path(path).read_text() + "\n" for path in paths))


for _challenge in (coin_collector, treasure_hunter):
    parse_stored_logic(_challenge.KB_PATH)
