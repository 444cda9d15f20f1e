"""The `prose` back end: the compiled Inform 7 game, or any Z-machine file, through Jericho.

Games that TextWorld made (a `.json` lies beside the `.z8`) know admissible commands, objective and
policy; other Z-machine games give what Jericho knows of them.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import replace
from pathlib import Path

import textworld
from textworld.envs import TWInform7

from agentrl.envs.textworld.player import Frame
from agentrl.envs.textworld.view import facts_digest, short_goal
from agentrl.errors import EnvironmentFailure

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_INPUT_PROMPT = re.compile(r"\n>[^\n]*\Z")
_ENDING = re.compile(r"\s*Would you like to RESTART.*", re.DOTALL)
_BANNER = re.compile(r"\A.*\$\$[^\n]*\n", re.DOTALL)
_LINE_ENDS = re.compile(r"[ \t]+\n")
_BLANK_LINES = re.compile(r"\n{3,}")

_INTERPRETER_SEED = 1
"""Chance in a game file (generated games have none) must be the same in every process."""

_OUT_OF_WORLD = frozenset(
    [
        "quit",
        "q",
        "restart",
        "restore",
        "save",
        "script",
        "transcript",
        "unscript",
        "undo",
        "verify",
        "version",
    ]
)
"""Commands to the interpreter, some of which touch files; they are refused."""


def _is_out_of_world(command: str) -> bool:
    """True if any of the commands of a line, such as `go north. save`, is for the interpreter."""
    clauses = re.split(r"[^a-z0-9\s-]+|\bthen\b", command.lower())
    first = [clause.split()[0] for clause in clauses if clause.split()]
    return any(word in _OUT_OF_WORLD or word.startswith("tw-") for word in first)


class ProsePlayer:
    """Plays a Z-machine game.

    Args:
        path: the game file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._generated = TWInform7.compatible(str(path))
        requested = textworld.EnvInfos(
            score=True,
            won=True,
            lost=True,
            max_score=True,
            moves=True,
            facts=self._generated,
            objective=self._generated,
            admissible_commands=self._generated,
        )
        with warnings.catch_warnings():  # Jericho warns of every game it has no table for
            warnings.filterwarnings("ignore", message="Game .* is not fully supported")
            self._game = textworld.start(str(path), request_infos=requested)
            self._game.seed(_INTERPRETER_SEED)
            self._state = self._game.reset()
        self._sent: list[str] = []
        self.objective = " ".join((self._state.get("objective") or "").split())
        goal = short_goal(self._state["game"]) if self._generated else ""
        self.goal = goal or self.objective or "Win the game."
        self.walkthrough = list(self._state.get("extra.walkthrough") or [])
        text = clean(self._state["feedback"])
        if self._generated and "-= " in text:  # what comes before the room is the objective
            text = text[text.index("-= ") :]
        self._frame = self._look(text, True)
        self._reached = (self._frame.text, self._frame.anchor)

    def frame(self) -> Frame:
        """Return the current situation."""
        return self._frame

    def send(self, command: str) -> Frame:
        """Carry a command out; the interpreter's own commands are refused."""
        if _is_out_of_world(command):
            self._frame = self._look("That is not part of the game.", False)
            return self._frame
        admissible, anchor = self._frame.admissible, self._frame.anchor
        self._sent.append(command)
        self._state, _, _ = self._game.step(command)
        self._frame = self._look(clean(self._state["feedback"]), True)
        self._reached = (self._frame.text, self._frame.anchor)
        if admissible is not None and command not in admissible and self._frame.anchor == anchor:
            self._frame = replace(self._frame, accepted=False)
        return self._frame

    def expert_commands(self) -> list[str] | None:
        """Return TextWorld's policy from here (found by playing the game's logic along)."""
        if not self._generated:
            return None
        from agentrl.envs.textworld.facts import FactsPlayer

        logic = FactsPlayer(self._path.with_suffix(".json"))
        for command in self._sent:
            logic.send(command)
        return logic.expert_commands()

    def fork(self) -> ProsePlayer:
        """Return an independent player in the same state, by replaying the commands.

        A fork then costs 16 ms plus 2-4 ms a command; TextWorld's own copy, which duplicates the
        whole game, costs 60-150 ms (benchmarks/textworld_env.py), so it pays only after 20 to 40
        commands.

        Raises:
            EnvironmentFailure: the replay ended in another text.
        """
        twin = ProsePlayer(self._path)
        for command in self._sent:
            twin.send(command)
        if twin._reached != self._reached:
            raise EnvironmentFailure(
                f"Forking {self._path.name} failed: replaying {len(self._sent)} commands gave "
                f"{twin._reached[0]!r} instead of {self._reached[0]!r}."
            )
        twin._frame = self._frame  # a refused command may have come last
        return twin

    def close(self) -> None:
        """Free the interpreter."""
        self._game.close()

    def _look(self, text: str, accepted: bool) -> Frame:
        state = self._state
        maximum = state.get("max_score")
        return Frame(
            text=text,
            admissible=state.get("admissible_commands"),
            accepted=accepted,
            score=int(state.get("score") or 0),
            max_score=None if maximum in (None, float("inf")) else int(maximum),
            won=bool(state.get("won")),
            lost=bool(state.get("lost")),
            anchor=self._anchor(text),
        )

    def _anchor(self, text: str) -> str:
        """Digest of the tracked facts, or of the text where there are none."""
        if self._generated:
            return facts_digest(self._state["_facts"])
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def clean(feedback: str) -> str:
    """Remove colour codes, the banner, the input prompt with its status line, and spare blanks."""
    text = _ANSI.sub("", feedback).replace("\r", "")
    text = _INPUT_PROMPT.sub("", text.rstrip())
    text = _ENDING.sub("", text)
    text = _BANNER.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    text = "\n".join(line.strip() if "***" in line else line for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip()
