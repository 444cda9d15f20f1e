"""The game and the sizes that both sides of `trl_comparison.py` play.

A digit is hidden; each turn guesses one and is told how far off it was.  Texts have fixed widths
and the tokenizer maps a byte to a token, so that every trajectory has the same length.  The module
is imported by environment worker processes and must not import torch.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from agentrl.envs import Info, ParsedAction, TextEnv, register
from agentrl.types import Task, TaskPanel

ENV_ID = "benchmarks/GuessDigit-v0"

# As long as the system prompt that the other side's chat template writes for one tool.
RULES = """You play a guessing game against a computer.

# Rules

At the start the computer hides one digit between 0 and 9 and does not change it until the game is \
over. You guess the digit by writing it. After each guess you are told in which turn you are and \
how far your guess was away from the hidden digit, that is, the absolute difference of the two.

# Score

The score of a game is minus the mean distance of all your guesses, so it pays to learn from every \
answer and to repeat the right digit once you know it. Only the first digit of an answer counts; \
an answer without any digit counts as a guess that follows from its text.

# Answer

Write one digit, nothing else"""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What one training step samples.

    Attributes:
        groups: tasks per step.
        members: episodes per task.
        turns: model turns per episode; there is an observation between any two.
        turn_tokens: tokens sampled per turn, always exactly this many.
        learning_rate: of AdamW on both sides.
    """

    groups: int = 2
    members: int = 8
    turns: int = 8
    turn_tokens: int = 24
    learning_rate: float = 1e-6

    @property
    def episodes(self) -> int:
        """Episodes per step."""
        return self.groups * self.members

    @property
    def sampled_tokens(self) -> int:
        """Tokens sampled per step."""
        return self.episodes * self.turns * self.turn_tokens


class GuessGame:
    """The game itself, without any framework around it."""

    def __init__(self, seed: int) -> None:
        self.secret = random.Random(seed).randrange(10)
        self.turn = 0
        self.total = 0

    def guess(self, digit: int) -> int:
        """Return how far the guess is off."""
        distance = abs(digit - self.secret)
        self.turn += 1
        self.total += distance
        return distance

    @property
    def score(self) -> float:
        """Minus the mean distance of the guesses so far."""
        return -self.total / max(self.turn, 1)


def invitation(number: int) -> str:
    """Return the user message that starts game `number`."""
    return f"Game {number:03d}. Find the digit."


def digit_in(text: str) -> int:
    """Read a guess from any text: its first digit, or else one that follows from its characters."""
    digits = (int(character) for character in text if character in "0123456789")
    return next(digits, sum(map(ord, text)) % 10)


class GuessPrompt:
    """Shows the rules as system message and reads the first digit of the answer."""

    stop_strings = ()

    def system(self, info: Info) -> str | None:
        """Return the rules."""
        return RULES

    def observe(self, observation: str, info: Info) -> str:
        """Return the observation as it is."""
        return observation

    def parse(self, text: str, info: Info) -> ParsedAction:
        """Return the guessed digit."""
        return ParsedAction(str(digit_in(text)))


class GuessEnv(TextEnv):
    """The game as a gymnasium environment of AgentRL."""

    prompt = GuessPrompt()

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return `count` games."""
        count = int(options["count"])
        tasks = [Task(id=f"{n:03d}", env_id=ENV_ID, seed=n, split=split) for n in range(count)]
        return TaskPanel.of("guess-digit", tasks)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Hide a digit."""
        super().reset(seed=seed)
        self.game = GuessGame(seed or 0)
        return invitation(seed or 0), {"task": "Find the digit."}

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Guess; the reward of a turn is minus the distance."""
        distance = self.game.guess(int(action))
        info = {"score": float(distance == 0)}
        # Four characters more than the other side's text, which its template wraps in two tags.
        text = f"turn {self.game.turn:02d}: the distance {distance}"
        return text, -float(distance), False, False, info


register(ENV_ID, "trl_workload:GuessEnv", description="Guess a digit in a fixed number of turns.")
