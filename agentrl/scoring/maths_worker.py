r"""The process that asks math-verify, started by `maths_pool` and killed at will.

math-verify limits its time with an alarm, which works in no thread but the main one and cannot
stop a long call into C.  Here it runs without, in a process whose computing time the system limits:
SIGPROF ends it, whatever it is doing, and a starved machine judges as an idle one does.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from agentrl.scoring.maths_pool import Reply, Task

MEMORY = 2 << 30
"""Bytes of address space; `9^{9^{9^9}}` must not take the machine's memory."""

_LATEX = [LatexExtractionConfig()]
_LATEX_OR_NUMBERS = [LatexExtractionConfig(), ExprExtractionConfig()]
_NUMBERS_OR_LATEX = [ExprExtractionConfig(), LatexExtractionConfig()]
_STRICT = [
    LatexExtractionConfig(
        boxed_match_priority=0,
        try_extract_without_anchor=False,
        normalization_config=NormalizationConfig(units=True),
    )
]


def judge(task: Task) -> Reply:
    """Compare an answer with a gold one, however long it takes."""
    gold = _read_gold(task.reading, task.gold)
    if not gold:
        return Reply.UNREADABLE_GOLD
    answer = _read(task.reading, task.text)
    if not answer:
        return Reply.UNREADABLE
    return Reply.VERIFIED if verify(gold, answer, timeout_seconds=None) else Reply.DIFFERENT


@lru_cache(maxsize=4096)
def _read_gold(reading: str, gold: str) -> list[Any]:
    if reading in ("default", "strict"):
        return _parse(f"${gold}$", _LATEX_OR_NUMBERS)
    return _parse(f"\\boxed{{{gold}}}", _LATEX)


def _read(reading: str, text: str) -> list[Any]:
    if reading == "verl":
        return _parse(text, _NUMBERS_OR_LATEX)
    if reading == "default":
        return _parse(text, _LATEX_OR_NUMBERS)
    if reading == "strict":
        return _parse(text, _STRICT, extraction_mode="first_match", fallback_mode="no_fallback")
    return _parse(f"\\boxed{{{text}}}", _LATEX)


def _parse(text: str, targets: list[Any], **modes: str) -> list[Any]:
    found: list[Any] = parse(text, targets, parsing_timeout=None, **modes)
    return found


def main() -> None:
    """Serve the tasks that come through the connection of the given number until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    with Connection(int(sys.argv[1])) as connection:
        judge(Task(reading="boxed", gold="\\frac{1}{2}", text="0.5", seconds=0))  # slow at first
        connection.send(Reply.READY)
        _silence()
        try:
            while True:
                task: Task = connection.recv()
                signal.setitimer(signal.ITIMER_PROF, task.seconds)
                reply = judge(task)
                signal.setitimer(signal.ITIMER_PROF, 0)
                connection.send(reply)
        except (EOFError, OSError):
            return  # the pool is gone


def _silence() -> None:
    """Let nothing that the parsers print reach the user."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


if __name__ == "__main__":
    main()
