"""Making games with TextWorld's generator, without the work that is not needed.

As shipped, `textworld.challenges` compiles a coin-collector, simple or cooking game with Inform 7
only to play its walkthrough once (0.7 of 1.1 s), parses its logic files anew for every game (0.4 s)
and its text grammars in every process (3.5 s).  `lean_generator` replaces all three from outside:
the walkthrough is played on TextWorld's own game logic, parsed logic is kept, and parsed grammars
are stored with the games.  The games are byte-identical (a test compares their serialised form),
which is only promised for TextWorld 1.7; other versions are left alone.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import textworld
import textworld.challenges
from textworld.challenges import CHALLENGES
from textworld.generator import GenerationWarning, QuestGenerationError
from textworld.generator.data import KnowledgeBase
from textworld.generator.game import Game, GameProgression
from textworld.generator.inform7 import Inform7Game
from textworld.generator.maker import GameMaker
from textworld.textgen import TextGrammar

from agentrl.envs.textworld.cache import cache_directory
from agentrl.envs.textworld.games import KINDS, GameSpec
from agentrl.errors import ConfigError

LEAN_VERSIONS = ("1.7.",)
"""TextWorld versions whose generator may be sped up."""


def generate(spec: GameSpec) -> Game:
    """Make the game of a spec.

    Raises:
        ConfigError: the settings are out of range or no game exists for this seed.
    """
    options = textworld.GameOptions()
    options.seeds = spec.seed
    settings = dict(spec.settings)
    settings["split"] = settings.pop("food_split", None)
    with lean_generator(), warnings.catch_warnings():
        # "Not enough variation": a room gets an adjective, which is as good.
        warnings.simplefilter("ignore", GenerationWarning)
        warnings.filterwarnings("ignore", message="Game .* is not fully supported")
        try:
            return CHALLENGES[KINDS[spec.kind].challenge][1](settings, options)
        except (ValueError, KeyError, AssertionError, QuestGenerationError) as error:
            raise ConfigError(
                f"TextWorld cannot make the game {spec.label!r} with settings "
                f"{dict(spec.settings)} and seed {spec.seed}: {error or type(error).__name__}"
            ) from error


@contextmanager
def lean_generator() -> Iterator[None]:
    """Speed the generator up inside the `with` block (not thread-safe)."""
    if not textworld.__version__.startswith(LEAN_VERSIONS):
        yield
        return
    load, parse = KnowledgeBase.__dict__["load"], TextGrammar.__dict__["parse"]
    set_walkthrough = GameMaker.set_walkthrough

    def played_on_logic(maker: GameMaker, commands: Sequence[str]) -> None:
        if not _set_walkthrough_without_compiling(maker, commands):
            set_walkthrough(maker, commands)

    KnowledgeBase.load = classmethod(_cached_load(load.__func__))
    TextGrammar.parse = classmethod(_stored_parse(parse.__func__))
    GameMaker.set_walkthrough = played_on_logic
    try:
        yield
    finally:
        KnowledgeBase.load, TextGrammar.parse = load, parse
        GameMaker.set_walkthrough = set_walkthrough


@cache
def _cached_load(load: Callable[..., KnowledgeBase]) -> Callable[..., KnowledgeBase]:
    """Return a version of `KnowledgeBase.load` that parses each set of files once."""

    @cache
    def cached(cls: type[KnowledgeBase], *paths: str | None, **named: str) -> KnowledgeBase:
        return load(cls, *paths, **named)

    return cached


def _stored_parse(parse: Callable[..., TextGrammar]) -> Callable[..., TextGrammar]:
    """Return a version of `TextGrammar.parse` that keeps its results in the game cache."""

    def stored(cls: type[TextGrammar], grammar: str, filename: str | None = None) -> TextGrammar:
        name = hashlib.sha256(grammar.encode()).hexdigest()[:20]
        path = cache_directory() / f"grammar-{name}.pickle"
        with suppress(OSError, EOFError, pickle.UnpicklingError):
            return pickle.loads(path.read_bytes())
        parsed = parse(cls, grammar, filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch:
            pickle.dump(parsed, scratch)
        os.replace(scratch.name, path)
        return parsed

    return stored


def _set_walkthrough_without_compiling(maker: Any, commands: Sequence[str]) -> bool:
    """Try to do what `GameMaker.set_walkthrough` does, but on the game logic, not a compiled game.

    A command that the game refuses repeats the previous action in the record, as it does there
    (textworld/envs/wrappers/tw_inform7.py keeps `_last_action`).

    Returns:
        False, with nothing changed, where a command could mean several actions (`prepare meal` in
        cooking games of several ingredients): only the compiled game knows which.
    """
    game = maker.build()
    progression = GameProgression(game)
    inform7 = Inform7Game(game)
    events = {event: event.copy() for quest in maker.quests for event in quest.win_events}
    tracked = [event for quest in progression.quest_progressions for event in quest.win_events]
    actions: list[Any] = []
    for turn, command in enumerate(commands):
        if progression.done:
            raise ValueError("Game has ended before finishing playing all commands.")
        triggered_before = [event.triggered for event in tracked]
        names = inform7.gen_commands_from_actions(progression.valid_actions)
        if names.count(command) > 1:
            return False
        if command in names:
            actions.append(progression.valid_actions[names.index(command)])
            progression.update(actions[-1])
        else:
            actions.append(actions[-1] if actions else None)
        for before, event in zip(triggered_before, tracked, strict=True):
            if event.triggered and not before:
                events[event.event].actions = list(actions)
                events[event.event].commands = list(commands[: turn + 1])
    for event, replayed in events.items():
        event.actions, event.commands = replayed.actions, replayed.commands
    return True
