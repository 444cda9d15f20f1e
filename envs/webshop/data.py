"""Getting, checking and preparing the WebShop data, for `agentrl data webshop`."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from agentrl.envs.building import build_once
from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.colors import OWN_COLORS
from agentrl.envs.webshop.locate import published_catalogue, write_published
from agentrl.envs.webshop.sources import COLORS_NAME, HUMAN_NAMES, NAMES, complete, find_sources
from agentrl.envs.webshop.store import META
from agentrl.errors import DataError

KNOWN_COUNTS = {"1k": (1000, 6910)}
"""Catalogue to its products and synthetic goals, as everyone has them."""

_INSTRUCTIONS = f"""\
WebShop's products are not part of AgentRL. They come with the original's repository,
https://github.com/princeton-nlp/WebShop, whose `setup.sh` names the drive ids:

  1,000 products   {", ".join(NAMES["1k"])}
  1.18 million     {", ".join(NAMES["full"])}   (5.2 GB)
  human goals      {HUMAN_NAMES[0]}

Put the files, plain or as .gz, into one directory. Human goals are optional. The colour words that
the reward compares options with are in the repository's web_agent_site/engine/normalize.py
(COLOR_SET); write them, in order, as a JSON list to `{COLORS_NAME}` in the same directory. Without
it a list of our own serves, and scores of some purchases differ.

Then either set `data_dir` (or AGENTRL_DATA) to the directory: what is needed is prepared in the
cache on first use, in seconds for 1,000 products. Or prepare it now, into the usual place:

  agentrl data webshop --from DIRECTORY

A shop that needs no data: catalogue="generated"."""


def instructions() -> str:
    """Return where the files come from and what to do with them."""
    return _INSTRUCTIONS


def check(path: Path) -> list[str]:
    """Return what is in a directory of published or prepared files, one line per catalogue.

    Raises:
        DataError: there is no usable catalogue in it.
    """
    names = [name for name in NAMES if _is_prepared(path, name)]
    names += [name for name in complete(path) if name not in names]
    if not names:
        raise DataError(
            f"There is no WebShop catalogue in {str(path)!r}: neither "
            f"{' and '.join(NAMES['1k'])} nor a prepared folder."
        )
    return [_describe(name, published_catalogue(name, str(path))) for name in sorted(names)]


def prepare(source: Path, target: Path) -> list[str]:
    """Make the memory-mapped form of every catalogue in `source`, replacing what is there.

    Args:
        source: directory of published files.
        target: gets one folder per catalogue.

    Raises:
        DataError: files are missing or damaged.
    """
    names = complete(source)
    if not names:
        find_sources(source, "1k")  # says which file is missing
    lines = []
    for name in names:
        sources = find_sources(source, name)
        if (target / name).is_dir():
            shutil.rmtree(target / name)
        build_once(target / name, partial(write_published, sources=sources))
        lines.append(f"prepared {str(target / name)!r}")
    return lines


def _is_prepared(path: Path, name: str) -> bool:
    return (path / name / META).is_file() or (name == path.name and (path / META).is_file())


def _describe(name: str, catalogue: Catalogue) -> str:
    goals = {human: len(catalogue.goals(human, 42, 233)) for human in (False, True)}
    colors = "our own colour words" if catalogue.colors == OWN_COLORS else "its colour words"
    line = (
        f"{name}: {len(catalogue)} products, {goals[False]} synthetic and {goals[True]} human "
        f"goals, {colors}, digest {catalogue.digest[:16]}"
    )
    known = KNOWN_COUNTS.get(name, (len(catalogue), goals[False]))
    if known != (len(catalogue), goals[False]):
        line += f"; the published one has {known[0]} products and {known[1]} synthetic goals"
    return line
