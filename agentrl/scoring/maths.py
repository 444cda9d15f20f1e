r"""Is a mathematical answer right: by math-verify, in processes that are killed when it hangs.

    scorer = MathsScorer()
    scorer.score(gold="\\frac{1}{2}", prediction="so it is \\boxed{0.5}").correct  # True

Whole responses mislead math-verify (two boxes become a set, "68+2=70" is an answer), so the last
box is read here and only its content is compared.  Rewards by string rules are beside it.

Source: huggingface/Math-Verify 0.9.0, with which results were checked.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from agentrl.errors import ConfigError, DataError, MissingExtraError
from agentrl.scoring.boxed import last_boxed
from agentrl.scoring.dapo import dapo_reward
from agentrl.scoring.gsm8k import gsm8k_answer, gsm8k_reward
from agentrl.scoring.hendrycks import math_reward
from agentrl.scoring.maths_pool import Pool, Reply, Task

__all__ = [
    "MathsScorer",
    "MathsVerdict",
    "Reading",
    "Reason",
    "dapo_reward",
    "gsm8k_reward",
    "math_reward",
]

LONGEST = 50_000
"""Characters; a longer answer is not read."""


class Reading(StrEnum):
    """Where in a prediction the answer is looked for."""

    BOXED = "boxed"
    r"""In the last `\boxed{...}`, for responses; none is no answer."""
    BOXED_OR_NUMBER = "boxed_or_number"
    """There, or else the last number in the last 300 characters."""
    WHOLE = "whole"
    """The prediction is the answer."""
    VERL = "verl"
    """Anywhere, as verl's reward reads a response."""
    DEFAULT = "default"
    """Anywhere, as math-verify's `parse` reads a response."""
    STRICT = "strict"
    """In boxes only, as math-verify advises for training."""


class Reason(StrEnum):
    """Why a prediction is right or wrong."""

    EQUAL = "equal"
    """The same string; math-verify was not asked."""
    VERIFIED = "verified"
    DIFFERENT = "different"
    NO_ANSWER = "no_answer"
    UNREADABLE = "unreadable"
    """There is no mathematics in the answer, or it is longer than `LONGEST`."""
    UNREADABLE_GOLD = "unreadable_gold"
    """See `MathsScorer.check_gold`."""
    TIMEOUT = "timeout"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MathsVerdict:
    """A judged prediction.

    Attributes:
        correct: whether it is right.
        reason: for that.
        answer: that was compared; None if there is none or math-verify looked for it.
    """

    correct: bool
    reason: Reason
    answer: str | None = None


class MathsScorer:
    """Judges predictions; may be called from many threads at once.

    From asyncio call `await asyncio.to_thread(scorer.score, gold, prediction)`.  The processes are
    started when first needed and end with `close`, at the end of a `with` block, or with Python.

    Args:
        reading: where the answer is looked for.
        workers: processes; by default 4, or as many as there are cores.
        seconds: of computing that one comparison may take before its process is killed.
        tasks_per_worker: after so many a process is replaced by a new one.

    Raises:
        ConfigError: an argument is out of range.
        MissingExtraError: math-verify is not installed.
    """

    def __init__(
        self,
        *,
        reading: Reading | str = Reading.BOXED,
        workers: int | None = None,
        seconds: float = 2.0,
        tasks_per_worker: int = 1000,
    ) -> None:
        workers = min(4, os.cpu_count() or 1) if workers is None else workers
        if reading not in list(Reading):
            raise ConfigError(f"`reading` is {reading!r}; known are {', '.join(Reading)}.")
        if not (workers >= 1 and seconds > 0 and tasks_per_worker >= 1):
            raise ConfigError(
                "`workers` and `tasks_per_worker` must be at least 1 and `seconds` above 0; they "
                f"are {workers}, {tasks_per_worker} and {seconds}."
            )
        if importlib.util.find_spec("math_verify") is None:
            raise MissingExtraError(
                "Scoring mathematics needs the package 'math-verify'. "
                "Install it with `pip install 'agentrl[maths]'`."
            )
        self._reading = Reading(reading)
        self._seconds = seconds
        self._pool = Pool(workers, tasks_per_worker)

    def score(self, gold: str, prediction: str) -> MathsVerdict:
        """Judge a prediction.

        Args:
            gold: the right answer in LaTeX, without a box or dollar signs.
            prediction: a response, or an answer where the reading is `whole`.

        Raises:
            EnvironmentFailure: no process could be started, or the scorer is closed.
        """
        if self._reading in (Reading.VERL, Reading.DEFAULT, Reading.STRICT):
            return self._verdict(self._ask(self._reading, gold, prediction))
        answer = _answer(self._reading, prediction)
        if answer is None:
            return MathsVerdict(correct=False, reason=Reason.NO_ANSWER)
        if answer.split() == gold.split():
            return MathsVerdict(correct=True, reason=Reason.EQUAL, answer=answer)
        return self._verdict(self._ask(Reading.BOXED, gold, answer), answer)

    def check_gold(self, gold: str) -> None:
        """Make sure that a gold answer is of use: that it verifies against itself.

        Raises:
            DataError: it does not.
        """
        reply = self._ask(Reading.BOXED, gold, gold)
        if reply is not Reply.VERIFIED:
            raise DataError(
                f"The gold answer {gold[:200]!r} does not verify against itself ({reply}), so no "
                "answer could be right. Mend the row or leave it out; a gold answer is LaTeX "
                "without a box or dollar signs."
            )

    def close(self) -> None:
        """End the processes."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, reading: Reading, gold: str, text: str) -> Reply:
        if len(gold) > LONGEST:
            return Reply.UNREADABLE_GOLD
        if len(text) > LONGEST:
            return Reply.UNREADABLE
        return self._pool.run(Task(reading.value, gold, text, self._seconds))

    def _verdict(self, reply: Reply, answer: str | None = None) -> MathsVerdict:
        return MathsVerdict(
            correct=reply is Reply.VERIFIED, reason=Reason(reply.value), answer=answer
        )


def _answer(reading: Reading, prediction: str) -> str | None:
    if reading is Reading.WHOLE:
        return prediction.strip() or None
    answer = last_boxed(prediction, skip_escaped=True)
    if answer is None and reading is Reading.BOXED_OR_NUMBER:
        number = gsm8k_answer(prediction, flexible=True)
        answer = number.rstrip(".,") if number else None
    return answer.strip() or None if answer is not None else None
